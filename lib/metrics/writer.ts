/**
 * The text of one metric family, in OpenMetrics 1.0 or in the Prometheus format 0.0.4. Pure.
 *
 * Invariants:
 *  - Both formats have the same samples. What differs stands in RULES.
 *  - Whatever stands in a label or a help, a line stays a line: line feeds, backslashes and quotes are escaped.
 *  - The buckets of a histogram are summed up here, so that they never fall, +Inf is the last, and `_count` is equal to it.
 */
import type { MetricsFormat } from '../base/types';
import type { FamilyHead, HistogramValue, Metric, MetricType, StateSetValue, Value, ValueOfType } from './family';

interface Rules {
  types: Readonly<Record<MetricType, string>>;
  /** HELP and TYPE name a counter with `_total`, and an info with `_info`, as their samples do. */
  namesSamples: boolean;
  hasUnits: boolean;
  /** What is escaped in a help. In a label both formats escape the same. */
  escapedInHelp: RegExp;
  end: string;
}

const RULES: Readonly<Record<MetricsFormat, Rules>> = {
  openmetrics: {
    types: { gauge: 'gauge', counter: 'counter', histogram: 'histogram', stateset: 'stateset', info: 'info' },
    namesSamples: false,
    hasUnits: true,
    escapedInHelp: /[\\\n"]/g,
    end: '# EOF\n',
  },
  // It knows neither state sets nor infos.
  prometheus: {
    types: { gauge: 'gauge', counter: 'counter', histogram: 'histogram', stateset: 'gauge', info: 'gauge' },
    namesSamples: true,
    hasUnits: false,
    escapedInHelp: /[\\\n]/g,
    end: '',
  },
};

const ESCAPED_IN_LABEL = /[\\\n"]/g;

/** What the type puts on the name of a family in its samples. Those of a histogram have one each. */
const SUFFIXES: Readonly<Record<MetricType, string>> = {
  gauge: '',
  counter: '_total',
  histogram: '',
  stateset: '',
  info: '_info',
};

/** A longer one before one that it ends with. */
const UNITS = ['bytes_per_second', 'bytes', 'seconds'] as const;

/** What follows the last family. */
export function endOfText(format: MetricsFormat): string {
  return RULES[format].end;
}

/** A family of which nothing is known is left out: ''. */
export function familyText<T extends MetricType>(
  family: FamilyHead<T>,
  metrics: readonly Metric<ValueOfType[T]>[],
  format: MetricsFormat,
): string {
  if (metrics.length === 0) return '';
  let text = headText(family, RULES[format]);
  for (const { labels, value } of metrics) text += metricText(family, labelsText(labels), value);
  return text;
}

/** By the suffix of its name. State sets and infos have none. */
export function unitOf({ name, type }: FamilyHead): string | undefined {
  if (type === 'stateset' || type === 'info') return undefined;
  return UNITS.find((unit) => name.endsWith(`_${unit}`));
}

function headText(family: FamilyHead, rules: Rules): string {
  const name = rules.namesSamples ? family.name + SUFFIXES[family.type] : family.name;
  const unit = rules.hasUnits ? unitOf(family) : undefined;
  const help = escaped(family.help, rules.escapedInHelp);
  return (
    `# HELP ${name} ${help}\n# TYPE ${name} ${rules.types[family.type]}\n` +
    (unit === undefined ? '' : `# UNIT ${name} ${unit}\n`)
  );
}

function metricText({ name, type }: FamilyHead, labels: string, value: Value): string {
  if (value === null) return sample(name + SUFFIXES[type], labels, 1);
  if (typeof value === 'number') return sample(name + SUFFIXES[type], labels, value);
  return 'states' in value ? statesText(name, labels, value) : histogramText(name, labels, value);
}

function statesText(name: string, labels: string, { states, now }: StateSetValue): string {
  return states.map((state) => sample(name, joined(labels, labelText(name, state)), state === now ? 1 : 0)).join('');
}

function histogramText(name: string, labels: string, { bucketEnds, counts, sum }: HistogramValue): string {
  let text = '';
  let count = 0;
  const bucket = `${name}_bucket{${joined(labels, 'le="')}`;
  for (let index = 0; index <= bucketEnds.length; index++) {
    count += counts[index] ?? 0;
    text += `${bucket}${bucketEnds[index] ?? '+Inf'}"} ${numberText(count)}\n`;
  }
  return text + sample(`${name}_sum`, labels, sum) + sample(`${name}_count`, labels, count);
}

function sample(name: string, labels: string, value: number): string {
  return labels === '' ? `${name} ${numberText(value)}\n` : `${name}{${labels}} ${numberText(value)}\n`;
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => labelText(name, value))
    .join();
}

function labelText(name: string, value: string): string {
  return `${name}="${escaped(value, ESCAPED_IN_LABEL)}"`;
}

function joined(labels: string, more: string): string {
  return labels === '' ? more : `${labels},${more}`;
}

function escaped(text: string, which: RegExp): string {
  return text.replace(which, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}

/** As JavaScript writes it, all digits of a double; both formats read that, but for the infinities. */
function numberText(value: number): string {
  if (value === Infinity) return '+Inf';
  return value === -Infinity ? '-Inf' : String(value);
}
