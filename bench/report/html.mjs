// One self-contained page: style, chart library, data and script inside, nothing is fetched. Pure but for reading the
// parts it is made of.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { titleOf } from '../contestants.mjs';
import { machineInWords } from '../machine.mjs';
import { reached } from '../measure.mjs';
import { chartsOf } from './charts.mjs';
import { inUnit, inWords } from './units.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const part = (name) => readFileSync(path.join(here, name), 'utf8');
// The file for browsers is not among the package's exports: it stands beside the one that is.
const chartLibrary = () =>
  readFileSync(path.join(path.dirname(createRequire(import.meta.url).resolve('chart.js')), 'chart.umd.min.js'), 'utf8')
    .replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n')
    .replaceAll('</script', '<\\/script');

export function escapeHtml(text) {
  const names = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return String(text).replace(/[&<>"]/g, (character) => names[character]);
}

const element = (name, attributes, ...children) =>
  `<${name}${Object.entries(attributes)
    .map(([key, value]) => ` ${key}="${escapeHtml(value)}"`)
    .join('')}>${children.join('')}</${name}>`;
const text = escapeHtml;

function target({ atLeast, atMost, unit }) {
  if (atLeast !== undefined) return `≥ ${inUnit(atLeast, unit)}`;
  return atMost === undefined ? '' : `≤ ${inUnit(atMost, unit)}`;
}

function verdictCell(figure) {
  const good = reached(figure);
  if (good === null) return '<td></td>';
  return element('td', { class: good ? 'good' : 'bad' }, good ? 'reached' : 'missed');
}

const BAR_END = 1.25; // of the ratio; beyond it a bar would leave its track

/** The range of a ratio as a bar, its median and what is wanted as marks, on a track from 0 to 1.25. */
function ratioBar({ value, atLeast, atMost }) {
  if (!value || value.maximum > 2 * BAR_END) return '<td></td>';
  const percent = (ratio) => `${(Math.min(ratio, BAR_END) / BAR_END) * 100}%`;
  const width = `${((Math.min(value.maximum, BAR_END) - Math.min(value.minimum, BAR_END)) / BAR_END) * 100}%`;
  const wanted = atLeast ?? atMost;
  return element(
    'td',
    { class: 'bar' },
    element(
      'div',
      { class: 'track' },
      element('i', { class: 'one', style: `left:${percent(1)}` }),
      element('i', { class: 'range', style: `left:${percent(value.minimum)};width:${width}` }),
      ...(wanted !== undefined && wanted <= BAR_END
        ? [element('i', { class: 'wanted', style: `left:${percent(wanted)}` })]
        : []),
      element('i', { class: 'median', style: `left:${percent(value.median)}` }),
    ),
  );
}

function figuresTable(results) {
  const lines = results.flatMap(({ title, figures = [] }) =>
    figures.map((figure, i) => {
      const name = i === 0 ? element('th', { rowspan: figures.length, scope: 'rowgroup' }, text(title)) : '';
      const bar = figure.unit === 'ratio' ? ratioBar(figure) : '<td></td>';
      const cells = [figure.what, inWords(figure), target(figure)].map((cell, at) =>
        element('td', at > 0 ? { class: 'words' } : {}, text(cell)),
      );
      return element(
        'tr',
        i === 0 ? { class: 'first' } : {},
        name,
        cells[0],
        bar,
        cells[1],
        cells[2],
        verdictCell(figure),
      );
    }),
  );
  const head = ['Workload', 'Figure', '0 to 1.25', 'Median (range)', 'Wanted', ''];
  return element(
    'table',
    {},
    element('thead', {}, element('tr', {}, ...head.map((cell) => element('th', {}, text(cell))))),
    element('tbody', {}, ...lines),
  );
}

function contestantsTable(results) {
  const number = (spread, digits = 0) =>
    spread ? spread.median.toLocaleString('en-US', { maximumFractionDigits: digits }) : '';
  const lines = results
    .filter(({ kind }) => kind === 'row')
    .flatMap(({ title, baseline, contestants, ratios, absent }) => {
      const present = Object.entries(contestants).map(([name, one]) => [
        titleOf(name),
        name === baseline ? '1' : (ratios[name]?.median.toFixed(2) ?? ''),
        number(one.throughput),
        number(one.p50),
        number(one.p99),
        number(one.p999),
        number(one.cpuUser, 1),
        number(one.cpuSystem, 1),
        one.coveredShare ? `${Math.round(one.coveredShare.median * 100)} %` : '',
      ]);
      const missing = Object.entries(absent).map(([name, why]) => [`${titleOf(name)}: not here, ${why}`]);
      return [...present, ...missing].map((cells, i) => {
        const span = present.length + missing.length;
        const name = i === 0 ? element('th', { rowspan: span, scope: 'rowgroup' }, text(title)) : '';
        const inner = cells.map((cell, at) =>
          element(
            'td',
            cells.length === 1 ? { colspan: 9, class: 'absent' } : at > 0 ? { class: 'number' } : {},
            text(cell),
          ),
        );
        return element('tr', i === 0 ? { class: 'first' } : {}, name, ...inner);
      });
    });
  if (lines.length === 0) return '';
  const head = [
    'Workload',
    'Who',
    'Ratio',
    'per second',
    'p50 µs',
    'p99 µs',
    'p99.9 µs',
    'CPU user µs',
    'CPU system µs',
    'Covered',
  ];
  return element(
    'table',
    { class: 'dense' },
    element('thead', {}, element('tr', {}, ...head.map((cell) => element('th', {}, text(cell))))),
    element('tbody', {}, ...lines),
  );
}

const canvas = (id, height) =>
  element('div', { class: 'chart', style: `height:${height}px` }, element('canvas', { id }));
const section = (title, ...content) => element('section', {}, element('h2', {}, text(title)), ...content);
const paragraph = (...content) => element('p', {}, ...content);

function depthSection(charts) {
  if (charts.length === 0) return '';
  const figures = charts.map(({ title }, i) =>
    element('figure', {}, element('figcaption', {}, text(title)), canvas(`depth-${i}`, 300)),
  );
  return section('Throughput over depth', element('div', { class: 'grid' }, ...figures));
}

function latencySection(charts) {
  if (charts.length === 0) return '';
  const figures = charts.map(({ title }, i) =>
    element('figure', {}, element('figcaption', {}, text(title)), canvas(`latency-${i}`, 260)),
  );
  return section(
    'Latency',
    paragraph('The share of requests that were faster, over all rounds; both axes logarithmic.'),
    element('div', { class: 'grid' }, ...figures),
  );
}

function paretoSection(chart) {
  if (!chart) return '';
  const sources = chart.peers.map(({ label, source }) =>
    element('li', {}, element('b', {}, text(label)), ` ${text(source)}`),
  );
  return section(
    'What it costs while it runs, what it copies after a crash',
    paragraph(text(`${chart.title}. Up and to the left is better.`)),
    canvas('pareto', 420),
    paragraph(
      'The others were not measured here; where nobody published a throughput, a line says only where they stand:',
    ),
    element('ul', {}, ...sources),
  );
}

function memorySection(chart) {
  return chart ? section('Memory', paragraph(text(chart.title)), canvas('memory', 240)) : '';
}

function skippedSection({ results, absent = [] }) {
  const words = { skipped: 'Left out', failed: 'Failed' };
  const lines = [
    ...results.filter(({ kind }) => kind in words).map(({ kind, title, why }) => `${words[kind]}: ${title}: ${why}`),
    ...absent.map(({ title, why }) => `Not on this machine: ${title}: ${why}`),
  ];
  if (lines.length === 0) return '';
  return section('What is missing', element('ul', {}, ...lines.map((line) => element('li', {}, text(line)))));
}

const WORDS = `hot: the positions fit half of the recovery budget, so that nearly every write finds its portion covered by
a live intent. cold: positions over the whole mirror. covered: writes that needed no log write. CPU: of the whole process,
kernel workers included, for each request. Every ratio is taken within a round, in which all run one after another over
the same images, the order swapped each round; shown are median and range of the rounds.`;

export function htmlReport(document) {
  const { machine, settings, results } = document;
  const charts = chartsOf(document);
  const { rounds, seconds, warmUp, recoveryBudget, device } = settings;
  const how =
    `${rounds} rounds of ${seconds} s after ${warmUp} s of warm-up; recovery budget ${inUnit(recoveryBudget, 'bytes')}; ` +
    `device ${device}; ${machine.date.slice(0, 10)}${machine.commit ? `, commit ${machine.commit}` : ''}`;
  const body = [
    element('h1', {}, 'blockmirror: benchmark'),
    element(
      'ul',
      { class: 'machine' },
      ...[...machineInWords(machine), how].map((line) => element('li', {}, text(line))),
    ),
    section('Figures', figuresTable(results), paragraph(text(WORDS))),
    paretoSection(charts.pareto),
    depthSection(charts.depth),
    latencySection(charts.latency),
    memorySection(charts.memory),
    section('Everybody', contestantsTable(results)),
    skippedSection(document),
  ];
  // `<` written otherwise: no text inside can end the script element.
  const data = JSON.stringify(charts).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>blockmirror: benchmark</title>
<style>${part('page.css')}</style>
</head>
<body>
<main>${body.join('\n')}</main>
<script type="application/json" id="charts">${data}</script>
<script>${chartLibrary()}</script>
<script>${part('page.js')}</script>
</body>
</html>
`;
}
