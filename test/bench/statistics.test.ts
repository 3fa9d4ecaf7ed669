// The few figures that a report is made of.
import { ask } from './support';

interface Spread {
  minimum: number;
  median: number;
  maximum: number;
}

const modules = { statistics: 'statistics.mjs', histogram: 'histogram.mjs' };

test('the median of an even number of rounds lies between the two in the middle', () => {
  expect(ask(modules, '[statistics.median([4, 1, 3, 2]), statistics.median([9, 1, 5])]')).toEqual([2.5, 5]);
});

test('a spread is the median with the range of the rounds', () => {
  expect(ask<Spread>(modules, 'statistics.spread([3, 1, 2])')).toEqual({ minimum: 1, median: 2, maximum: 3 });
});

test('a round without a figure leaves the row without one', () => {
  expect(ask(modules, '[statistics.spread([1, null]), statistics.spread([1, 0 / 0]), statistics.spread([])]')).toEqual([
    null,
    null,
    null,
  ]);
});

describe('latency buckets', () => {
  test('every value falls into a bucket whose middle is within one percent of it', () => {
    const worst = ask<number>(
      modules,
      `(() => {
         let worst = 0;
         for (let ticks = 100; ticks < 2 ** 32; ticks = Math.ceil(ticks * 1.003)) {
           const shown = histogram.microsecondsOf(histogram.bucketOf(ticks)) * 10;
           worst = Math.max(worst, Math.abs(shown - ticks) / ticks);
         }
         return worst;
       })()`,
    );
    expect(worst).toBeLessThan(0.01);
  });

  test('larger values never fall into lower buckets, and the largest has one', () => {
    const [ascending, last, count] = ask<[boolean, number, number]>(
      modules,
      `(() => {
         let before = -1;
         let ascending = true;
         for (let ticks = 0; ticks < 2 ** 32; ticks = Math.ceil(ticks * 1.001) + 1) {
           const bucket = histogram.bucketOf(ticks);
           ascending &&= bucket >= before && bucket - before <= 130;
           before = bucket;
         }
         return [ascending, histogram.bucketOf(2 ** 32 - 1), histogram.BUCKETS];
       })()`,
    );
    expect(ascending).toBe(true);
    expect(last).toBe(count - 1);
  });

  test('quantiles are those of what was recorded, also after it was written down and added up', () => {
    const [p50, p99, most, nothing] = ask<(number | null)[]>(
      modules,
      `(() => {
         const first = new histogram.Histogram();
         for (let i = 1; i <= 1000; ++i) first.record(i / 1000);
         const all = histogram.histogramOf(first.pairs()).add(first.pairs());
         return [all.quantile(0.5), all.quantile(0.99), all.quantile(1), new histogram.Histogram().quantile(0.5)];
       })()`,
    );
    expect(p50).toBeCloseTo(500, -1);
    expect(p99).toBeCloseTo(990, -1);
    expect(most).toBeCloseTo(1000, -1);
    expect(nothing).toBeNull();
  });
});
