// Medians and spreads: the few figures that the report shows.

export function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Median with the range of the rounds; null when there is nothing to say (a round gave no figure). */
export function spread(values) {
  if (values.length === 0 || values.some((value) => value === null || !Number.isFinite(value))) return null;
  return { minimum: Math.min(...values), median: median(values), maximum: Math.max(...values) };
}
