/**
 * Families of latencies: the engine's own counts since the mirror was opened, never quantiles computed again. Pure.
 *
 * An end of a bucket is the longest time that the engine counts into it, to the nanosecond: a power of two less 1 ns.
 */
import type { NativeHistograms } from '../base/binding';
import type { MetricsFacts } from './facts';
import { type Family, type HistogramValue, type Metric } from './family';

function ofDevices({ status, latencies }: MetricsFacts): Metric<HistogramValue>[] {
  if (latencies === null) return [];
  const ends = endsOf(latencies.bucketEnds);
  const devices: [string, NativeHistograms | undefined][] = [
    ['log', latencies.log],
    ...status.images.map(({ name }, index): [string, NativeHistograms | undefined] => [name, latencies.images[index]]),
  ];
  return devices.flatMap(([device, histograms]) =>
    Object.entries(histograms ?? {}).flatMap(([operation, numbers]: [string, Float64Array | null]) =>
      numbers === null ? [] : [histogram({ device, operation }, ends, numbers)],
    ),
  );
}

function ofRequests({ latencies }: MetricsFacts): Metric<HistogramValue>[] {
  if (latencies === null) return [];
  const ends = endsOf(latencies.bucketEnds);
  return Object.entries(latencies.requests).flatMap(([operation, numbers]: [string, Float64Array | null]) =>
    numbers === null ? [] : [histogram({ operation }, ends, numbers)],
  );
}

/** @param numbers by bucket, and the sum of all lengths in ns at the end */
function histogram(
  labels: Record<string, string>,
  bucketEnds: readonly string[],
  numbers: Float64Array,
): Metric<HistogramValue> {
  return { labels, value: { bucketEnds, counts: numbers, sum: (numbers.at(-1) ?? 0) / 1e9 } };
}

/** Nanoseconds in seconds: digits moved, so that none is rounded. */
function endsOf(bucketEnds: Float64Array | null): string[] {
  return Array.from(bucketEnds ?? [], (ns) => {
    const digits = String(ns).padStart(10, '0');
    return `${digits.slice(0, -9)}.${digits.slice(-9)}`;
  });
}

export const LATENCY_FAMILIES: Family[] = [
  {
    name: 'blockmirror_request_latency_seconds',
    type: 'histogram',
    help: 'How long a request to the mirror took, from when the engine took it up until it was over',
    labels: ['operation'],
    knownFrom: 'holder',
    metrics: ofRequests,
  },
  {
    name: 'blockmirror_device_latency_seconds',
    type: 'histogram',
    help: 'How long the device of an image, or of the log, took to answer a request',
    labels: ['device', 'operation'],
    knownFrom: 'holder',
    metrics: ofDevices,
  },
];
