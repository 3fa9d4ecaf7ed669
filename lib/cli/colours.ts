/**
 * Our own colours amid text from outside: a terminal gets these and nothing else that it obeys.
 *
 * A colour carries a number of this run until it is written, which nothing that stood on a disk before can hold.
 */
import { randomInt } from 'node:crypto';
import { shownLine, shownText } from '../base/shown';

export type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow';
const CODES: Record<Colour, readonly [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
};

/** Groups of four digits: cli-table3 takes no longer ones for colours when it measures. */
const group = (): number => randomInt(1000, 10_000);
const OURS = `${group()};${group()};`;
const PAINTED = new RegExp(`(\\u001b\\[${OURS}\\d+m)`);

export function painted(colour: Colour, text: string): string {
  const [on, off] = CODES[colour];
  return `\u001b[${OURS}${on}m${text}\u001b[${OURS}${off}m`;
}

/** Odd parts are our colours. */
function mapParts(text: string, words: (part: string) => string, colour: (part: string) => string): string {
  const parts = text.split(PAINTED);
  return parts.map((part, index) => (index % 2 === 1 ? colour(part) : words(part))).join('');
}

/** Several lines, as they are written: the last step. */
export function forScreen(text: string): string {
  return mapParts(text, shownText, (colour) => colour.replace(OURS, ''));
}

/** One line, still with our colours. */
export function paintedLine(text: string): string {
  return mapParts(text, shownLine, (colour) => colour);
}

const NO_WIDTH = /\p{M}/u;
const TWO_COLUMNS =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;

/** Columns that a line takes on a terminal. */
export function columnsOf(line: string): number {
  let columns = 0;
  for (const character of mapParts(line, shownLine, () => '')) {
    if (!NO_WIDTH.test(character)) columns += TWO_COLUMNS.test(character) ? 2 : 1;
  }
  return columns;
}
