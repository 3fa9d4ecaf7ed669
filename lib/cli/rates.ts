/** What a mirror does in a second, from two statuses of it; and how its resync gets on. Pure. */
import type { ResyncEvent, Status } from '../index';

export interface Rates {
  readBytesPerSecond: number;
  writtenBytesPerSecond: number;
  readsPerSecond: number;
  writesPerSecond: number;
}

/** Of a resync that is under way. */
export type ResyncNews = Pick<ResyncEvent, 'images' | 'bytesPerSecond' | 'timeLeftMs'>;

/** null: they are of two openings, or of no time. */
export function ratesBetween(before: Status, after: Status, ms: number): Rates | null {
  const since = (name: string): number => ((after.counters[name] ?? 0) - (before.counters[name] ?? 0)) / (ms / 1000);
  const rates = {
    readBytesPerSecond: since('bytesRead'),
    writtenBytesPerSecond: since('bytesWritten'),
    readsPerSecond: since('reads'),
    writesPerSecond: since('writes'),
  };
  return ms > 0 && Object.values(rates).every((rate) => rate >= 0) ? rates : null;
}
