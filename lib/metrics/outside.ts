/** What a look from outside knows for monitoring. Pure. */
import type { Inspection } from '../base/types';
import type { MetricsFacts } from './facts';

export function factsOfLook({ status, damaged }: Inspection, version: string): MetricsFacts {
  return { version, status, damaged, latencies: null, resync: null };
}
