/**
 * Numbers, times and lists as people read them. Pure.
 */
import Table from 'cli-table3';
import { shown } from '../base/shown';
import { columnsOf, paintedLine } from './colours';

export function count(value: number, one: string, many = `${one}s`): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}

export function number(value: number): string {
  return value.toLocaleString('en-US');
}

export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const minutes = Math.floor(milliseconds / 60_000);
  const seconds = Math.floor((milliseconds % 60_000) / 1000);
  if (minutes < 60) return `${minutes} min ${seconds} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** '33%', '1.5%', '<0.1%'; 0% is nothing at all. */
export function share(part: number, whole: number): string {
  if (part === 0 || whole === 0) return '0%';
  const percent = (part / whole) * 100;
  if (percent < 0.1) return '<0.1%';
  return `${percent.toFixed(percent < 10 ? 1 : 0)}%`;
}

/** 'a', 'a and b', 'a, b and c', of names of images. */
export function list(names: readonly string[]): string {
  const items = names.map(shown);
  if (items.length <= 1) return items.join('');
  return `${items.slice(0, -1).join(', ')} and ${items[items.length - 1] as string}`;
}

const NO_BORDER = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
} as const;

/** Columns without rules, so that it can be read, copied and cut by other programs. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  rightAligned: readonly number[] = [],
): string {
  const layout = new Table({
    head: [...head],
    chars: NO_BORDER,
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 0 },
    colAligns: head.map((_, column) => (rightAligned.includes(column) ? 'right' : 'left')),
  });
  for (const row of rows) layout.push(row.map(paintedLine));
  return trimLines(layout.toString());
}

/** 'Name    value' lines; a value that is too long for the width stays in its column. */
export function facts(pairs: readonly (readonly [string, string])[], width = Infinity): string {
  const lines = pairs.map(([name, value]) => ({ name: paintedLine(name), value: paintedLine(value) }));
  const column = Math.max(...lines.map(({ name }) => columnsOf(name))) + 2;
  return lines
    .map(({ name, value }) => {
      const margin = ' '.repeat(column - columnsOf(name));
      return `${name}${margin}${wrap(value, width - column).replaceAll('\n', `\n${' '.repeat(column)}`)}`;
    })
    .join('\n');
}

/** A command longer than this stands on a line of its own, without its backticks, so that the line can be pasted. */
const COMMAND_LENGTH = 36;

/** Fills lines up to the width. A command between backticks is never broken, whatever its length. */
export function wrap(text: string, width: number, indent = ''): string {
  return text
    .split('\n')
    .map((paragraph) => wrapParagraph(paragraph, width, indent))
    .join('\n');
}

function wrapParagraph(paragraph: string, width: number, indent: string): string {
  if (indent.length + columnsOf(paragraph) <= width) return paragraph === '' ? '' : indent + paragraph;
  const own = /^ +/.exec(paragraph)?.[0] ?? '';
  if (own !== '') return wrapParagraph(paragraph.slice(own.length), width, indent + own);
  const lines: string[] = [];
  let line = '';
  const end = (): void => {
    if (line !== '') lines.push(indent + line);
    line = '';
  };
  for (const { word, blanks } of wordsOf(paragraph)) {
    const command = /^`([^`]*)`([.,;:]?)$/.exec(word);
    if (command !== null && columnsOf(word) > COMMAND_LENGTH) {
      end();
      lines.push(`${indent}    ${command[1] ?? ''}`);
      continue;
    }
    if (line !== '' && indent.length + columnsOf(line + blanks + word) > width) end();
    line = line === '' ? word : line + blanks + word;
  }
  end();
  return lines.join('\n');
}

/** Split at blanks, but not inside of backticks; each word with the blanks before it. */
function wordsOf(text: string): { blanks: string; word: string }[] {
  const words = text.matchAll(/(\s*)((?:`[^`]*`|[^\s`])+|`)/g);
  return [...words].map(([, blanks = '', word = '']) => ({ blanks, word }));
}

function trimLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
