// Latencies in buckets of less than 1 % width: recording costs one increment in a typed array, so that the measuring does
// not cost what is measured. The same buckets as in bench/native/histogram.h. Unit: ticks of 100 ns, up to 429 s.

const LINEAR_BITS = 7; // values below 128 have a bucket each, as has every 128th of an octave
const LINEAR = 1 << LINEAR_BITS;
const TICKS_PER_MS = 10_000;
const TICKS_PER_US = 10;
const MOST_TICKS = 0xffffffff;

export const BUCKETS = (32 - LINEAR_BITS + 1) << LINEAR_BITS;

export function bucketOf(ticks) {
  if (ticks < LINEAR) return ticks;
  const shift = 31 - Math.clz32(ticks) - LINEAR_BITS;
  return ((shift + 1) << LINEAR_BITS) + ((ticks >>> shift) - LINEAR);
}

/** The middle of a bucket, in microseconds. */
export function microsecondsOf(bucket) {
  if (bucket < LINEAR) return bucket / TICKS_PER_US;
  const width = 2 ** ((bucket >> LINEAR_BITS) - 1);
  return ((LINEAR + (bucket & (LINEAR - 1))) * width + width / 2) / TICKS_PER_US;
}

export class Histogram {
  counts = new Float64Array(BUCKETS);

  record(milliseconds) {
    const ticks = milliseconds * TICKS_PER_MS;
    this.counts[bucketOf(ticks < MOST_TICKS ? ticks >>> 0 : MOST_TICKS)] += 1;
  }

  /** @param {readonly number[]} pairs bucket, count, bucket, count, ... */
  add(pairs) {
    for (let i = 0; i + 1 < pairs.length; i += 2) this.counts[pairs[i]] += pairs[i + 1];
    return this;
  }

  pairs() {
    const pairs = [];
    this.counts.forEach((count, bucket) => {
      if (count > 0) pairs.push(bucket, count);
    });
    return pairs;
  }

  total() {
    return this.counts.reduce((sum, count) => sum + count, 0);
  }

  /** Microseconds; null when nothing was recorded. */
  mean() {
    const total = this.total();
    return total === 0
      ? null
      : this.counts.reduce((sum, count, bucket) => sum + count * microsecondsOf(bucket), 0) / total;
  }

  /** Microseconds below which a share `q` of what was recorded lies; null when nothing was. */
  quantile(q) {
    const total = this.total();
    if (total === 0) return null;
    const wanted = Math.max(1, Math.ceil(q * total));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; ++bucket) {
      seen += this.counts[bucket];
      if (seen >= wanted) return microsecondsOf(bucket);
    }
    return microsecondsOf(BUCKETS - 1);
  }
}

export const histogramOf = (pairs) => new Histogram().add(pairs);
