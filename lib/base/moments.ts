/** Points in time as people write them: a Date, milliseconds since 1970, '2h' (ago), '2026-11-27', an ISO date. Pure. */
import { parseDuration } from './duration';
import { invalidArgumentType } from './errors';
import { invalidOption } from './option_reader';
import { shown } from './shown';
import type { Moment } from './types';

/** As ECMAScript writes dates; one without a zone is in UTC, as all dates that we print. */
const ISO = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?)(Z|[+-]\d{2}:\d{2})?)?$/;
const AGO = /^\d[\d.]*\s*(?:ms|s|m|h|d)$/;
/** What a Date can hold. */
const LATEST_MS = 8_640_000_000_000_000;

const REMEDY =
  "Give a Date, milliseconds since 1970, a time that has passed since then ('2h', '7d'), or an ISO date: '2026-11-27', '2026-11-27T02:00Z'";

/** Milliseconds since 1970. @throws INVALID_OPTION and ERR_INVALID_ARG_TYPE naming the option */
export function parseMoment(moment: Moment, option: string, nowMs: number): number {
  const given: unknown = moment;
  if (typeof given === 'string') return fromText(given, option, nowMs);
  // Of whatever context: a Date of another one is no instance of ours.
  const ms = Object.prototype.toString.call(given) === '[object Date]' ? Date.prototype.getTime.call(given) : given;
  if (typeof ms !== 'number') throw invalidArgumentType(option, "a Date, a number or a text such as '2h'", given);
  if (!Number.isFinite(ms) || Math.abs(ms) > LATEST_MS) throw invalidOption(`${option} is no date`, REMEDY);
  return ms;
}

function fromText(text: string, option: string, nowMs: number): number {
  const trimmed = text.trim();
  if (AGO.test(trimmed)) return nowMs - parseDuration(trimmed, option);
  const match = ISO.exec(trimmed);
  const ms = match === null ? NaN : Date.parse(`${match[1]}T${match[2] ?? '00:00'}${match[3] ?? 'Z'}`);
  if (Number.isNaN(ms)) throw invalidOption(`${option} is ${shown(JSON.stringify(text))}`, REMEDY);
  return ms;
}
