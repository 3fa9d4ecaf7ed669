/**
 * Requests larger than the engine takes at once, cut into pieces of which a few run at a time.
 *
 * Such a request is not atomic: after an error or an abort some of its pieces may have been written. The engine's
 * "queue full" is waited out here, since pieces before it may be under way already.
 */
import { isDetached } from './buffers';
import type { Engine } from './engine';
import { isBlockmirrorError } from './errors';
import { forEachPiece } from './pieces';
import type { Bytes } from './types';

/** Of one piece, bytes; a multiple of every block size. */
const PIECE_LENGTH = 8 * 1024 * 1024;
const LANES = 4;
/** Buffers of one vectored request of the engine, as IOV_MAX. */
const VECTOR_LENGTH = 1024;

/** A slice of a longer request. */
interface Slice {
  /** From the start of the request. */
  offset: number;
  length: number;
}

/** Cut at multiples of the piece's length in the mirror, so that no two slices share a block. */
function* slices(position: number, length: number): Generator<Slice> {
  for (let offset = 0; offset < length;) {
    const room = PIECE_LENGTH - ((position + offset) % PIECE_LENGTH);
    const slice = { offset, length: Math.min(room, length - offset) };
    yield slice;
    offset += slice.length;
  }
}

export function isOversized(engine: Engine, length: number): boolean {
  return length > engine.binding.limits.requestLength;
}

/** @param work one piece; called again for it after "queue full" */
export function inSlices(
  engine: Engine,
  position: number,
  length: number,
  signal: AbortSignal | undefined,
  work: (slice: Slice) => Promise<unknown>,
): Promise<void> {
  const checkpoint = (): void => signal?.throwIfAborted();
  return forEachPiece(slices(position, length), LANES, checkpoint, async (slice) => {
    for (;;) {
      try {
        await work(slice);
        return;
      } catch (error) {
        if (!isBlockmirrorError(error, 'QUEUE_FULL') || engine.pending === 0) throw error;
        await engine.nextSettlement();
      }
    }
  });
}

/** The part of the buffers, taken as one, that the slice names; views over the same memory. */
export function sliceOf(buffers: readonly Bytes[], slice: Slice): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let skip = slice.offset;
  let want = slice.length;
  for (const buffer of buffers) {
    if (want === 0) break;
    const there = isDetached(buffer) ? 0 : buffer.byteLength;
    const start = Math.min(skip, there);
    skip -= start;
    const length = Math.min(want, there - start);
    if (length === 0) continue;
    want -= length;
    parts.push(new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset + start, length));
  }
  return parts;
}

export function fitsVector(buffers: readonly Bytes[]): boolean {
  return buffers.length <= VECTOR_LENGTH;
}

/** Copies `from` into the buffers, one after the other. */
export function scatter(from: Uint8Array, buffers: readonly Uint8Array[]): void {
  let used = 0;
  for (const buffer of buffers) {
    buffer.set(from.subarray(used, used + buffer.length));
    used += buffer.length;
  }
}
