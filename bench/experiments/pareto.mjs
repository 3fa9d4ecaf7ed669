// Both axes at once, for several recovery budgets: throughput of the raw pair, and bytes copied again after a kill. What
// others buy one with the other; the user chooses the point.
import { runJson } from '../child.mjs';
import { CONTESTANTS } from '../contestants.mjs';
import { orderOf } from '../measure.mjs';
import { spread } from '../statistics.mjs';
import { crashUnderLoad, opener } from './crash.mjs';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const TIMEOUT_MS = 600_000;
const FEW = [MiB, 64 * MiB, 256 * MiB];
const MANY = [MiB, 4 * MiB, 16 * MiB, 64 * MiB, 256 * MiB, GiB, 4 * GiB];

/**
 * Others, measured elsewhere or by their defaults: cited, never measured here. `throughput` of the same device without
 * any log, where somebody published it, from least to most.
 */
export const PEERS = [
  {
    name: 'DRBD, default al-extents',
    bytes: 1237 * 4 * MiB,
    throughput: null,
    source: 'drbd.conf(5): al-extents 1237, each of 4 MiB, is what a crashed primary resyncs',
  },
  {
    name: 'md RAID1, default bitmap',
    bytes: 1_072_000_000,
    throughput: null,
    source: 'measured elsewhere: 200 scattered 4 KiB writes over 1 GiB, chunks of 64 MiB',
  },
  {
    name: 'dm-mirror, disk log',
    bytes: 500_000,
    throughput: [0.3, 0.5],
    source: 'measured elsewhere: of its own speed without a log',
  },
];

export const pareto = {
  id: 'pareto',
  title: 'random write 4 KiB over 1 GiB, depth 32: throughput over bytes copied again after a kill',
  place: 'images',
  slaves: 1,
  device: 'io_uring',
  sets: ['default'],
  run: runPareto,
};

async function runPareto({ place, settings, device, onRound }) {
  const load = { pattern: 'random', block: 4096, depth: 32, readPercent: 0 };
  const span = Math.min(GiB, place.size);
  const budgets = settings.set === 'all' ? MANY : FEW;
  const base = { load, span, device, place, settings };
  const speeds = new Map([['raw', []], ...budgets.map((budget) => [budget, []])]);
  const crashes = new Map(budgets.map((budget) => [budget, []]));
  for (let round = 0; round < settings.rounds; ++round) {
    onRound(round);
    for (const who of orderOf([...speeds.keys()], round)) {
      if (who === 'raw') {
        speeds.get(who).push(speedOf(await runJson(CONTESTANTS.raw_pair.command(base), TIMEOUT_MS)));
        continue;
      }
      const run = { ...base, settings: { ...settings, recoveryBudget: who } };
      const { result, liveIntents, bytesCovered } = await crashUnderLoad(run);
      speeds.get(who).push(speedOf(result));
      const { firstByteMs } = await runJson(opener(run), TIMEOUT_MS);
      crashes.get(who).push({ liveIntents, bytesCovered, firstByteMs });
    }
  }
  const raw = speeds.get('raw');
  const points = budgets.map((budget) => summarizePoint(budget, speeds.get(budget), raw, crashes.get(budget)));
  return { kind: 'pareto', figures: points.flatMap(figuresOf), points, peers: PEERS };
}

const speedOf = ({ operations, seconds }) => operations / seconds;

/** Pure. */
export function summarizePoint(recoveryBudget, speeds, raw, crashes) {
  return {
    recoveryBudget,
    throughput: spread(speeds.map((speed, i) => speed / raw[i])),
    bytes: spread(crashes.map(({ bytesCovered }) => bytesCovered)),
    liveIntents: spread(crashes.map(({ liveIntents }) => liveIntents)),
    firstByteMs: spread(crashes.map(({ firstByteMs }) => firstByteMs)),
  };
}

function figuresOf({ recoveryBudget, throughput, bytes, liveIntents, firstByteMs }) {
  const name = `budget ${recoveryBudget / MiB} MiB`;
  return [
    { what: `${name}: throughput vs. raw pair`, unit: 'ratio', value: throughput },
    { what: `${name}: re-copied after a kill`, unit: 'bytes', value: bytes, atMost: recoveryBudget },
    { what: `${name}: live intents`, unit: 'count', value: liveIntents },
    { what: `${name}: until the first byte was served`, unit: 'ms', value: firstByteMs },
  ];
}
