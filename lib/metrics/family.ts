/**
 * The shape of a metric family, and makers of the usual ones. Pure.
 *
 * Words are OpenMetrics': a family has metrics, one for each set of labels; what a metric says now is its value, which the writer
 * (writer.ts) makes samples of, lines of text. Names are OpenMetrics' too: base units as a suffix (`_seconds`, `_bytes`).
 */
import type { MetricsFacts } from './facts';

/** By the type of its family, what a metric says. */
export interface ValueOfType {
  gauge: number;
  counter: number;
  histogram: HistogramValue;
  stateset: StateSetValue;
  /** An info says it all in its labels. */
  info: null;
}

export type MetricType = keyof ValueOfType;
export type Value = ValueOfType[MetricType];

export interface HistogramValue {
  /** Rising; as they are to stand in the text. The last bucket, +Inf, has none. */
  bucketEnds: readonly string[];
  /** How many fell into each bucket and no lower one, that of +Inf counted; what follows is not read. */
  counts: ArrayLike<number>;
  sum: number;
}

/** One sample for each state, 0 or 1, with the state in a label that is named as the family. */
export interface StateSetValue {
  states: readonly string[];
  now: string;
}

export interface Metric<V = Value> {
  /** In the order in which they are written; no two metrics of a family have the same. */
  labels: Readonly<Record<string, string>>;
  value: V;
}

/** Where what a family says is known from: see docs/METRICS.md. */
export type KnownFrom =
  /** The log and the labels: also by a look from outside, whoever has the mirror open. */
  | 'log'
  /** The same, but not while another process has the mirror open. */
  | 'log, not in use'
  /** The process that has the mirror open. */
  | 'holder';

/** What a family is called. */
export interface FamilyHead<T extends MetricType = MetricType> {
  /** Without what the writer puts on: `_total` of a counter, `_info` of an info. */
  name: string;
  type: T;
  /** One sentence, without a full stop and without quotes. */
  help: string;
}

interface FamilyOf<T extends MetricType> extends FamilyHead<T> {
  /** Without `mirror`, which all have, and with the state of a state set. */
  labels: readonly string[];
  knownFrom: KnownFrom;
  /** Nothing for what is not known: a guess would be taken for a fact (I10). Labels without `mirror`. */
  metrics: (facts: MetricsFacts) => Metric<ValueOfType[T]>[];
}

/** So that the compiler holds each family to the values of its type. */
export type Family = { [T in MetricType]: FamilyOf<T> }[MetricType];

const NO_LABELS: Readonly<Record<string, string>> = {};

/** null and NaN: not known. */
export function single(value: number | boolean | null): Metric<number>[] {
  const number = Number(value);
  return value === null || Number.isNaN(number) ? [] : [{ labels: NO_LABELS, value: number }];
}

/** Seconds since 1970 of an ISO date. */
export function seconds(date: string | null | undefined): number | null {
  return date === null || date === undefined ? null : Date.parse(date) / 1000;
}

export function stateSet<T extends string>(
  states: readonly T[],
  now: T,
  labels: Readonly<Record<string, string>> = NO_LABELS,
): Metric<StateSetValue> {
  return { labels, value: { states, now } };
}
