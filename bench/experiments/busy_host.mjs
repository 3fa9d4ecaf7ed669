// Writes beside two processes that take every processor they can get: what a mirror keeps of the raw pair, which has the
// same neighbours, on a host that is not its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { runJson } from '../child.mjs';
import { onExit } from '../cleanup.mjs';
import { CONTESTANTS } from '../contestants.mjs';
import { orderOf } from '../measure.mjs';
import { spread } from '../statistics.mjs';
import { spanOf } from '../workloads.mjs';

const TIMEOUT_MS = 600_000;
const SPINNING = 2;
const DEPTHS = [1, 32];

export const busyHost = {
  id: 'busy-host',
  title: `random write 4 KiB, hot, beside ${SPINNING} processes that spin`,
  place: 'images',
  slaves: 1,
  device: 'io_uring',
  sets: [],
  run: runBusyHost,
};

/** @returns {Promise<() => void>} ends it */
async function spin() {
  // It says that it runs, and ends by itself should the benchmark be killed.
  const script = 'process.stdout.write("x"); const parent = process.ppid; while (process.ppid === parent);';
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const end = onExit('end a process that spins', () => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return end;
}

async function runBusyHost({ place, settings, device, onRound }) {
  const speeds = new Map();
  const spinning = [];
  for (let i = 0; i < SPINNING; ++i) spinning.push(await spin());
  try {
    for (let round = 0; round < settings.rounds; ++round) {
      onRound(round);
      for (const depth of DEPTHS) await measureDepth({ depth, round, place, settings, device, speeds });
    }
  } finally {
    for (const end of spinning) end();
  }
  return { kind: 'busy-host', figures: DEPTHS.flatMap((depth) => figuresOf(depth, speeds)) };
}

async function measureDepth({ depth, round, place, settings, device, speeds }) {
  const load = { pattern: 'random', span: 'hot', block: 4096, depth, readPercent: 0 };
  const span = spanOf(load, { size: place.size, recoveryBudget: settings.recoveryBudget });
  for (const who of orderOf(['mirror', 'raw_pair'], round)) {
    const { operations, seconds } = await runJson(
      CONTESTANTS[who].command({ load, span, device, place, settings }),
      TIMEOUT_MS,
    );
    const key = `${who} ${depth}`;
    speeds.set(key, [...(speeds.get(key) ?? []), operations / seconds]);
  }
}

/** Pure. */
export function figuresOf(depth, speeds) {
  const [ours, theirs] = ['mirror', 'raw_pair'].map((who) => speeds.get(`${who} ${depth}`));
  return [
    {
      what: `depth ${depth}: throughput vs. raw pair`,
      unit: 'ratio',
      value: spread(ours.map((it, i) => it / theirs[i])),
    },
    { what: `depth ${depth}: writes a second`, unit: 'count', value: spread(ours) },
    { what: `depth ${depth}: of the raw pair`, unit: 'count', value: spread(theirs) },
  ];
}
