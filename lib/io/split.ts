/**
 * Requests larger than the engine takes at once, cut into slices of which a few run at a time.
 *
 * Such a request is not atomic: after an error or an abort some of its slices may have been written. The engine's
 * "queue full" is waited out here, since slices before it may be under way already.
 */
import type { Engine } from './engine';
import { BlockmirrorError, isBlockmirrorError } from '../base/errors';
import { byteLengthOf, bytesOf, copyInto } from '../base/intrinsics';
import { forEachPiece } from '../base/pieces';
import { throwIfAborted } from '../base/signals';
import type { Bytes } from '../base/types';

/** Of one slice, bytes; a multiple of every block size. */
const SLICE_LENGTH = 8 * 1024 * 1024;
const LANES = 4;
/** Buffers of one vectored request of the engine, as IOV_MAX. */
const VECTOR_LENGTH = 1024;

/** A slice of a longer request. */
interface Slice {
  /** From the start of the request. */
  offset: number;
  length: number;
}

/** Cut at multiples of a slice's length in the mirror, so that no two slices share a block. */
function* slices(position: number, length: number): Generator<Slice> {
  for (let offset = 0; offset < length;) {
    const room = SLICE_LENGTH - ((position + offset) % SLICE_LENGTH);
    const slice = { offset, length: Math.min(room, length - offset) };
    yield slice;
    offset += slice.length;
  }
}

export function isOversized(engine: Engine, length: number): boolean {
  return length > engine.binding.limits.requestLength;
}

/** @param work one slice; called again for it after "queue full" */
export function inSlices(
  engine: Engine,
  position: number,
  length: number,
  signal: AbortSignal | undefined,
  work: (slice: Slice) => Promise<unknown>,
): Promise<void> {
  const checkpoint = (): void => throwIfAborted(signal);
  let unknown: unknown = null;
  const done = forEachPiece(slices(position, length), LANES, checkpoint, async (slice) => {
    for (;;) {
      try {
        await work(slice);
        return;
      } catch (error) {
        if (isBlockmirrorError(error, 'OUTCOME_UNKNOWN')) unknown = error;
        if (!isBlockmirrorError(error, 'QUEUE_FULL') || engine.pending === 0) throw error;
        await engine.nextSettlement();
      }
    }
  });
  // Of all that ended it this is the one that says most: of another slice it may be certain that nothing was written.
  return done.catch((error: unknown) => {
    throw unknown ?? error;
  });
}

/** The lengths that the buffers had when the request was made: what a slice of it is cut by. */
export type Lengths = readonly number[];

/**
 * The part of the buffers, taken as one, that the slice names; views over the same memory.
 * @throws BUFFER_DETACHED when a buffer of the slice was detached or shrunk since: its bytes never slip into the next one's
 */
export function sliceOf(buffers: readonly Bytes[], lengths: Lengths, slice: Slice): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let skip = slice.offset;
  let want = slice.length;
  for (let index = 0; want > 0; index++) {
    const buffer = buffers[index] as Bytes;
    const there = lengths[index] as number;
    const start = Math.min(skip, there);
    skip -= start;
    const length = Math.min(want, there - start);
    if (length === 0) continue;
    want -= length;
    if (byteLengthOf(buffer) < start + length) throw new BlockmirrorError('BUFFER_DETACHED');
    parts.push(bytesOf(buffer, start, length));
  }
  return parts;
}

export function fitsVector(buffers: readonly Bytes[]): boolean {
  return buffers.length <= VECTOR_LENGTH;
}

/** One buffer with the bytes of all. */
export function gather(parts: readonly Uint8Array[], length: number): Uint8Array {
  const whole = Buffer.allocUnsafeSlow(length);
  let used = 0;
  for (const part of parts) {
    copyInto(whole, part, used);
    used += byteLengthOf(part);
  }
  return whole;
}

/** Copies `from` into the buffers, one after the other. @throws BUFFER_DETACHED when one is not there any more */
export function scatter(from: Uint8Array, buffers: readonly Uint8Array[], lengths: Lengths): void {
  let used = 0;
  for (const [index, buffer] of buffers.entries()) {
    const length = lengths[index] as number;
    if (byteLengthOf(buffer) < length) throw new BlockmirrorError('BUFFER_DETACHED');
    copyInto(buffer, from.subarray(used, used + length), 0);
    used += length;
  }
}
