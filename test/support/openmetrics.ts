/**
 * A reader of OpenMetrics 1.0 text by the rules of its specification: it throws where one is broken. A second reader, besides
 * those of Prometheus: it is always there, and it knows rules that they let pass.
 */

export interface ReadSample {
  name: string;
  labels: Record<string, string>;
  value: number;
}
export interface ReadFamily {
  name: string;
  type: string;
  help: string;
  /** '': it has none. */
  unit: string;
  samples: ReadSample[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const METADATA = new RegExp(`^# (HELP|TYPE|UNIT) (${NAME}) (.*)$`);
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/;
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?Inf|NaN)$/;

/** What may follow the name of the family, by its type. */
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  gauge: [''],
  stateset: [''],
  counter: ['_total', '_created'],
  info: ['_info'],
  histogram: ['_bucket', '_sum', '_count', '_created'],
};

export function readOpenMetrics(text: string): Map<string, ReadFamily> {
  if (!text.endsWith('\n# EOF\n')) throw new Error('it does not end with # EOF and a line feed');
  const families = new Map<string, ReadFamily>();
  let family: ReadFamily | null = null;
  for (const line of text.slice(0, -'# EOF\n'.length).split('\n').slice(0, -1)) {
    const metadata = METADATA.exec(line);
    if (metadata !== null) {
      const [, kind, name, rest] = metadata as unknown as [string, string, string, string];
      if (family?.name !== name) family = begin(families, name);
      if (family.samples.length > 0) throw new Error(`metadata after samples: ${line}`);
      if (kind === 'TYPE') {
        if (family.type !== '') throw new Error(`two types: ${line}`);
        if (!Object.hasOwn(SUFFIXES, rest)) throw new Error(`not a type: ${line}`);
        family.type = rest;
      }
      if (kind === 'HELP') {
        if (family.help !== '') throw new Error(`two helps: ${line}`);
        if (/(?<!\\)(?:\\\\)*"/.test(rest)) throw new Error(`a quote in a help: ${line}`);
        family.help = unescaped(rest);
      }
      if (kind === 'UNIT') {
        if (family.unit !== '') throw new Error(`two units: ${line}`);
        if (rest === '' || !name.endsWith(`_${rest}`)) throw new Error(`not the unit of ${name}: ${line}`);
        family.unit = rest;
      }
      continue;
    }
    if (family === null) throw new Error(`a sample without a family: ${line}`);
    family.samples.push(sampleOf(line, family));
  }
  for (const read of families.values()) checkFamily(read);
  return families;
}

function begin(families: Map<string, ReadFamily>, name: string): ReadFamily {
  if (families.has(name)) throw new Error(`the family ${name} stands at two places`);
  const family = { name, type: '', help: '', unit: '', samples: [] };
  families.set(name, family);
  return family;
}

function sampleOf(line: string, family: ReadFamily): ReadSample {
  const parts = SAMPLE.exec(line);
  if (parts === null) throw new Error(`not a sample: ${line}`);
  const [, name, labels, value] = parts as unknown as [string, string, string | undefined, string];
  const suffixes = SUFFIXES[family.type] ?? [];
  if (!suffixes.some((suffix) => name === family.name + suffix)) throw new Error(`not of ${family.name}: ${line}`);
  if (!NUMBER.test(value)) throw new Error(`not a number: ${line}`);
  return { name, labels: labelsOf(labels ?? '', line), value: Number(value.replace('Inf', 'Infinity')) };
}

function labelsOf(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (let rest = text; rest !== '';) {
    const label = LABEL.exec(rest);
    if (label === null) throw new Error(`labels: ${line}`);
    const [whole, name, value] = label as unknown as [string, string, string];
    if (Object.hasOwn(labels, name)) throw new Error(`the label ${name} twice: ${line}`);
    labels[name] = unescaped(value);
    rest = rest.slice(whole.length);
  }
  return labels;
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character));
}

function checkFamily(family: ReadFamily): void {
  const { name, type, unit, samples } = family;
  if (type === '' || family.help === '') throw new Error(`${name} has no type or no help`);
  const series = samples.map((sample) => JSON.stringify([sample.name, Object.entries(sample.labels).sort()]));
  if (new Set(series).size !== series.length) throw new Error(`${name} has a sample twice`);
  if (unit !== '' && (type === 'info' || type === 'stateset')) throw new Error(`${name}, a ${type}, has a unit`);
  if (type === 'counter' || type === 'histogram') {
    for (const { value } of samples) if (!(value >= 0)) throw new Error(`${name} is below 0`);
  }
  if (type === 'info' && samples.some(({ value }) => value !== 1)) throw new Error(`${name} is not 1`);
  const groups = grouped(family);
  if (type === 'stateset') groups.forEach((group) => checkStates(name, group));
  if (type === 'histogram') groups.forEach((group) => checkHistogram(name, group));
}

/** Samples of one metric: they stand together. */
function grouped({ name, type, samples }: ReadFamily): ReadSample[][] {
  const groups = new Map<string, ReadSample[]>();
  let last = '';
  for (const sample of samples) {
    const own = Object.entries(sample.labels).filter(
      ([label]) => !(type === 'stateset' && label === name) && !(type === 'histogram' && label === 'le'),
    );
    const key = JSON.stringify(own.sort());
    const group = groups.get(key);
    if (group !== undefined && key !== last) throw new Error(`${name}: the samples of a metric lie apart`);
    last = key;
    groups.set(key, [...(group ?? []), sample]);
  }
  return [...groups.values()];
}

function checkStates(name: string, samples: readonly ReadSample[]): void {
  for (const { labels, value } of samples) {
    if (labels[name] === undefined) throw new Error(`${name}: a state without its label`);
    if (value !== 0 && value !== 1) throw new Error(`${name}: a state is ${value}`);
  }
}

function checkHistogram(name: string, samples: readonly ReadSample[]): void {
  const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
  const ends = buckets.map(({ labels }) => labels['le'] ?? '');
  if (ends.at(-1) !== '+Inf') throw new Error(`${name}: no last bucket`);
  const numbers = ends.map((end) => Number(end.replace('Inf', 'Infinity')));
  const rising = (values: readonly number[], strictly: boolean): boolean =>
    values.every((value, index) => {
      const before = values[index - 1] ?? -Infinity;
      return strictly ? value > before : value >= before;
    });
  // A canonical number: it has a point.
  if (!ends.slice(0, -1).every((end) => /^\d+\.\d+$/.test(end)) || !rising(numbers, true)) {
    throw new Error(`${name}: ends of buckets ${ends.join()}`);
  }
  const counts = buckets.map(({ value }) => value);
  if (!rising(counts, false)) throw new Error(`${name}: counts fall`);
  const whole = (part: string): number | undefined =>
    samples.find((sample) => sample.name === `${name}_${part}`)?.value;
  if (whole('count') !== counts.at(-1)) throw new Error(`${name}: the count is not that of the last bucket`);
  if (whole('sum') === undefined) throw new Error(`${name}: no sum`);
}

/** The value of the one sample with these labels, among others that are not asked for; undefined: there is none. */
export function valueOf(
  families: ReadonlyMap<string, ReadFamily>,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const wanted = Object.entries(labels);
  const found = [...families.values()]
    .flatMap(({ samples }) => samples)
    .filter((sample) => sample.name === name && wanted.every(([label, value]) => sample.labels[label] === value));
  if (found.length > 1) throw new Error(`${found.length} samples of ${name} ${JSON.stringify(labels)}`);
  return found[0]?.value;
}

/** The state whose sample is 1. */
export function stateOf(
  families: ReadonlyMap<string, ReadFamily>,
  name: string,
  labels: Record<string, string> = {},
): string | undefined {
  const wanted = Object.entries(labels);
  const on = (families.get(name)?.samples ?? []).filter(
    (sample) => sample.value === 1 && wanted.every(([label, value]) => sample.labels[label] === value),
  );
  if (on.length > 1) throw new Error(`${name}: two states at once`);
  return on[0]?.labels[name];
}
