/**
 * Long work cut into bounded pieces, a few at a time.
 *
 * Invariants: pieces never reach over a multiple of the piece length, so that each is one region of the engine; none is
 * empty; after an error nothing more is started, and everything started has ended before the error is thrown.
 */
import type { Extent } from './types';

export function* cutExtents(extents: readonly Extent[], length: number): Generator<Extent> {
  for (const extent of extents) {
    const end = extent.position + extent.length;
    for (let position = extent.position; position < end;) {
      const next = Math.min(end, (Math.floor(position / length) + 1) * length);
      yield { position, length: next - position };
      position = next;
    }
  }
}

/** Extents of one command of the engine, which works on them at once: few calls, however small the extents are. */
export interface Batch {
  first: Extent;
  /** Positions and lengths in turn. */
  extents: Float64Array;
  bytes: number;
}

/** Pieces in their order, as many to a batch as `limits` allow; one always. */
export function* batchesOf(pieces: Iterable<Extent>, limits: { extents: number; bytes: number }): Generator<Batch> {
  let batch: Extent[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    if (batch.length === limits.extents || (batch.length > 0 && bytes + piece.length > limits.bytes)) {
      yield batchOf(batch, bytes);
      batch = [];
      bytes = 0;
    }
    batch.push(piece);
    bytes += piece.length;
  }
  if (batch.length > 0) yield batchOf(batch, bytes);
}

function batchOf(pieces: readonly Extent[], bytes: number): Batch {
  const extents = Float64Array.from(pieces.flatMap(({ position, length }) => [position, length]));
  return { first: pieces[0] as Extent, extents, bytes };
}

export function totalLength(extents: readonly Extent[]): number {
  return extents.reduce((sum, extent) => sum + extent.length, 0);
}

/** @param checkpoint called before each piece; throws to stop */
export async function forEachPiece<Piece>(
  pieces: Iterable<Piece>,
  lanes: number,
  checkpoint: () => void,
  work: (piece: Piece) => Promise<void>,
): Promise<void> {
  const iterator = pieces[Symbol.iterator]();
  let stopped = false;
  const lane = async (): Promise<void> => {
    try {
      for (;;) {
        if (stopped) return;
        const next = iterator.next();
        if (next.done === true) return;
        checkpoint();
        await work(next.value);
      }
    } catch (error) {
      stopped = true;
      throw error;
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: lanes }, lane));
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
