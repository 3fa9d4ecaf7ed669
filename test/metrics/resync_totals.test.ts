/** What resyncs have copied, gathered from what they tell. */
import type { ResyncEvent } from '../../lib/index';
import { ResyncTally } from '../../lib/metrics/resync_totals';

const event = (step: ResyncEvent['step'], bytesDone: number, bytesPerSecond = 0): ResyncEvent => ({
  images: ['slave1'],
  step,
  bytesDone,
  bytesTotal: 100,
  bytesPerSecond,
  timeLeftMs: null,
  reason: step === 'ended' ? 'in-sync' : null,
});

test('the bytes copied never fall, whatever the next resync begins with', () => {
  const tally = new ResyncTally();
  const copied: number[] = [tally.totals().bytesCopied];
  for (const [step, done] of [
    ['begun', 10],
    ['progress', 60],
    ['ended', 100],
    ['begun', 5],
    ['ended', 40],
  ] as const) {
    tally.note(event(step, done));
    copied.push(tally.totals().bytesCopied);
  }
  expect(copied).toEqual([0, 10, 60, 100, 105, 140]);
});

test('what is left, and the rate, are those of the one under way', () => {
  const tally = new ResyncTally();
  expect(tally.totals()).toMatchObject({ active: false, bytesLeft: 0, bytesPerSecond: 0 });
  tally.note(event('progress', 30, 7));
  expect(tally.totals()).toMatchObject({ active: true, bytesLeft: 70, bytesPerSecond: 7 });
  tally.note(event('ended', 100, 0));
  expect(tally.totals()).toMatchObject({ active: false, bytesLeft: 0, bytesPerSecond: 0 });
});
