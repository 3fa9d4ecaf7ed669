/**
 * Values of options, checked where they enter. Pure.
 */
import { InvalidArgumentError } from 'commander';
import { parseDuration, parseSize, type ImageChoice } from '../index';

const NAME = /^[A-Za-z0-9._-]+$/;

export function parsePositiveSize(text: string): number {
  let size: number;
  try {
    size = parseSize(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
  if (size <= 0) throw new InvalidArgumentError('A size must be more than nothing.');
  return size;
}

/** Bytes a second. */
export function parseRateOrAuto(text: string): number | 'auto' {
  return text === 'auto' ? text : parsePositiveSize(text);
}

/** 'A+B', two sizes: B bytes from byte A. */
export function parseExtent(text: string): { position: number; length: number } {
  const [position, length, ...rest] = text.split('+');
  if (position === undefined || length === undefined || rest.length > 0)
    throw new InvalidArgumentError('Expected POSITION+LENGTH, such as 1MiB+4096.');
  return { position: parsePosition(position), length: parsePositiveSize(length) };
}

export function parsePosition(text: string): number {
  return text === '0' ? 0 : parsePositiveSize(text);
}

/** Milliseconds; 'none' is Infinity. A bare number says no unit: '30' could be either. */
export function parseWait(text: string): number {
  if (text === 'none') return Infinity;
  try {
    return parseDuration(text);
  } catch {
    throw new InvalidArgumentError("Expected a duration such as 500ms, 30s or 5m, or 'none'.");
  }
}

export function parseCount(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return Number(text);
}

/** '[name=]path'. A path with '=' in its first part is written './a=b'. */
export function parseImageChoice(text: string): ImageChoice {
  const split = splitName(text);
  const choice = split === null ? { path: text } : { name: split.name, path: split.path };
  if (choice.path === '') throw new InvalidArgumentError('The path is missing.');
  return choice;
}

export function collectSlave(text: string, before: readonly string[] | undefined): string[] {
  parseImageChoice(text);
  return [...(before ?? []), text];
}

/** NAME=PATH, repeatable; a name given twice is a mistake, not a correction. */
export function collectImage(text: string, before: Record<string, string> | undefined): Record<string, string> {
  const split = splitName(text);
  if (split === null || split.path === '')
    throw new InvalidArgumentError('Expected NAME=PATH, such as slave1=/dev/sdb.');
  if (before !== undefined && Object.hasOwn(before, split.name))
    throw new InvalidArgumentError(`The image ${split.name} was given twice.`);
  return { ...before, [split.name]: split.path };
}

const DAY_MS = 24 * 60 * 60 * 1000;
const AGE_UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: DAY_MS / 24, d: DAY_MS };

/** '30d', '12h', '90m', '3600s' to ms. */
export function parseAge(text: string): number {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  const unit = AGE_UNITS[match?.[2] ?? ''];
  if (match === null || unit === undefined)
    throw new InvalidArgumentError('Expected an age such as 30d, 12h, 90m or 3600s.');
  return Number(match[1]) * unit;
}

function splitName(text: string): { name: string; path: string } | null {
  const at = text.indexOf('=');
  if (at <= 0) return null;
  const name = text.slice(0, at);
  return NAME.test(name) ? { name, path: text.slice(at + 1) } : null;
}
