/**
 * What a resync tells whoever listens: that it began, how far it is, at most once a second, and how it ended.
 *
 * Invariants:
 *  - The time left is what the last WINDOW_MS say: a resync that makes way for a load, or waits, is not told to be as fast as it
 *    was. Where they say nothing it is null.
 *  - One that had nothing to do tells nothing.
 */
import type { ResyncEvent } from '../base/types';

const INTERVAL_MS = 1000;
const WINDOW_MS = 10_000;

export class ResyncTelling {
  private begun = false;
  private toldAt = 0;
  private bytesDone = 0;
  private bytesTotal = 0;
  private seen: { at: number; bytes: number }[] = [];

  constructor(
    private readonly images: readonly string[],
    private readonly onTold: (event: ResyncEvent) => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  progress(bytesDone: number, bytesTotal: number): void {
    const at = this.now();
    this.bytesDone = bytesDone;
    this.bytesTotal = bytesTotal;
    this.seen.push({ at, bytes: bytesDone });
    // The newest before the window stays: else a step that is longer than it would say nothing.
    while (this.seen.length > 2 && (this.seen[1]?.at ?? at) <= at - WINDOW_MS) this.seen.shift();
    if (this.begun && at - this.toldAt < INTERVAL_MS) return;
    this.tell(this.begun ? 'progress' : 'begun');
    this.begun = true;
    this.toldAt = at;
  }

  end(reason: NonNullable<ResyncEvent['reason']>): void {
    if (this.begun) this.tell('ended', reason);
  }

  private tell(step: ResyncEvent['step'], reason: ResyncEvent['reason'] = null): void {
    const { images, bytesDone, bytesTotal } = this;
    const rate = step === 'ended' ? 0 : this.rate();
    const timeLeftMs = rate > 0 ? Math.round(((bytesTotal - bytesDone) / rate) * 1000) : null;
    this.onTold({
      images: [...images],
      step,
      bytesDone,
      bytesTotal,
      bytesPerSecond: Math.round(rate),
      timeLeftMs,
      reason,
    });
  }

  private rate(): number {
    const first = this.seen[0];
    const last = this.seen.at(-1);
    if (first === undefined || last === undefined || last.at === first.at) return 0;
    return ((last.bytes - first.bytes) / (last.at - first.at)) * 1000;
  }
}
