/**
 * Long work cut into bounded pieces, a few at a time.
 *
 * Invariants: pieces never reach over a multiple of the piece length, so that each is one region of the engine; after
 * an error nothing more is started, and everything started has ended before the error is thrown.
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

/**
 * As forEachPiece, of extents: at most `lanes` and at most `bytes` of them at once, one always. Small pieces need more
 * company than large ones to keep a disk busy; memory is bounded by the bytes.
 */
export async function forEachExtent(
  pieces: Iterable<Extent>,
  limits: { lanes: number; bytes: number },
  checkpoint: () => void,
  work: (piece: Extent) => Promise<void>,
): Promise<void> {
  const room = new Room(limits.bytes);
  let failed = false; // whoever waited for room meanwhile must not start
  await forEachPiece(pieces, limits.lanes, checkpoint, async (piece) => {
    await room.take(piece.length);
    try {
      if (!failed) await work(piece);
    } catch (error) {
      failed = true;
      throw error;
    } finally {
      room.giveBack(piece.length);
    }
  });
}

/** Bytes, first come first served. */
class Room {
  private taken = 0;
  private readonly waiting: { bytes: number; enter: () => void }[] = [];

  constructor(private readonly bytes: number) {}

  private fits(bytes: number): boolean {
    return this.taken === 0 || this.taken + bytes <= this.bytes;
  }

  async take(bytes: number): Promise<void> {
    if (this.waiting.length === 0 && this.fits(bytes)) this.taken += bytes;
    else await new Promise<void>((enter) => this.waiting.push({ bytes, enter }));
  }

  giveBack(bytes: number): void {
    this.taken -= bytes;
    for (let next = this.waiting[0]; next !== undefined && this.fits(next.bytes); next = this.waiting[0]) {
      this.waiting.shift();
      this.taken += next.bytes;
      next.enter();
    }
  }
}
