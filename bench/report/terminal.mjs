// The table on the terminal. Pure: results in, text out.
import { createRequire } from 'node:module';
import { titleOf } from '../contestants.mjs';
import { reached } from '../measure.mjs';

const Table = createRequire(import.meta.url)('cli-table3');

const MEASURE_WORDS = { throughput: 'throughput', p50: 'median latency', p999: 'p99.9 latency' };
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

export function ratioInWords(ratio) {
  if (!ratio) return '-';
  const { minimum, median, maximum } = ratio;
  return `${median.toFixed(2)} (${minimum.toFixed(2)}-${maximum.toFixed(2)})`;
}

export function targetInWords({ atLeast, atMost }) {
  if (atLeast !== undefined) return `at least ${atLeast}`;
  return atMost === undefined ? '' : `at most ${atMost}`;
}

export function verdict(figure) {
  const good = reached(figure);
  return good === null ? '' : good ? 'reached' : 'MISSED';
}

/** One line for each figure that a row is about. */
export function figuresTable(results) {
  const shown = table(['workload', 'figure', 'median (range)', 'wanted', ''], 2);
  for (const { title, figures } of results.filter(({ kind }) => kind === 'row')) {
    figures.forEach((figure, i) => {
      const what = `${MEASURE_WORDS[figure.measure]} of ${titleOf(figure.against)}`;
      shown.push([i === 0 ? title : '', what, ratioInWords(figure.ratio), targetInWords(figure), verdict(figure)]);
    });
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
