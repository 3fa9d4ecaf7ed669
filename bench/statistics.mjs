// Medians, quantiles and spreads: the few figures that the report shows.

/** @param {readonly number[]} sorted ascending */
export function quantile(sorted, q) {
  return sorted.length === 0 ? 0 : sorted[Math.floor(q * (sorted.length - 1))];
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function spread(values) {
  return { minimum: Math.min(...values), median: median(values), maximum: Math.max(...values) };
}
