/**
 * The shape of a metric family, and makers of the usual ones. Pure.
 *
 * Names are OpenMetrics': base units as a suffix (`_seconds`, `_bytes`), `_total` of counters. A state set has one sample for each
 * state, 0 or 1, with the state in a label that is named as the family.
 */
import type { MetricsFacts } from './facts';

export type MetricType = 'gauge' | 'counter' | 'histogram' | 'stateset' | 'info';

/** Where what a family says is known from: see docs/METRICS.md. */
export type KnownFrom =
  /** The log and the labels: also by a look from outside, whoever has the mirror open. */
  | 'log'
  /** The same, but not while another process has the mirror open. */
  | 'log, not in use'
  /** The process that has the mirror open. */
  | 'holder';

export interface Sample {
  /** Without `mirror`, which all have. Samples of one histogram share one object. */
  labels: Record<string, string>;
  /** Of a bucket of a histogram: its end, in seconds. */
  le?: string;
  value: number;
  /** Of a histogram: '_bucket', '_sum' or '_count'. */
  part?: string;
}

export interface Family {
  /** Without `_total` of a counter and `_info` of an info. */
  name: string;
  type: MetricType;
  /** One sentence, without a full stop and without quotes. */
  help: string;
  /** Without `mirror`. */
  labels: readonly string[];
  knownFrom: KnownFrom;
  /** Nothing for what is not known: a guess would be taken for a fact (I10). */
  samples: (facts: MetricsFacts) => Sample[];
}

const NO_LABELS: Record<string, string> = {};

/** null and NaN: not known. */
export function single(value: number | boolean | null): Sample[] {
  const number = Number(value);
  return value === null || Number.isNaN(number) ? [] : [{ labels: NO_LABELS, value: number }];
}

/** Seconds since 1970 of an ISO date. */
export function seconds(date: string | null | undefined): number | null {
  return date === null || date === undefined ? null : Date.parse(date) / 1000;
}

export function stateSet<T extends string>(
  family: string,
  states: readonly T[],
  now: T,
  labels: Record<string, string> = NO_LABELS,
): Sample[] {
  return states.map((state) => ({ labels: { ...labels, [family]: state }, value: state === now ? 1 : 0 }));
}

/** @param numbers by bucket, and the sum of all lengths in ns at the end */
export function histogram(
  labels: Record<string, string>,
  bucketEnds: readonly string[],
  numbers: ArrayLike<number>,
): Sample[] {
  const samples: Sample[] = [];
  let count = 0;
  for (let index = 0; index <= bucketEnds.length; index++) {
    count += numbers[index] ?? 0;
    samples.push({ labels, le: bucketEnds[index] ?? '+Inf', value: count, part: '_bucket' });
  }
  samples.push({ labels, value: (numbers[numbers.length - 1] ?? 0) / 1e9, part: '_sum' });
  samples.push({ labels, value: count, part: '_count' });
  return samples;
}
