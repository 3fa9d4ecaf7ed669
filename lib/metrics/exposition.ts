/** What monitoring takes of mirrors: every family of which something is known, as text. Pure. */
import type { MetricsFormat } from '../base/types';
import type { MetricsFacts } from './facts';
import { FAMILIES } from './families';
import type { Family, Metric } from './family';
import { endOfText, familyText } from './writer';

/** Of mirrors whose UUIDs differ. */
export function metricsToText(mirrors: readonly MetricsFacts[], format: MetricsFormat): string {
  return FAMILIES.map((family) => familyText(family, metricsOf(family, mirrors), format)).join('') + endOfText(format);
}

/** Of all mirrors: a family stands at one place. */
function metricsOf(family: Family, mirrors: readonly MetricsFacts[]): Metric[] {
  return mirrors.flatMap((facts) =>
    family
      .metrics(facts)
      .map(({ labels, value }: Metric): Metric => ({ labels: { mirror: facts.status.uuid, ...labels }, value })),
  );
}
