// The table of what is measured holds together, and what is shown of it follows from the rounds.
import { ask } from './support';

interface Row {
  id: string;
  title: string;
  load: { pattern: string; span?: string; block: number; depth: number };
  contestants?: string[];
  baseline?: string;
  figures?: { measure: string; of: string; against?: string }[];
  sets: string[];
}

const modules = {
  workloads: 'workloads.mjs',
  catalog: 'catalog.mjs',
  contestants: 'contestants.mjs',
  measure: 'measure.mjs',
};

describe('the table', () => {
  const { rows, all, known } = ask<{ rows: Row[]; all: Row[]; known: string[] }>(
    modules,
    '({ rows: workloads.WORKLOADS, all: catalog.CATALOG, known: Object.keys(contestants.CONTESTANTS) })',
  );

  test('names and titles are used once', () => {
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
    expect(new Set(all.map(({ title }) => title)).size).toBe(all.length);
  });

  test('every row names contestants that there are, its baseline and the subjects of its figures among them', () => {
    for (const { id, contestants = [], baseline = '', figures = [] } of rows) {
      const named = [baseline, ...figures.flatMap(({ of, against = baseline }) => [of, against])];
      expect({ id, unknown: contestants.filter((name) => !known.includes(name)) }).toEqual({ id, unknown: [] });
      expect({ id, strange: named.filter((name) => !contestants.includes(name)) }).toEqual({ id, strange: [] });
    }
  });

  test('what a quick run measures, a usual one measures too', () => {
    expect(all.filter(({ sets }) => sets.includes('quick') && !sets.includes('default'))).toEqual([]);
    expect(all.filter(({ sets }) => sets.includes('quick'))).not.toHaveLength(0);
  });

  test.each(['hot-1', 'hot-32', 'cold-1', 'cold-32', 'sequential-128k', 'sequential-1m', 'read-32', 'zram-64'])(
    'a usual run measures %s, and says what it has to reach',
    (name) => {
      const row = rows.find(({ id }) => id === name);
      expect(row?.sets).toContain('default');
      expect(row?.figures?.some((figure) => 'atLeast' in figure || 'atMost' in figure)).toBe(true);
    },
  );

  test('those that share a place follow each other', () => {
    const order = ask<string[]>(modules, 'catalog.byPlace(catalog.CATALOG).map(({ place, slaves }) => place + slaves)');
    const changes = order.filter((place, i) => place !== order[i - 1]);
    expect(new Set(changes).size).toBe(changes.length);
  });
});

test('a hot load fits half of the recovery budget, a cold one goes over the whole mirror', () => {
  const given = { size: 1 << 30, recoveryBudget: 64 << 20 };
  const spans = ask<number[]>(
    modules,
    `['hot', 'cold'].map((span) => workloads.spanOf({ span, block: 4096 }, given))`,
    given,
  );
  expect(spans).toEqual([32 << 20, 1 << 30]);
});

test('a span is never longer than the mirror, and has room for a few requests whatever the budget', () => {
  const spans = ask<number[]>(
    modules,
    `[[1 << 20, 64 << 20], [64 << 20, 1 << 20]].map(([size, recoveryBudget]) =>
       workloads.spanOf({ span: 'hot', block: 1 << 18 }, { size, recoveryBudget }))`,
  );
  expect(spans).toEqual([1 << 20, 1 << 20]);
});

describe('rounds', () => {
  test('the order is swapped each round', () => {
    expect(ask(modules, `[0, 1, 2].map((round) => measure.orderOf(['a', 'b'], round).join(''))`)).toEqual([
      'ab',
      'ba',
      'ab',
    ]);
  });

  test("a flush comes as often as the mirror's retirement flushed", () => {
    const given = [
      { counters: { retirements: 4 }, seconds: 2 },
      { counters: { retirements: 0 }, seconds: 2 },
    ];
    expect(ask(modules, 'given.map(measure.cadenceOf)', given)).toEqual([500, 0]);
  });

  const row: Partial<Row> & Record<string, unknown> = {
    id: 'x',
    title: 'x',
    load: { pattern: 'random', block: 4096, depth: 1 },
    baseline: 'raw_pair',
    figures: [{ measure: 'throughput', of: 'mirror' }],
  };
  const runOf = (operations: number): Record<string, unknown> => ({
    operations,
    seconds: 1,
    cpuUser: operations,
    cpuSystem: 2 * operations,
    latencies: [100, operations],
  });

  test('a ratio is taken within its round: rounds of a disk that drifts still agree', () => {
    const results = { mirror: [runOf(50), runOf(500)], raw_pair: [runOf(100), runOf(1000)] };
    const summary = ask<{ figures: { value: unknown }[]; contestants: Record<string, Record<string, unknown>> }>(
      modules,
      'measure.summarize(given.row, given.results, {})',
      { row, results },
    );
    expect(summary.figures[0]?.value).toEqual({ minimum: 0.5, median: 0.5, maximum: 0.5 });
    expect(summary.contestants['mirror']?.['cpu']).toEqual({ minimum: 3, median: 3, maximum: 3 });
  });

  test('without its baseline a row has no ratio, and says who is not there', () => {
    const summary = ask<{ figures: { value: unknown }[]; absent: unknown }>(
      modules,
      `measure.summarize(given.row, given.results, { raw_pair: 'it is away' })`,
      { row, results: { mirror: [runOf(50)] } },
    );
    expect(summary.figures[0]?.value).toBeNull();
    expect(summary.absent).toEqual({ raw_pair: 'it is away' });
  });

  test('what has to be reached is judged by the median', () => {
    const value = { minimum: 0.5, median: 0.9, maximum: 1.5 };
    const figures = [
      { value, atLeast: 0.9 },
      { value, atLeast: 0.91 },
      { value, atMost: 0.9 },
      { value },
      { value: null, atLeast: 1 },
    ];
    expect(ask(modules, 'given.map(measure.reached)', figures)).toEqual([true, false, true, null, null]);
  });
});

describe("the kernel's mirrors", () => {
  const MIB = 1024 * 1024;
  const kernel = { kernel: 'kernel_mirrors.mjs' };

  test('dm-mirror ends where the mirror ends: the labels behind it stay', () => {
    const table = ask<string>(kernel, `kernel.dmMirrorTable(['/dev/a', '/dev/b'], '/dev/log', given)`, 64 * MIB);
    expect(table).toBe(`0 ${(64 * MIB) / 512} mirror disk 3 /dev/log 4096 nosync 2 /dev/a 0 /dev/b 0`);
  });

  test('so does md, its own superblock and bitmap in front', () => {
    const words = ask<string[]>(kernel, `kernel.mdCreateArguments('/dev/md9', ['/dev/a', '/dev/b'], given)`, 64 * MIB);
    const of = (name: string): number => Number(words.find((word) => word.startsWith(name))?.split('=')[1]) * 1024;
    expect(of('--data-offset') + of('--size')).toBe(64 * MIB);
    expect(words).toContain('--bitmap=internal');
  });
});
