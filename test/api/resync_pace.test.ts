/** How large a step is, and how long it rests: the policy alone. */
import { FullSpeed, restAfter, stepLength } from '../../lib/life/resync_pace';
import { parseRate } from '../../lib/base/size';
import { KIB, MIB } from './support';

test('a busy mirror has half of the time for itself, an idle one is used in full', () => {
  expect(stepLength(null)).toBe(MIB);
  expect(restAfter(null, true, { bytes: MIB, tookMs: 7 })).toBe(7);
  expect(restAfter(null, false, { bytes: 16 * MIB, tookMs: 100 })).toBe(0);
});

test.each([
  ['quick', 4 * KIB * MIB],
  ['usual', 200 * MIB],
  ['slow', 8 * MIB],
])('at full speed a %s device comes to steps of a fifth of a second, within the bounds', (_name, bytesPerSecond) => {
  const speed = new FullSpeed(64 * MIB, KIB * MIB);
  for (let step = 0; step < 10; step += 1) speed.took(speed.length, (speed.length / bytesPerSecond) * 1000);
  expect(speed.length).toBe(Math.min(64 * MIB, Math.max(MIB, Math.floor(bytesPerSecond / 5))));
});

test('the first step leaves moments to stop at, and one that moved nothing says nothing of the device', () => {
  const speed = new FullSpeed(64 * MIB, 16 * MIB);
  expect(speed.length).toBe(2 * MIB);
  speed.took(0, 1);
  expect(speed.length).toBe(2 * MIB);
  speed.took(2 * MIB, 1);
  expect(speed.length).toBe(4 * MIB);
});

test.each([1, 4096, MIB, 100 * MIB, 10 ** 12])(
  'a rate of %d bytes a second is kept, by steps that are bounded',
  (rate) => {
    const bytes = stepLength(rate);
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
