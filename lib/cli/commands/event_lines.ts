/** Events as lines of a terminal: date and words side by side, or, where that leaves the words no room, one below the other. Pure. */
import { facts, wrap } from '../words';

/** Columns that words need at least, to be read. */
const LEAST = 40;
const INDENT = '  ';

export function eventLines(events: readonly { at: string; words: string }[], width: number): string {
  if (events.length === 0) return '';
  const dated = events.map(({ at, words }): [string, string] => [toSecond(at), words]);
  const column = Math.max(...dated.map(([at]) => at.length)) + 2;
  if (width - column >= LEAST) return facts(dated, width);
  return dated.map(([at, words]) => `${at}\n${wrap(words, width, INDENT)}`).join('\n');
}

/** '2026-11-27 02:14:03Z': milliseconds are in the JSON. */
function toSecond(at: string): string {
  return at.replace('T', ' ').replace(/\.\d+Z$/, 'Z');
}
