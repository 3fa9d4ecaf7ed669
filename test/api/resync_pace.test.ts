/** How large a step is, and how long it rests: the policy alone. */
import { restAfter, stepLength } from '../../lib/life/resync_pace';
import { parseRate } from '../../lib/base/size';
import { KIB, MIB } from './support';

test('an idle mirror is used in full, and a busy one has half of the time for itself', () => {
  expect(stepLength(null, false)).toBe(16 * MIB);
  expect(restAfter(null, false, { bytes: 16 * MIB, tookMs: 100 })).toBe(0);
  expect(stepLength(null, true)).toBe(MIB);
  expect(restAfter(null, true, { bytes: MIB, tookMs: 7 })).toBe(7);
});

test.each([1, 4096, MIB, 100 * MIB, 10 ** 12])(
  'a rate of %d bytes a second is kept, by steps that are bounded',
  (rate) => {
    const bytes = stepLength(rate, false);
    expect(bytes).toBeGreaterThanOrEqual(64 * KIB);
    expect(bytes).toBeLessThanOrEqual(16 * MIB);
    const tookMs = 3;
    const seconds = (tookMs + restAfter(rate, true, { bytes, tookMs })) / 1000;
    expect(bytes / seconds).toBeLessThanOrEqual(Math.max(rate * 1.0001, bytes / 0.003));
    expect(restAfter(rate, false, { bytes, tookMs: 10 ** 9 })).toBeGreaterThanOrEqual(0);
  },
);

test('a rate is bytes a second, or text with a binary unit; none at all is refused', () => {
  expect(parseRate('100MiB')).toBe(100 * MIB);
  expect(parseRate(512)).toBe(512);
  expect(() => parseRate(0)).toThrow(/rate is 0/);
  expect(() => parseRate('fast')).toThrow(/rate/);
});
