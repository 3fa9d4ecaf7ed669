/**
 * Samples to text, by prom-client's registry. It is loaded here alone, and this module is loaded when somebody asks for metrics:
 * an application that does not never loads it.
 *
 * The Prometheus format (0.0.4), which node_exporter's textfile collector reads, knows neither state sets nor infos: there they
 * are gauges. Samples and names are the same in both.
 */
import { type Metric, Registry, type RegistryContentType } from 'prom-client';
import type { MetricsFormat } from '../base/types';
import type { MetricsFacts } from './facts';
import { FAMILIES } from './families';
import type { Family, MetricType } from './family';
import { METRICS_CONTENT_TYPES } from './format';

const PROMETHEUS_TYPES: Readonly<Record<MetricType, string>> = {
  gauge: 'gauge',
  counter: 'counter',
  histogram: 'histogram',
  stateset: 'gauge',
  info: 'gauge',
};

/** How long the event loop is kept from other work, about; then the rest goes on in another turn of it. */
const SLICE_MS = 0.2;

/** Of mirrors whose UUIDs differ. A family of which nothing is known is left out. */
export async function metricsToText(mirrors: readonly MetricsFacts[], format: MetricsFormat): Promise<string> {
  // Its types know the format of a registry from the beginning alone, and there only one of the two.
  const registry = new Registry() as unknown as Registry<RegistryContentType>;
  registry.setContentType(METRICS_CONTENT_TYPES[format]);
  let text = '';
  let began = performance.now();
  for (const family of FAMILIES) {
    const values = valuesOf(family, mirrors);
    if (values.length === 0) continue;
    const metric = asMetric(named(family, format), family.help, values);
    registry.registerMetric(metric);
    text += `${await registry.getSingleMetricAsString(metric.name)}\n`;
    if (performance.now() - began < SLICE_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    began = performance.now();
  }
  return format === 'openmetrics' ? `${text}# EOF\n` : text;
}

interface Value {
  metricName: string | undefined;
  labels: Record<string, string>;
  /** The registry makes their text once for each object. */
  sharedLabels: Record<string, string>;
  value: number;
}

const NO_LABELS: Record<string, string> = {};

function valuesOf(family: Family, mirrors: readonly MetricsFacts[]): Value[] {
  const values: Value[] = [];
  for (const facts of mirrors) {
    const whole = new Map<Record<string, string>, Record<string, string>>();
    for (const { labels, le, value, part } of family.samples(facts)) {
      let sharedLabels = whole.get(labels);
      if (sharedLabels === undefined) {
        sharedLabels = { mirror: facts.status.uuid, ...labels };
        whole.set(labels, sharedLabels);
      }
      values.push({
        metricName: metricName(family, part),
        labels: le === undefined ? NO_LABELS : { le },
        sharedLabels,
        value,
      });
    }
  }
  return values;
}

/** Where it is not the family's own; `_total` of a counter is put on by the registry, or is in the name of its family. */
function metricName({ name, type }: Family, part: string | undefined): string | undefined {
  if (type === 'info') return `${name}_info`;
  return part === undefined ? undefined : `${name}${part}`;
}

function named({ name, type }: Family, format: MetricsFormat): { name: string; type: string } {
  if (format === 'openmetrics') return { name, type };
  const suffix = type === 'counter' ? '_total' : type === 'info' ? '_info' : '';
  return { name: `${name}${suffix}`, type: PROMETHEUS_TYPES[type] };
}

/** What the registry asks of a metric. Its own classes count by themselves; here the engine has counted already. */
function asMetric(
  { name, type }: { name: string; type: string },
  help: string,
  values: Value[],
): Metric & { name: string } {
  const metric = { name, help, type, values, aggregator: 'sum' };
  return { ...metric, get: () => Promise.resolve(metric), reset: () => undefined } as unknown as Metric & {
    name: string;
  };
}
