/**
 * The two formats in which metrics are exposed, and which of them a scraper asks for. Pure.
 */
import type { MetricsFormat } from '../base/types';

/** As a server names them. */
export const METRICS_CONTENT_TYPES = {
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
} as const satisfies Readonly<Record<MetricsFormat, string>>;

/** @param accept the header of that name. OpenMetrics only for one who asks for it. */
export function metricsFormatOf(accept: string | undefined): MetricsFormat {
  const asks = (accept ?? '').split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    return type === 'application/openmetrics-text' && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
  return asks ? 'openmetrics' : 'prometheus';
}
