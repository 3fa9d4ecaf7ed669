// Opening a mirror of 4 TiB, closed cleanly and crashed: how long until copying begins, and how much memory. Sparse files
// under loop devices: a file with holes is refused as an image, since a hole would have to be allocated in the middle of
// a write; a device over one is the same to us as a thin volume.
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { runJson } from '../child.mjs';
import { attachLoop, loopsMissing } from '../loop.mjs';
import { spread } from '../statistics.mjs';
import { crashUnderLoad, opener } from './crash.mjs';

const { Mirror } = createRequire(import.meta.url)('../../dist/index.js');

const MiB = 1024 * 1024;
const SIZE = 4 * 1024 ** 4;
const LABEL = MiB;
const MOST_MS = 500;
const MOST_MEMORY = 64 * MiB;
const TIMEOUT_MS = 600_000;

export const openLarge = {
  id: 'open-4tib',
  title: 'open of a mirror of 4 TiB (sparse)',
  place: 'own',
  slaves: 1,
  device: 'io_uring',
  sets: ['default'],
  missing: loopsMissing,
  run: runOpenLarge,
};

function loopOverSparse(file) {
  const descriptor = openSync(file, 'wx');
  try {
    ftruncateSync(descriptor, SIZE + LABEL);
  } finally {
    closeSync(descriptor);
  }
  return attachLoop(file);
}

async function runOpenLarge({ folder, settings, device, onRound }) {
  const own = path.join(folder, 'sparse');
  mkdirSync(own);
  const loops = ['master', 'slave'].map((name) => loopOverSparse(path.join(own, name)));
  try {
    const images = loops.map((loop) => loop.device);
    const log = path.join(own, 'log');
    await Mirror.create({ log, master: images[0], slaves: images.slice(1), assumeIdentical: true, device });
    const load = { pattern: 'random', block: 4096, depth: 32, readPercent: 0 };
    // Half a second of writes fills the usual budget.
    const short = { ...settings, warmUp: 0.1, seconds: Math.min(settings.seconds, 0.5) };
    const run = { load, span: SIZE, device, place: { log, images, size: SIZE }, settings: short };
    const rounds = [];
    for (let round = 0; round < settings.rounds; ++round) {
      onRound(round);
      const clean = await runJson(opener(run), TIMEOUT_MS);
      const { liveIntents, bytesCovered } = await crashUnderLoad(run);
      const crashed = await runJson(opener(run), TIMEOUT_MS);
      rounds.push({ clean, liveIntents, bytesCovered, crashed });
    }
    return summarize(rounds);
  } finally {
    loops.forEach((loop) => loop.detach());
    rmSync(own, { recursive: true, force: true });
  }
}

/** Pure. */
export function summarize(rounds) {
  const over = (of) => spread(rounds.map(of));
  const figures = [
    { what: 'closed cleanly: until open', unit: 'ms', value: over((r) => r.clean.openMs), atMost: MOST_MS },
    { what: 'crashed: until copying began', unit: 'ms', value: over((r) => r.crashed.copyBeginsMs), atMost: MOST_MS },
    { what: 'crashed: until the first byte', unit: 'ms', value: over((r) => r.crashed.firstByteMs) },
    {
      what: 'closed cleanly: memory it took',
      unit: 'bytes',
      value: over((r) => r.clean.residentGrowth),
      atMost: MOST_MEMORY,
    },
    {
      what: 'crashed: memory when copying began',
      unit: 'bytes',
      value: over((r) => r.crashed.residentGrowth),
      atMost: MOST_MEMORY,
    },
    {
      what: 'resident at most, Node.js and buffers included',
      unit: 'bytes',
      value: over((r) => r.crashed.residentPeak),
    },
    { what: 'live intents after the crash', unit: 'count', value: over((r) => r.liveIntents) },
    { what: 're-copied', unit: 'bytes', value: over((r) => r.bytesCovered) },
  ];
  return { kind: 'open', figures, rounds };
}
