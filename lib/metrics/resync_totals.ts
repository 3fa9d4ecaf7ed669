/**
 * ResyncTally: what the resyncs of this opening have copied, and how the one under way gets on, gathered from what they tell.
 *
 * Invariant: `bytesCopied` never falls, also when the next resync begins to count at 0.
 */
import type { ResyncEvent } from '../base/types';

export interface ResyncTotals {
  /** By all resyncs of this opening. */
  bytesCopied: number;
  /** One is under way that has something to copy. */
  active: boolean;
  /** Of the one under way; 0 without one. */
  bytesLeft: number;
  bytesPerSecond: number;
}

export class ResyncTally {
  private before = 0;
  private now: Pick<ResyncEvent, 'bytesDone' | 'bytesTotal' | 'bytesPerSecond'> | null = null;

  note({ step, bytesDone, bytesTotal, bytesPerSecond }: ResyncEvent): void {
    if (step === 'ended') {
      this.before += bytesDone;
      this.now = null;
    } else {
      this.now = { bytesDone, bytesTotal, bytesPerSecond };
    }
  }

  totals(): ResyncTotals {
    const { before, now } = this;
    if (now === null) return { bytesCopied: before, active: false, bytesLeft: 0, bytesPerSecond: 0 };
    return {
      bytesCopied: before + now.bytesDone,
      active: true,
      bytesLeft: Math.max(0, now.bytesTotal - now.bytesDone),
      bytesPerSecond: now.bytesPerSecond,
    };
  }
}
