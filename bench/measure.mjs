// Measures one row of the table: every contestant in turn, round after round over the same images, the order swapped each
// round; ratios are taken within a round. Disks drift; ratios less so.
import { runJson } from './child.mjs';
import { CONTESTANTS, missing, titleOf } from './contestants.mjs';
import { Histogram, histogramOf } from './histogram.mjs';
import { spread } from './statistics.mjs';
import { spanOf } from './workloads.mjs';

const GRACE_MS = 120_000;

/** Points of a latency curve: the share of requests that were faster. */
export const CURVE = [
  ...Array.from({ length: 19 }, (_, i) => (i + 1) * 0.05),
  ...[0.96, 0.97, 0.98, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999],
];

const MEASURES = {
  throughput: ({ operations, seconds }) => operations / seconds,
  mean: ({ latencies }) => histogramOf(latencies).mean(),
  p50: ({ latencies }) => histogramOf(latencies).quantile(0.5),
  p99: ({ latencies }) => histogramOf(latencies).quantile(0.99),
  p999: ({ latencies }) => histogramOf(latencies).quantile(0.999),
  cpuUser: ({ cpuUser, operations }) => cpuUser / operations,
  cpuSystem: ({ cpuSystem, operations }) => cpuSystem / operations,
  cpu: ({ cpuUser, cpuSystem, operations }) => (cpuUser + cpuSystem) / operations,
};

const WORDS = { throughput: 'throughput', p50: 'median latency', p999: 'p99.9 latency' };

export async function measureRow(row, place, settings, onRound = () => {}) {
  const absent = {};
  for (const name of row.contestants) {
    const why = missing(name, place);
    if (why) absent[name] = why;
  }
  const present = row.contestants.filter((name) => !(name in absent));
  const results = Object.fromEntries(present.map((name) => [name, []]));
  let cadenceMs = 0;
  for (let round = 0; round < settings.rounds; ++round) {
    onRound(round);
    for (const name of orderOf(present, round)) {
      const result = await runOnce(name, { row, place, settings, cadenceMs });
      if (name === 'mirror') cadenceMs = cadenceOf(result);
      results[name].push(result);
    }
  }
  return summarize(row, results, absent);
}

async function runOnce(name, { row, place, settings, cadenceMs }) {
  const { stage, command } = CONTESTANTS[name];
  const staged = stage?.(place) ?? { place, undo: () => undefined };
  try {
    const span = spanOf(row.load, { size: staged.place.size, recoveryBudget: settings.recoveryBudget });
    const run = { load: row.load, span, device: row.device, place: staged.place, settings, cadenceMs };
    return await runJson(command(run), (settings.warmUp + settings.seconds) * 1000 + GRACE_MS);
  } finally {
    staged.undo();
  }
}

/** The mirror goes first in the first round: some of the others do at its cadence what it did. Pure. */
export function orderOf(names, round) {
  return round % 2 === 0 ? [...names] : [...names].reverse();
}

/** Milliseconds between the flushes of its images that the mirror's retirement made; 0 when it made none. Pure. */
export function cadenceOf({ counters, seconds }) {
  return counters.retirements > 0 ? (seconds * 1000) / counters.retirements : 0;
}

/** Pure. */
export function summarize(row, results, absent) {
  const contestants = {};
  for (const [name, runs] of Object.entries(results)) {
    const all = new Histogram();
    for (const { latencies } of runs) all.add(latencies);
    contestants[name] = {
      ...Object.fromEntries(Object.entries(MEASURES).map(([measure, of]) => [measure, spread(runs.map(of))])),
      counted: all.total(),
      curve: CURVE.map((q) => ({ share: q, us: all.quantile(q) })),
      coveredShare: coveredShareOf(runs),
      rounds: runs.map(withoutHistogram),
    };
  }
  const ratio = ({ measure, of, against = row.baseline }) => {
    const [ours, theirs] = [results[of], results[against]];
    if (!ours || !theirs) return null;
    return spread(ours.map((run, i) => MEASURES[measure](run) / MEASURES[measure](theirs[i])));
  };
  const figures = row.figures.map((figure) => {
    const against = figure.against ?? row.baseline;
    return {
      what: `${WORDS[figure.measure]} vs. ${titleOf(against)}`,
      unit: 'ratio',
      ...figure,
      against,
      value: ratio(figure),
    };
  });
  const ratios = Object.fromEntries(
    Object.keys(results)
      .filter((name) => name !== row.baseline)
      .map((name) => [name, ratio({ measure: 'throughput', of: name })]),
  );
  const { id, title, load, slaves, device, baseline } = row;
  return {
    kind: 'row',
    id,
    title,
    load,
    slaves,
    device,
    place: row.place,
    baseline,
    figures,
    ratios,
    contestants,
    absent,
  };
}

function coveredShareOf(runs) {
  if (runs.some(({ counters }) => !counters || counters.writes === 0)) return null;
  // The one is counted when a write begins, the other when it ends: at the edges a few more can have begun.
  return spread(runs.map(({ counters }) => Math.min(1, counters.coveredWrites / counters.writes)));
}

function withoutHistogram(run) {
  const { latencies, ...rest } = run;
  void latencies;
  return rest;
}

/** null: there is nothing to reach. Pure. */
export function reached({ value, atLeast, atMost }) {
  if (!value) return null;
  if (atLeast !== undefined) return value.median >= atLeast;
  if (atMost !== undefined) return value.median <= atMost;
  return null;
}
