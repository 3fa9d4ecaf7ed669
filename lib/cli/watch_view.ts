/**
 * The live view of a mirror: status, events and columns in, lines out. Pure.
 *
 * Invariant: no line is longer than `columns`, so that none wraps and the next picture covers this one.
 */
import { formatSize, type ImageStatus, type ResyncEvent, type Status } from '../index';
import { shown, shownLine } from '../base/shown';
import { type Colour, columnsOf } from './colours';
import { STATE_COLOUR } from './commands/shared';
import type { WatchEvent } from './looks';
import type { Rates, ResyncNews } from './rates';
import { duration, number, share } from './words';

export type Paint = (colour: Colour, text: string) => string;

export interface ToldEvent {
  /** ISO. */
  at: string;
  event: WatchEvent;
}

export interface Picture {
  status: Status;
  /** As its process tells it; else as log and labels say. */
  live: boolean;
  /** null: not known (yet). */
  rates: Rates | null;
  resync: ResyncNews | null;
  /** Oldest first. */
  events: readonly ToldEvent[];
  columns: number;
  rows: number;
  /** By image: the most that was seen owed, of which the bars are a share. */
  mostOwed: ReadonlyMap<string, number>;
  paint: Paint;
}

const LONGEST_BAR = 30;

export function pictureToLines(picture: Picture): string[] {
  const { status, live, columns, rows, paint } = picture;
  const { bytes, budget } = status.coverage;
  const cut = (text: string): string => cutTo(text, columns);
  const head = [
    paint('bold', cut(`${shown(status.log)}: ${status.phase}`)),
    cut(`${formatSize(status.size)}, generation ${status.generation.counter}, ${holderInWords(status)}`),
    ...ratesLine(picture).map(cut),
    cut(`covered ${formatSize(bytes)}${budget === null ? '' : ` of ${formatSize(budget)} (${share(bytes, budget)})`}`),
    '',
  ];
  const images = status.images.flatMap((image) => imageLines(image, picture));
  const room = Math.max(0, rows - head.length - images.length - 3);
  const events =
    room === 0 ? [] : picture.events.slice(-room).map(({ at, event }) => cut(eventToLine(at, event, true)));
  const foot = paint(
    'dim',
    cut(
      live
        ? 'Ctrl-C ends this; live, as its process tells it'
        : 'Ctrl-C ends this; as log and labels say it, once a second',
    ),
  );
  return [...head, ...images, '', ...events, foot].slice(0, Math.max(1, rows));
}

/** What does not fit behind the first has lines of its own. */
function onOneLine(first: string, more: readonly string[], columns: number): string[] {
  const whole = [first, ...more].join(', ');
  return columnsOf(whole) <= columns ? [whole] : [first, ...more];
}

function ratesLine({ columns, rates, status: { resyncPaused } }: Picture): string[] {
  const paused = resyncPaused === true ? ['resyncs are PAUSED'] : [];
  if (rates === null) return paused;
  const { readBytesPerSecond, writtenBytesPerSecond, readsPerSecond, writesPerSecond } = rates;
  const told = (bytes: number, count: number): string =>
    `${formatSize(Math.round(bytes))}/s (${number(Math.round(count))}/s)`;
  const writes = `writes ${told(writtenBytesPerSecond, writesPerSecond)}`;
  const reads = `reads ${told(readBytesPerSecond, readsPerSecond)}`;
  return [...onOneLine(writes, [reads], columns), ...paused];
}

/** Of the last minute; a device that was asked nothing says nothing. */
function latencyInWords({ latency }: ImageStatus): string[] {
  const { write = null, read = null } = latency?.lastMinute ?? {};
  const told = (name: string, summary: typeof write): string[] =>
    summary === null ? [] : [`${name} p50 ${inMs(summary.p50Ms)} p99 ${inMs(summary.p99Ms)}`];
  return [...told('write', write), ...told('read', read)];
}

function inMs(ms: number): string {
  return ms < 10 ? `${ms.toFixed(2)} ms` : duration(ms);
}

function resyncInWords({ name }: ImageStatus, resync: ResyncNews | null): string {
  if (resync === null || !resync.images.includes(name)) return '';
  const left = resync.timeLeftMs === null ? '' : `, ${duration(resync.timeLeftMs)} left`;
  return ` ${formatSize(Math.round(resync.bytesPerSecond))}/s${left}`;
}

/** Its state, what it owes, how fast its device is, and where it fits a bar of its resync. */
function imageLines(image: ImageStatus, { columns, mostOwed, paint, resync }: Picture): string[] {
  const name = shown(image.name).padEnd(10);
  const owed = image.bytesOwed ?? 0;
  const words = [image.state, ...(owed > 0 ? [`owes ${formatSize(owed)}`] : [])];
  const [first = '', ...more] = onOneLine(`${name} ${words.join(', ')}`, latencyInWords(image), columns);
  const text = cutTo(first, columns);
  const painted = text.startsWith(`${name} ${image.state}`)
    ? `${name} ${paint(STATE_COLOUR[image.state], image.state)}${text.slice(name.length + 1 + image.state.length)}`
    : text;
  const most = mostOwed.get(image.name) ?? 0;
  const lines = [painted, ...more.map((line) => cutTo(`    ${line}`, columns))];
  if (image.state !== 'synchronizing' || most === 0) return lines;
  const done = Math.min(1, Math.max(0, 1 - owed / most));
  const speed = resyncInWords(image, resync);
  // Its own words, ' 100%' and the indent take the rest.
  const length = Math.min(LONGEST_BAR, columns - 10 - (columns < 2 * LONGEST_BAR ? speed.length : 0));
  if (length < 4) return lines;
  const full = Math.floor(done * length);
  const bar = `    ${'█'.repeat(full)}${'░'.repeat(length - full)} ${Math.floor(done * 100)}%`;
  return [...lines, cutTo(`${bar}${speed}`, columns)];
}

function holderInWords({ holder, owner }: Status): string {
  if (holder === null) return owner === null ? 'nobody has it open' : `open by process ${owner.process}`;
  const who = holder.process === null ? 'a process that cannot be seen' : `process ${holder.process}`;
  return `open by ${who}${holder.state === 'frozen' ? ', FROZEN' : ''}`;
}

/** @param short the time of the day is enough */
export function eventToLine(at: string, event: WatchEvent, short = false): string {
  return shownLine(`${short ? at.slice(11, 19) : at} ${eventInWords(event)}`);
}

function eventInWords(event: WatchEvent): string {
  switch (event.event) {
    case 'status': {
      const states = event.status.images.map(({ name, state }) => `${shown(name)} ${state}`);
      return `${event.status.phase}: ${states.join(', ')}`;
    }
    case 'phase':
      return `the mirror is ${event.to}, it was ${event.from}`;
    case 'holder':
      if (event.state === 'frozen') return `process ${event.process}, which has it open, is FROZEN`;
      return event.process === null ? 'nobody is seen to have it open' : `process ${event.process} has it open`;
    case 'state': {
      const why = event.error === null ? '' : `: ${event.error.message}`;
      return `${shown(event.image)} is ${event.to}, it was ${event.from}${why}`;
    }
    case 'generation':
      return `generation ${event.to}`;
    case 'recovered':
      return `recovered: ${formatSize(event.bytesCopied)} copied`;
    case 'verified':
      return `verified: ${event.result}`;
    case 'live':
      if (event.live) return 'its process tells it itself from here on';
      return event.problem === null
        ? 'as log and labels say it from here on'
        : `as log and labels say it from here on: ${event.problem.message}`;
    case 'repaired':
      return `${shown(event.image)} was repaired from ${shown(event.from)}: ${formatSize(event.length)} at byte ${event.position}`;
    case 'resync':
      return resyncStepInWords(event);
    case 'stalled': {
      const what = event.device === 'log' ? 'the log' : shown(event.device);
      return event.until === null
        ? `${what} does not answer: a ${event.operation} waits since ${event.since}`
        : `${what} answers again`;
    }
    case 'unseen':
      return `it cannot be looked at: ${event.error.message}`;
    case 'seen':
      return 'it can be looked at again';
  }
}

function resyncStepInWords({ images, step, bytesDone, bytesTotal, reason }: ResyncEvent): string {
  const who = `resync of ${images.map(shown).join(', ')}`;
  const far = `${formatSize(bytesDone)} of ${formatSize(bytesTotal)}`;
  switch (step) {
    case 'begun':
      return `${who} begins: ${formatSize(bytesTotal)}`;
    case 'progress':
      return `${who}: ${far}`;
    case 'ended':
      return `${who} ended after ${far}: ${(reason ?? '').replace('-', ' ')}`;
  }
}

/** By columns of a terminal, not by characters. */
function cutTo(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  let kept = '';
  for (const character of text) {
    if (columnsOf(kept + character) > columns - 1) break;
    kept += character;
  }
  return `${kept}…`;
}
