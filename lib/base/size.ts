/** Sizes as people write them: '4GiB' to bytes and back. Binary units only: '4GB' is ambiguous and refused. Pure. */
import { BlockmirrorError, invalidArgumentType } from './errors';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const PATTERN = /^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB|PiB)?$/i;

/** @throws ERR_BLOCKMIRROR_INVALID_OPTION naming the option when it is no size */
export function parseSize(size: number | string, option = 'size'): number {
  if (typeof size !== 'number' && typeof size !== 'string') {
    throw invalidArgumentType(option, "a number of bytes or a text such as '64MiB'", size);
  }
  const bytes = typeof size === 'number' ? size : parseText(size);
  if (bytes === undefined || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw new BlockmirrorError('INVALID_OPTION', {
      detail: `${option} is ${JSON.stringify(size)}`,
      remedy: "Give whole bytes as a number, or text with a binary unit: '4096', '512KiB', '64MiB', '4GiB'",
    });
  }
  return bytes;
}

/** Bytes a second. @throws ERR_BLOCKMIRROR_INVALID_OPTION */
export function parseRate(rate: number | string, option = 'rate'): number {
  const bytes = parseSize(rate, option);
  if (bytes > 0) return bytes;
  throw new BlockmirrorError('INVALID_OPTION', {
    detail: `${option} is 0`,
    remedy: "Give bytes a second, such as '100MiB'; leave it out for a rate that makes way for the application",
  });
}

function parseText(text: string): number | undefined {
  const match = PATTERN.exec(text.trim());
  if (match === null) return undefined;
  const unit = (match[2] ?? 'B').toLowerCase();
  const power = UNITS.findIndex((name) => name.toLowerCase() === unit);
  return Number(match[1]) * 1024 ** power;
}

/** As parseSize takes it, to the byte: '100MiB', '1000B'. */
export function exactSize(bytes: number): string {
  let power = 0;
  while (power < UNITS.length - 1 && bytes > 0 && bytes % 1024 ** (power + 1) === 0) power += 1;
  return `${bytes / 1024 ** power}${UNITS[power]}`;
}

/** The largest unit that leaves at least 1, with at most one decimal: '1.5 GiB', '4 KiB', '0 B'. */
export function formatSize(bytes: number): string {
  if (typeof bytes !== 'number') throw invalidArgumentType('bytes', 'a number', bytes);
  let power = 0;
  let value = bytes;
  while (Math.abs(value) >= 1024 && power < UNITS.length - 1) {
    value /= 1024;
    power += 1;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${UNITS[power]}`;
}
