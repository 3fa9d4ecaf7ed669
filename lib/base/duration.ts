/** Durations as people write them: 30000 or '30s' to milliseconds. Infinity: without an end. Pure. */
import { BlockmirrorError, invalidArgumentType } from './errors';
import { shown } from './shown';
import type { Duration } from './types';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const PATTERN = /^(\d{1,9}(?:\.\d{1,3})?)\s*(ms|s|m|h|d)$/;
/** Of a finite one: ten years. Nobody means more, and every sum of it with a date is exact. */
export const LONGEST_DURATION_MS = 3650 * 86_400_000;

/** Whole milliseconds, or Infinity. @throws ERR_BLOCKMIRROR_INVALID_OPTION naming the option when it is no duration */
export function parseDuration(duration: Duration, option = 'duration'): number {
  if (typeof duration !== 'number' && typeof duration !== 'string') {
    throw invalidArgumentType(option, "a number of milliseconds or a text such as '30s'", duration);
  }
  const ms = typeof duration === 'number' ? duration : parseText(duration);
  if (ms === Infinity) return ms;
  if (ms === undefined || !Number.isSafeInteger(ms) || ms < 0 || ms > LONGEST_DURATION_MS) {
    throw new BlockmirrorError('INVALID_OPTION', {
      detail: `${option} is ${shown(JSON.stringify(duration) ?? 'undefined')}`,
      remedy:
        "Give milliseconds as a whole number, or text with a unit: '500ms', '30s', '5m', '1h'; Infinity is for ever",
    });
  }
  return ms;
}

function parseText(text: string): number | undefined {
  const match = PATTERN.exec(text.trim());
  return match === null ? undefined : Number(match[1]) * (UNITS[match[2] ?? ''] ?? NaN);
}

/** In the largest unit that leaves it whole: '30s', '1500ms'; null, as JSON has Infinity, is 'none'. */
export function formatDuration(ms: number | null): string {
  if (ms === null || ms === Infinity) return 'none';
  const [unit, length] = Object.entries(UNITS)
    .reverse()
    .find(([, each]) => ms > 0 && ms % each === 0) ?? ['ms', 1];
  return `${ms / length}${unit}`;
}
