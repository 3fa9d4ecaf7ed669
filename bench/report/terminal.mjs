// The table on the terminal. Pure: results in, text out.
import { createRequire } from 'node:module';
import { inUnit, inWords } from './units.mjs';
import { titleOf } from '../contestants.mjs';
import { machineInWords } from '../machine.mjs';
import { reached } from '../measure.mjs';

const Table = createRequire(import.meta.url)('cli-table3');

const whole = (spread) => (spread ? Math.round(spread.median).toLocaleString('en-US') : '-');
const micro = (spread) => (spread ? spread.median.toFixed(spread.median < 100 ? 1 : 0) : '-');

// Plain columns: lines would double the length of the report.
const CHARS = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'])
    .map((place) => [place, '']),
);

function table(head, left = 1) {
  return new Table({
    head,
    chars: { ...CHARS, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: head.map((_, i) => (i < left ? 'left' : 'right')),
  });
}

export function targetInWords({ atLeast, atMost, unit }) {
  if (atLeast !== undefined) return `at least ${inUnit(atLeast, unit)}`;
  return atMost === undefined ? '' : `at most ${inUnit(atMost, unit)}`;
}

export function verdict(figure) {
  const good = reached(figure);
  return good === null ? '' : good ? 'reached' : 'MISSED';
}

/** One line for each figure that a result is about. */
export function figuresTable(results) {
  const shown = table(['', 'median (range)', 'wanted', '']);
  for (const { title, figures = [] } of results) {
    if (figures.length === 0) continue;
    shown.push([{ colSpan: 4, content: title }]);
    for (const figure of figures) {
      shown.push([`  ${figure.what}`, inWords(figure), targetInWords(figure), verdict(figure)]);
    }
  }
  return shown.toString();
}

/** Everybody's absolute figures. */
export function contestantsTable(results) {
  const head = ['', 'ratio', '/s', 'p50 us', 'p99 us', 'p99.9 us', 'CPU us (user+sys)', 'covered'];
  const shown = table(head);
  const across = (content) => [{ colSpan: head.length, content }];
  for (const { title, baseline, contestants, ratios, absent } of results.filter(({ kind }) => kind === 'row')) {
    shown.push(across(title));
    for (const [name, one] of Object.entries(contestants)) {
      shown.push([
        `  ${titleOf(name)}`,
        name === baseline ? '1' : (ratios[name]?.median.toFixed(2) ?? '-'),
        whole(one.throughput),
        micro(one.p50),
        micro(one.p99),
        micro(one.p999),
        `${micro(one.cpu)} (${micro(one.cpuUser)}+${micro(one.cpuSystem)})`,
        one.coveredShare ? `${Math.round(one.coveredShare.median * 100)} %` : '',
      ]);
    }
    for (const [name, why] of Object.entries(absent)) shown.push(across(`  ${titleOf(name)}: not here, ${why}`));
  }
  return shown.toString();
}

/** What was left out, and what the figures are. */
function notes({ settings, results, absent = [] }) {
  return [
    ...results.filter(({ kind }) => kind === 'failed').map(({ title, why }) => `FAILED: ${title}: ${why}`),
    ...results.filter(({ kind }) => kind === 'skipped').map(({ title, why }) => `Left out: ${title}: ${why}`),
    ...absent.map(({ title, why }) => `Not here: ${title}: ${why}`),
    `Medians of ${settings.rounds} rounds (and their range). covered: writes that needed no log write.`,
  ].join('\n');
}

export function textReport(document) {
  const { results } = document;
  const rows = results.some(({ kind }) => kind === 'row') ? [contestantsTable(results)] : [];
  const machine = machineInWords(document.machine).join('\n');
  const plain = (text) => text.replace(/ +$/gm, '');
  return `${[machine, ...rows, figuresTable(results), notes(document)].map(plain).join('\n\n')}\n`;
}
