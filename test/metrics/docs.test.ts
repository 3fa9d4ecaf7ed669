/** docs/METRICS.md has the metrics that the code exposes; `BLOCKMIRROR_WRITE_DOCS=1` writes its table anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FAMILIES } from '../../lib/metrics/families';
import type { Family } from '../../lib/metrics/family';

const PAGE = join(__dirname, '..', '..', 'docs', 'METRICS.md');
const HEAD = '| Metric ';

const exposedName = ({ name, type }: Family): string =>
  name + (type === 'counter' ? '_total' : type === 'info' ? '_info' : '');
const TYPES: Readonly<Record<Family['type'], string>> = {
  gauge: 'gauge',
  counter: 'counter',
  histogram: 'histogram',
  stateset: 'state set',
  info: 'info',
};

function rows(): string[][] {
  return FAMILIES.map((family) => [
    `\`${exposedName(family)}\``,
    TYPES[family.type],
    family.labels.map((label) => `\`${label}\``).join(', '),
    family.help,
    family.knownFrom,
  ]);
}

test('the table on the page is that of the code', () => {
  const lines = readFileSync(PAGE, 'utf8').split('\n');
  const first = lines.findIndex((line) => line.startsWith(HEAD)) + 2;
  const after = lines.findIndex((line, index) => index >= first && !line.startsWith('|'));
  if (process.env['BLOCKMIRROR_WRITE_DOCS'] === '1') {
    const table = rows().map((cells) => `| ${cells.join(' | ')} |`);
    writeFileSync(PAGE, [...lines.slice(0, first), ...table, ...lines.slice(after)].join('\n'));
    return;
  }
  const told = lines.slice(first, after).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  expect(told).toEqual(rows());
});

test('names are of the format: one family each, a unit at the end where there is one, no suffix that a type puts on', () => {
  const names = FAMILIES.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const { name, type } of FAMILIES) {
    expect(name).toMatch(/^blockmirror_[a-z]+(_[a-z]+)*$/);
    expect(name).not.toMatch(/_(total|info|created|bucket|sum|count|milliseconds|kilobytes|ms)$/);
    if (/bytes/.test(name)) expect(name).toMatch(/_bytes(_per_second)?$/);
    if (type === 'histogram' || /timestamp|duration|latency/.test(name)) expect(name).toMatch(/_seconds$/);
  }
});

test('helps are one sentence in plain words, which both formats can carry', () => {
  for (const { help } of FAMILIES) expect(help).toMatch(/^[A-Z0-9][^"\\\n|]*[^.\s]$/);
});

test('labels come from closed lists and from names of images alone', () => {
  const known = ['version', 'image', 'role', 'device', 'operation'];
  for (const { name, type, labels } of FAMILIES) {
    for (const label of labels) expect(type === 'stateset' ? [...known, name] : known).toContain(label);
  }
});
