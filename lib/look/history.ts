/** The history of a log as a report, and in words. What the log says is shown, never believed. Pure. */
import type { NativeEvent, NativeHistory, NativeSuperblock } from '../base/binding';
import { systemErrorName } from '../base/errors';
import { LONGEST_DURATION_MS, formatDuration } from '../base/duration';
import { shown } from '../base/shown';
import { formatSize } from '../base/size';
import type { FractureCause, HistoryEvent, HistoryKind, HistoryReport } from '../base/types';
import { CAUSE_IN_WORDS, recordedInWords } from './status';

export interface HistoryQuery {
  /** Name of an image; null: of all. */
  image: string | null;
  /** Milliseconds since 1970; null: from the beginning. */
  sinceMs: number | null;
}

/** Kinds whose `bytes` say something even where they are 0. */
const COUNTED: ReadonlySet<HistoryKind> = new Set<HistoryKind>([
  'recovered',
  'rejoined',
  'resync-begun',
  'resync-ended',
  'verified',
]);

export function historyReport(
  log: string,
  superblock: NativeSuperblock,
  history: NativeHistory,
  query: HistoryQuery,
  lost: number | null,
): HistoryReport {
  const events = withCrashes(history.events);
  const first = events[0]?.sequence ?? 1;
  const last = events.at(-1)?.sequence ?? 0;
  return {
    uuid: superblock.mirrorUuid,
    log,
    since: query.sinceMs === null ? null : new Date(query.sinceMs).toISOString(),
    image: query.image,
    events: events.filter(
      ({ at, image }) =>
        (query.sinceMs === null || Date.parse(at) >= query.sinceMs) && (query.image === null || image === query.image),
    ),
    overwritten: Math.max(0, Math.min(first - 1, last - SLOTS)),
    missing: missingOf(first, last, events.length),
    lost,
  };
}

/** Events that the ring holds. */
const SLOTS = 1024;

/** Before the ring was full for the first time what is missing at its beginning was never written. */
function missingOf(first: number, last: number, count: number): number {
  const oldest = Math.max(1, last - SLOTS + 1);
  return last === 0 ? 0 : last - Math.min(first, oldest) + 1 - count;
}

/** An opening that follows no close, and nothing is missing between them. */
function withCrashes(events: readonly NativeEvent[]): HistoryEvent[] {
  let open = false;
  let before = 0;
  return events.map((event) => {
    const told = event.kind === 'opened' && (event.bytes > 0 || (open && event.sequence === before + 1));
    if (event.sequence !== before + 1 || event.kind === 'closed') open = false;
    if (event.kind === 'opened' || event.kind === 'created') open = true;
    before = event.sequence;
    return shownEvent(event, told);
  });
}

function shownEvent(event: NativeEvent, afterCrash: boolean): HistoryEvent {
  const kind = event.kind as HistoryKind;
  const changed = event.image !== null && event.before !== event.after;
  const isPolicy = kind === 'policy-changed';
  return {
    sequence: event.sequence,
    at: new Date(event.atMs).toISOString(),
    kind,
    image: event.image === null ? null : event.name,
    before: changed ? event.before : null,
    after: changed ? event.after : null,
    cause: event.cause === 'none' ? null : (event.cause as FractureCause),
    error: event.error === 0 ? null : systemErrorName(event.error),
    generation: event.generation,
    opening: event.openCount,
    extent: event.length === 0 ? null : { position: event.position, length: event.length },
    bytes: isPolicy || (event.bytes === 0 && !COUNTED.has(kind)) ? null : event.bytes,
    durationMs: event.durationMs === 0 ? null : event.durationMs,
    policy: isPolicy ? { key: event.name, value: policyValue(event.name, event.bytes) } : null,
    afterCrash,
  };
}

/** As `set` takes them (lib/base/policies.ts). */
function policyValue(key: string, stored: number): string | number | null {
  if (key === 'rejoin') return stored === 0 ? 'auto' : 'manual';
  if (key === 'resyncRate') return stored === 0 ? 'auto' : stored;
  if (key === 'deviceTimeout') return formatDuration(stored === 0 ? null : stored);
  if (key === 'waitForImages') return formatDuration(stored > LONGEST_DURATION_MS ? null : stored);
  return stored;
}

// --- in words

const size = (bytes: number | null): string => formatSize(bytes ?? 0);

type InWords = (event: HistoryEvent) => string;

const WORDS: Readonly<Record<HistoryKind, InWords>> = {
  created: ({ bytes }) => `the mirror was made, of ${size(bytes)}`,
  opened: ({ bytes, opening, afterCrash }) => {
    const left = bytes === null ? 'with nothing to be copied' : `which left ${size(bytes)} to be copied`;
    return `opened, for the ${ordinal(opening)} time${afterCrash ? `, after a crash ${left}` : ''}`;
  },
  recovered: ({ bytes, durationMs }) => `recovered: ${size(bytes)} copied${within(durationMs)}`,
  fractured: (event) => `${change(event)}: ${why(event)}`,
  rejoined: (event) => `${change(event)}: it is back, ${size(event.bytes)} copied${within(event.durationMs)}`,
  'resync-begun': (event) => `${change(event)}: a resync began, of at most ${size(event.bytes)}${reason(event)}`,
  'resync-ended': (event) =>
    `${change(event)}: what the crash left is paid, ${size(event.bytes)} copied${within(event.durationMs)}`,
  verified: (event) => {
    const much = event.extent === null ? 'a part of it was compared' : 'all of it was compared';
    const found = event.bytes === 0 ? 'equal to the master' : `${size(event.bytes)} differed`;
    return `${name(event)}: ${much}, ${found}`;
  },
  repaired: (event) =>
    event.after !== null
      ? `${change(event)}: what a verify found is repaired, ${size(event.bytes)} copied${within(event.durationMs)}`
      : `${name(event)}: ${size(event.bytes)} could not be read, and hold again what another image held${around(event)}`,
  error: (event) => {
    const what =
      event.image === null ? 'the mirror stopped: its log failed' : `the mirror stopped: ${name(event)} failed`;
    const unread = event.cause === 'read-error';
    return `${unread ? `${name(event)}: ${size(event.bytes)} could not be read${around(event)}` : what}${errno(event)}`;
  },
  promoted: (event) => `${name(event)} became the master`,
  added: (event) => `${name(event)} was added`,
  removed: (event) => `${name(event)} was removed`,
  replaced: (event) => `${name(event)} was replaced`,
  grown: ({ bytes }) => `the mirror grew to ${size(bytes)}`,
  moved: () => 'the log was moved',
  'policy-changed': ({ policy }) => `${shown(policy?.key ?? '')} is ${policy?.value ?? 'none'} from here on`,
  closed: () => 'closed cleanly',
};

export function eventInWords(event: HistoryEvent): string {
  return WORDS[event.kind](event);
}

export function historyReportToText(report: HistoryReport): string {
  return [
    `mirror ${report.uuid} (log ${shown(report.log)})`,
    ...report.events.map((event) => `${event.at} ${eventInWords(event)}`),
    ...historyNotes(report),
  ].join('\n');
}

/** What is not there, in words. */
export function historyNotes({ events, overwritten, missing, lost, since, image }: HistoryReport): string[] {
  const notes: string[] = [];
  const asked = [image === null ? '' : ` of ${shown(image)}`, since === null ? '' : ` since ${since}`].join('');
  if (events.length === 0) notes.push(`the history tells of nothing${asked}`);
  if (overwritten > 0) notes.push(`${overwritten} older ${events_(overwritten)} overwritten: the ring is full`);
  if (missing > 0) notes.push(`${missing} ${events_(missing)} missing: they could not be written, or not be read`);
  if (lost !== null && lost > 0) notes.push(`${lost} of this opening could not be written`);
  return notes;
}

function events_(count: number): string {
  return count === 1 ? 'event is' : 'events are';
}

function name({ image }: HistoryEvent): string {
  return image === null || image === '' ? 'an image' : shown(image);
}

function change(event: HistoryEvent): string {
  const { before, after } = event;
  if (before === null || after === null) return name(event);
  return `${name(event)} went from ${recordedInWords(before)} to ${recordedInWords(after)}`;
}

function why(event: HistoryEvent): string {
  const { cause } = event;
  const words = cause !== null && Object.hasOwn(CAUSE_IN_WORDS, cause) ? CAUSE_IN_WORDS[cause] : 'for no known reason';
  return `${words}${errno(event)}`;
}

function reason({ cause }: HistoryEvent): string {
  if (cause === 'differs') return ', where a verify found that it differs';
  return cause === null ? ', which a crash left' : '';
}

function errno({ error }: HistoryEvent): string {
  return error === null ? '' : ` (${error})`;
}

function around({ extent }: HistoryEvent): string {
  return extent === null ? '' : `, at byte ${extent.position}${extent.length > 65_536 ? ' and behind' : ''}`;
}

function within(durationMs: number | null): string {
  if (durationMs === null) return '';
  return durationMs < 10_000 ? ` in ${durationMs} ms` : ` in ${(durationMs / 1000).toFixed(1)} s`;
}

function ordinal(count: number): string {
  const tens = count % 100;
  const ending = tens >= 11 && tens <= 13 ? 'th' : (['th', 'st', 'nd', 'rd'][count % 10] ?? 'th');
  return `${count}${ending}`;
}
