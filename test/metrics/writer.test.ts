/** The text of one family: each type, escaping and numbers, by the rules of both formats. */
import type { FamilyHead, Metric, MetricType, ValueOfType } from '../../lib/metrics/family';
import { endOfText, familyText, unitOf } from '../../lib/metrics/writer';
import { readOpenMetrics, stateOf, valueOf } from '../support/openmetrics';
import {
  noPromtool,
  noReferenceParser,
  promtool,
  promtoolOpenMetrics,
  referenceParser,
} from '../support/prometheus_tools';
import { describeUnless } from '../support/skip';

const NOT_PARSED = /error while linting|parsing error/i;
const head = <T extends MetricType>(name: string, type: T, help = 'Words'): FamilyHead<T> => ({ name, type, help });

function bothFormats<T extends MetricType>(
  family: FamilyHead<T>,
  ...metrics: Metric<ValueOfType[T]>[]
): { openmetrics: string[]; prometheus: string[] } {
  const lines = (format: 'openmetrics' | 'prometheus'): string[] => {
    const text = familyText(family, metrics, format);
    expect(text).toMatch(/\n$/);
    return text.slice(0, -1).split('\n');
  };
  return { openmetrics: lines('openmetrics'), prometheus: lines('prometheus') };
}

test('a gauge: its name, its labels in their order, its value', () => {
  const { openmetrics, prometheus } = bothFormats(
    head('depth', 'gauge'),
    { labels: {}, value: 3 },
    { labels: { b: 'x', a: 'y' }, value: -1.5 },
  );
  expect(prometheus).toEqual(['# HELP depth Words', '# TYPE depth gauge', 'depth 3', 'depth{b="x",a="y"} -1.5']);
  expect(openmetrics).toEqual(prometheus);
});

test('a counter: its samples end in _total, its family only in the Prometheus format', () => {
  const { openmetrics, prometheus } = bothFormats(head('writes', 'counter'), { labels: { m: 'x' }, value: 7 });
  expect(openmetrics).toEqual(['# HELP writes Words', '# TYPE writes counter', 'writes_total{m="x"} 7']);
  expect(prometheus).toEqual(['# HELP writes_total Words', '# TYPE writes_total counter', 'writes_total{m="x"} 7']);
});

test('an info: 1 and _info, a gauge in the Prometheus format', () => {
  const { openmetrics, prometheus } = bothFormats(head('build', 'info'), { labels: { version: '2' }, value: null });
  expect(openmetrics).toEqual(['# HELP build Words', '# TYPE build info', 'build_info{version="2"} 1']);
  expect(prometheus).toEqual(['# HELP build_info Words', '# TYPE build_info gauge', 'build_info{version="2"} 1']);
});

test('a state set: a sample for each state, in the label named as the family, a gauge in the Prometheus format', () => {
  const value = { states: ['on', 'off', 'broken'], now: 'off' };
  const { openmetrics, prometheus } = bothFormats(head('lamp', 'stateset'), { labels: { room: 'a' }, value });
  const samples = ['lamp{room="a",lamp="on"} 0', 'lamp{room="a",lamp="off"} 1', 'lamp{room="a",lamp="broken"} 0'];
  expect(openmetrics).toEqual(['# HELP lamp Words', '# TYPE lamp stateset', ...samples]);
  expect(prometheus).toEqual(['# HELP lamp Words', '# TYPE lamp gauge', ...samples]);
});

test('a histogram: buckets summed up, the last +Inf, a sum and a count that is that of the last bucket', () => {
  // What follows the bucket of +Inf is not a bucket.
  const value = { bucketEnds: ['0.1', '2.5'], counts: [4, 0, 3, 999], sum: 12.5 };
  const { openmetrics, prometheus } = bothFormats(
    head('wait', 'histogram'),
    { labels: { of: 'disk' }, value },
    { labels: {}, value: { bucketEnds: [], counts: [], sum: 0 } },
  );
  expect(openmetrics).toEqual([
    '# HELP wait Words',
    '# TYPE wait histogram',
    'wait_bucket{of="disk",le="0.1"} 4',
    'wait_bucket{of="disk",le="2.5"} 4',
    'wait_bucket{of="disk",le="+Inf"} 7',
    'wait_sum{of="disk"} 12.5',
    'wait_count{of="disk"} 7',
    'wait_bucket{le="+Inf"} 0',
    'wait_sum 0',
    'wait_count 0',
  ]);
  expect(prometheus).toEqual(openmetrics);
});

test.each([
  ['size_bytes', 'gauge', 'bytes'],
  ['read_bytes', 'counter', 'bytes'],
  ['wait_seconds', 'histogram', 'seconds'],
  ['rate_bytes_per_second', 'gauge', 'bytes_per_second'],
  ['writes', 'counter', undefined],
  ['megabytes', 'gauge', undefined],
  ['age_seconds', 'info', undefined],
  ['age_seconds', 'stateset', undefined],
] as const)('the unit of %s, a %s, is %s', (name, type, unit) => {
  expect(unitOf(head(name, type))).toBe(unit);
});

test('the unit stands in OpenMetrics alone', () => {
  const { openmetrics, prometheus } = bothFormats(head('read_bytes', 'counter'), { labels: {}, value: 0 });
  expect(openmetrics[2]).toBe('# UNIT read_bytes bytes');
  expect(prometheus.filter((line) => line.includes('UNIT'))).toEqual([]);
});

test('a label is escaped: backslashes, quotes, line feeds, every one of them', () => {
  const value = 'a\\b\\n"c"\nd\n';
  const { openmetrics, prometheus } = bothFormats(head('depth', 'gauge'), { labels: { path: value }, value: 1 });
  expect(prometheus[2]).toBe('depth{path="a\\\\b\\\\n\\"c\\"\\nd\\n"} 1');
  expect(openmetrics).toEqual(prometheus);
  const families = readOpenMetrics(`${openmetrics.join('\n')}\n# EOF\n`);
  expect(valueOf(families, 'depth', { path: value })).toBe(1);
});

test('the labels and states of a state set and of a histogram are escaped as well', () => {
  const states = bothFormats(head('lamp', 'stateset'), {
    labels: { room: '"' },
    value: { states: ['a\nb', 'c'], now: 'a\nb' },
  });
  const families = readOpenMetrics(`${states.openmetrics.join('\n')}\n# EOF\n`);
  expect(stateOf(families, 'lamp', { room: '"' })).toBe('a\nb');
  const value = { bucketEnds: ['0.5'], counts: [1, 1], sum: 2 };
  const { prometheus } = bothFormats(head('wait', 'histogram'), { labels: { of: '\\' }, value });
  expect(prometheus.slice(2).every((line) => line.includes('of="\\\\"'))).toBe(true);
});

test('a help is escaped by the rules of its format: a quote in OpenMetrics alone', () => {
  const { openmetrics, prometheus } = bothFormats(head('depth', 'gauge', 'A "b" \\ c\nd'), { labels: {}, value: 1 });
  expect(openmetrics[0]).toBe('# HELP depth A \\"b\\" \\\\ c\\nd');
  expect(prometheus[0]).toBe('# HELP depth A "b" \\\\ c\\nd');
});

test.each([
  [0, '0'],
  [-0, '0'],
  [1, '1'],
  [2 ** 53, '9007199254740992'],
  [0.1, '0.1'],
  [1.23e-7, '1.23e-7'],
  [1e300, '1e+300'],
  [NaN, 'NaN'],
  [Infinity, '+Inf'],
  [-Infinity, '-Inf'],
])('the number %p is written %s', (value, text) => {
  const { openmetrics } = bothFormats(head('depth', 'gauge'), { labels: {}, value });
  expect(openmetrics[2]).toBe(`depth ${text}`);
});

test('a family without a metric has no text, and OpenMetrics alone has an end', () => {
  expect(familyText(head('depth', 'gauge'), [], 'openmetrics')).toBe('');
  expect(endOfText('openmetrics')).toBe('# EOF\n');
  expect(endOfText('prometheus')).toBe('');
});

/** Everything that the writer can write, hostile text in it. */
function everything(format: 'openmetrics' | 'prometheus'): string {
  const labels = { a: 'quote " backslash \\ line\nfeed', b: 'ü€😀 {}=,#' };
  const help = 'Quote " backslash \\ line\nfeed';
  return [
    familyText(head('depth', 'gauge', help), [{ labels, value: NaN }], format),
    familyText(head('low_bytes', 'gauge', help), [{ labels, value: -Infinity }], format),
    familyText(head('read_bytes', 'counter', help), [{ labels, value: 1e300 }], format),
    familyText(head('build', 'info', help), [{ labels, value: null }], format),
    familyText(head('lamp', 'stateset', help), [{ labels, value: { states: ['on', 'o"f\\f'], now: 'on' } }], format),
    familyText(
      head('wait_seconds', 'histogram', help),
      [
        { labels, value: { bucketEnds: ['0.000000127', '1.5'], counts: [1, 2, 3], sum: 1.23e-7 } },
        { labels: { ...labels, a: '' }, value: { bucketEnds: ['1.5'], counts: [0, 0], sum: 0 } },
      ],
      format,
    ),
    endOfText(format),
  ].join('');
}

test('the strict reader takes everything that can be written', () => {
  const families = readOpenMetrics(everything('openmetrics'));
  expect([...families.keys()]).toEqual(['depth', 'low_bytes', 'read_bytes', 'build', 'lamp', 'wait_seconds']);
  expect(families.get('depth')?.help).toBe('Quote " backslash \\ line\nfeed');
  expect(families.get('wait_seconds')?.unit).toBe('seconds');
});

describeUnless(noPromtool, "Prometheus' parsers take everything that can be written", () => {
  test('in its own format', () => {
    // promtool gives advice on the names of this test, too: what it can parse it does not call an error.
    expect(promtool(['check', 'metrics'], everything('prometheus'))).not.toMatch(NOT_PARSED);
    expect(promtool(['check', 'metrics'], 'depth{a="x" 1\n')).toMatch(NOT_PARSED);
  });

  test('in OpenMetrics', () => {
    expect(promtoolOpenMetrics(everything('openmetrics'))).toBe('');
  });
});

describeUnless(noReferenceParser, "OpenMetrics' own parser", () => {
  test('takes everything that can be written', () => {
    expect(referenceParser(everything('openmetrics'))).toBe('');
  });
});
