// What is measured, as a table: each row one load, those who run it, the one they are measured against, and what the
// ratio has to reach on a machine like ours (docs/PERFORMANCE.md). Pure.
//
// A row:
//   id, title
//   load         pattern, span ('hot': half of the recovery budget, 'cold': the whole mirror), block, depth, readPercent,
//                durable, transfer, sameFill
//   slaves       how many; the mirror's device: 'io_uring' or 'threads'; place: 'images' or 'zram'
//   contestants  by name (contestants.mjs); baseline: the one among them that is 1
//   figures      { measure, of, atLeast | atMost }: what the row is about; measure: 'throughput', 'p50', 'p999'
//   sets         'quick', 'default'; every row is in 'all'

const KiB = 1024;
const MiB = 1024 * KiB;

const throughput = (atLeast) => [{ measure: 'throughput', of: 'mirror', atLeast }];

function row(id, title, load, more = {}) {
  return {
    id,
    title,
    load: { pattern: 'random', span: 'hot', block: 4 * KiB, depth: 32, readPercent: 0, ...load },
    slaves: 1,
    device: 'io_uring',
    place: 'images',
    contestants: ['mirror', 'raw_pair'],
    baseline: 'raw_pair',
    figures: throughput(undefined),
    sets: [],
    ...more,
  };
}

const DEPTHS = [1, 4, 32, 128];
const HOT_TARGETS = { 1: 0.85, 32: 0.95 };
const HOT_P50_TARGETS = { 1: 1.18 };

function hot(depth) {
  const figures = throughput(HOT_TARGETS[depth]);
  if (HOT_P50_TARGETS[depth]) figures.push({ measure: 'p50', of: 'mirror', atMost: HOT_P50_TARGETS[depth] });
  const sets = HOT_TARGETS[depth] ? ['quick', 'default'] : [];
  // fio once in every run: a second opinion on the baseline of all the others.
  const contestants = ['mirror', 'raw_pair', ...(depth === 32 ? ['fio_pair'] : [])];
  return row(`hot-${depth}`, `random write 4 KiB, hot, depth ${depth}`, { depth }, { contestants, figures, sets });
}

function cold(depth) {
  const title = `random write 4 KiB, cold, depth ${depth}`;
  const load = { depth, span: 'cold' };
  // Alone, a cold write cannot be faster than one durable log write and then the pair: that is its baseline.
  if (depth === 1) {
    const limit = ['mirror', 'raw_pair_logging'];
    const more = { contestants: limit, baseline: 'raw_pair_logging', figures: throughput(0.95) };
    return row(`cold-${depth}`, title, load, { ...more, sets: ['quick', 'default'] });
  }
  if (depth !== 32) return row(`cold-${depth}`, title, load);
  // Cold writes keep retirement busy: what that does to the slowest of them is seen beside a raw pair that flushes as often.
  return row(`cold-${depth}`, title, load, {
    contestants: ['mirror', 'raw_pair', 'raw_pair_flushing'],
    figures: [...throughput(0.8), { measure: 'p999', of: 'mirror', against: 'raw_pair_flushing', atMost: 2 }],
    sets: ['quick', 'default'],
  });
}

const onMaster = { contestants: ['mirror', 'raw_master'], baseline: 'raw_master' };

const BASIC = [
  ...DEPTHS.map(hot),
  ...DEPTHS.map(cold),
  row('zipf-32', 'random write 4 KiB, Zipf 0.99 over the whole mirror, depth 32', { pattern: 'zipf', span: 'cold' }),
  row(
    'sequential-128k',
    'sequential write 128 KiB, depth 8',
    { pattern: 'sequential', span: 'cold', block: 128 * KiB, depth: 8 },
    { figures: throughput(0.97), sets: ['default'] },
  ),
  row(
    'sequential-1m',
    'sequential write 1 MiB, depth 4',
    { pattern: 'sequential', span: 'cold', block: MiB, depth: 4 },
    { figures: throughput(0.97), sets: ['default'] },
  ),
  row(
    'read-32',
    'random read 4 KiB, depth 32',
    { span: 'cold', readPercent: 100 },
    { ...onMaster, figures: throughput(0.97), sets: ['default'] },
  ),
  row('mix-32', '70 % random reads, 30 % writes of 4 KiB, hot, depth 32', { readPercent: 70 }),
  row('dsync-1', 'durable random write 4 KiB, hot, depth 1', { durable: true, depth: 1 }),
  row('dsync-32', 'durable random write 4 KiB, hot, depth 32', { durable: true }),
  row('dsync-16k', 'durable sequential write 16 KiB, depth 1 (a database log)', {
    durable: true,
    depth: 1,
    block: 16 * KiB,
    pattern: 'sequential',
  }),
];

const onThreads = (basic) => ({
  ...basic,
  id: `${basic.id}-threads`,
  title: `${basic.title}, on threads`,
  device: 'threads',
  figures: basic.figures.map(({ measure, of }) => ({ measure, of })),
  sets: [],
});

const FURTHER = [
  row('transfer-1m', 'sequential write 1 MiB, depth 4, without copying (transfer)', {
    pattern: 'sequential',
    span: 'cold',
    block: MiB,
    depth: 4,
    transfer: true,
  }),
  row(
    'group-commit',
    'random write 4 KiB, cold, depth 32, beside a plain group commit',
    { span: 'cold' },
    {
      contestants: ['mirror', 'raw_pair_logging'],
      baseline: 'raw_pair_logging',
    },
  ),
  ...[2, 4].flatMap((slaves) => [
    row(`slaves-${slaves}-hot`, `random write 4 KiB, hot, depth 32, ${slaves} slaves`, {}, { slaves }),
    row(`slaves-${slaves}-cold`, `random write 4 KiB, cold, depth 32, ${slaves} slaves`, { span: 'cold' }, { slaves }),
  ]),
  // What a slave that is out costs the write path: its misses are in the log anyway, its map is written by retirement.
  ...[1, 32].flatMap((depth) =>
    ['hot', 'cold'].map((span) =>
      row(
        `fractured-${depth}-${span}`,
        `random write 4 KiB, ${span}, depth ${depth}, one slave of two fractured, beside both in sync`,
        { depth, span },
        {
          slaves: 2,
          contestants: ['mirror', 'mirror_fractured'],
          baseline: 'mirror',
          figures: [{ measure: 'throughput', of: 'mirror_fractured', atLeast: 0.97 }],
        },
      ),
    ),
  ),
  row(
    'one-image',
    'random write 4 KiB, hot, depth 32, beside a single raw image',
    {},
    {
      contestants: ['mirror', 'raw_pair', 'raw_master'],
      baseline: 'raw_master',
    },
  ),
  row(
    'node-hot',
    'random write 4 KiB, hot, depth 32, beside what Node alone can do',
    {},
    {
      contestants: ['mirror', 'raw_pair', 'node_files', 'node_files_buffered', 'direct_io'],
      figures: [{ measure: 'throughput', of: 'mirror', against: 'node_files' }],
    },
  ),
  row(
    'node-cold',
    'random write 4 KiB, cold, depth 32, beside what Node alone can do',
    { span: 'cold' },
    {
      contestants: ['mirror', 'raw_pair', 'node_files_each', 'direct_io_each'],
      figures: [{ measure: 'throughput', of: 'mirror', against: 'node_files_each' }],
    },
  ),
  row(
    'kernel-hot',
    "random write 4 KiB, hot, depth 32, beside the kernel's mirrors",
    {},
    {
      contestants: ['mirror', 'raw_pair', 'md_raid1', 'dm_mirror'],
    },
  ),
  row(
    'kernel-cold',
    "random write 4 KiB, cold, depth 32, beside the kernel's mirrors",
    { span: 'cold' },
    {
      contestants: ['mirror', 'raw_pair', 'md_raid1', 'dm_mirror'],
    },
  ),
];

const ZRAM = [
  row(
    'zram-64',
    'RAM-backed pair (zram), random write 4 KiB, hot, depth 64',
    { depth: 64 },
    {
      place: 'zram',
      contestants: ['mirror', 'raw_pair', 'node_files'],
      figures: [
        { measure: 'throughput', of: 'mirror', atLeast: 0.85 },
        { measure: 'throughput', of: 'mirror', against: 'node_files', atLeast: 4 },
      ],
      sets: ['default'],
    },
  ),
  row(
    'zram-64-same',
    'RAM-backed pair (zram) that stores nothing: the cost of the engine alone, depth 64',
    {
      depth: 64,
      sameFill: true,
    },
    {
      place: 'zram',
      contestants: ['mirror', 'raw_pair', 'node_files'],
    },
  ),
];

/** Rows that say the same on both devices would only cost time: the threads run the basic ones. */
export const WORKLOADS = [...BASIC, ...FURTHER, ...ZRAM, ...BASIC.map(onThreads)];

/** Bytes over which a load draws its positions. A span is at least a few requests, whatever the budget. */
export function spanOf(load, { size, recoveryBudget }) {
  const wanted = load.span === 'hot' ? Math.min(recoveryBudget / 2, size) : size;
  return Math.min(size, Math.max(Math.floor(wanted / load.block), 4) * load.block);
}
