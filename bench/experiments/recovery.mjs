// Kill -9 under load, then open as an application would: bytes covered, bytes copied, the first byte served, the rate of
// the copy beside a plain O_DIRECT copy of the same pieces, with as many under way. Twice each round: a recovery that only
// copies beside a copy that does, and one that compares first (as `recover` does by default) beside one that does.
import { createRequire } from 'node:module';
import { runJson } from '../child.mjs';
import { buildRawCopy } from '../build.mjs';
import { spread } from '../statistics.mjs';
import { crashUnderLoad, opener, piecesOf } from './crash.mjs';

const GiB = 1024 ** 3;
// Measured elsewhere: md RAID1 with its default internal bitmap, after 200 scattered 4 KiB writes over 1 GiB.
const MD_RECOPIED = 1_072_000_000;
const { loadBinding } = createRequire(import.meta.url)('../../dist/base/load.js');
const TIMEOUT_MS = 600_000;

export const recovery = {
  id: 'recovery',
  title: 'kill -9 under random 4 KiB writes over 1 GiB at depth 32, then open',
  place: 'images',
  slaves: 1,
  device: 'io_uring',
  sets: ['quick', 'default'],
  run: runRecovery,
};

async function runRecovery({ place, settings, device, onRound }) {
  const span = Math.min(GiB, place.size);
  const load = { pattern: 'random', block: 4096, depth: 32, readPercent: 0 };
  const run = { load, span, device, place, settings };
  const rounds = [];
  for (let round = 0; round < settings.rounds; ++round) {
    onRound(round);
    rounds.push({ copying: await recoverOnce(run, round, false), comparing: await recoverOnce(run, round, true) });
  }
  return summarize(rounds, settings);
}

/** Recovery copies all that is covered whatever it holds, so that a raw copy before it takes no work from it. */
async function recoverOnce(run, round, compare) {
  const { liveIntents, bytesCovered, extents } = await crashUnderLoad(run);
  const pieces = piecesOf(extents);
  const found = { liveIntents, bytesCovered, extents: extents.length, pieces: pieces.length };
  const steps = [
    async () => (found.raw = await rawCopy(pieces, run.place, compare)),
    async () => (found.opened = await runJson(opener(run, compare), TIMEOUT_MS)),
  ];
  for (const step of round % 2 === 0 ? steps : steps.reverse()) await step();
  return found;
}

function rawCopy(pieces, place, compare) {
  const input = pieces.map(({ position, length }) => `${position} ${length}`).join('\n');
  const { copyLanes, copyBytes } = loadBinding().limits; // what the engine keeps under way
  const args = [...(compare ? ['--compare'] : []), copyLanes, copyBytes, ...place.images];
  return runJson({ program: buildRawCopy(), args, input }, TIMEOUT_MS);
}

const stepOf = (recovery, name) => recovery.opened.steps.find(({ step }) => step === name);
const rateOf = (bytes, milliseconds) => (milliseconds > 0 ? (bytes / milliseconds) * 1000 : null);

/** Bytes per second of a step of a recovery. Pure. */
export function stepRate(recovery, name) {
  const step = stepOf(recovery, name);
  return step ? rateOf(recovery.bytesCovered, step.endMs - step.beginMs) : null;
}

/** Pure. */
export function summarize(rounds, { recoveryBudget }) {
  const all = rounds.flatMap(({ copying, comparing }) => [copying, comparing]);
  const over = (of) => spread(all.map(of));
  const each = (of) => spread(rounds.map(of));
  const copyRatio = (recovery) => stepRate(recovery, 'copy') / (recovery.raw.bytes / recovery.raw.copySeconds);
  const figures = [
    { what: 're-copied after the kill', unit: 'bytes', value: over((r) => r.bytesCovered), atMost: recoveryBudget },
    {
      what: 'the same vs. md by default (1,072 MB, measured elsewhere)',
      unit: 'ratio',
      value: over((r) => r.bytesCovered / MD_RECOPIED),
      atMost: 1 / 16,
    },
    {
      what: 'copy rate without comparing, vs. a plain O_DIRECT copy of the same pieces',
      unit: 'ratio',
      value: each((r) => copyRatio(r.copying)),
      atLeast: 0.9,
    },
    {
      what: 'copy rate with comparing, vs. an O_DIRECT copy that compares first',
      unit: 'ratio',
      value: each((r) => copyRatio(r.comparing)),
    },
    { what: 'copy rate without comparing', unit: 'bytes/s', value: each((r) => stepRate(r.copying, 'copy')) },
    { what: 'copy rate with comparing', unit: 'bytes/s', value: each((r) => stepRate(r.comparing, 'copy')) },
    { what: 'rate of reading back and comparing', unit: 'bytes/s', value: over((r) => stepRate(r, 'readBack')) },
    { what: 'until copying began', unit: 'ms', value: over((r) => r.opened.copyBeginsMs) },
    { what: 'until the first byte was served', unit: 'ms', value: over((r) => r.opened.firstByteMs) },
    { what: 'live intents', unit: 'count', value: over((r) => r.liveIntents) },
    { what: 'pieces copied', unit: 'count', value: over((r) => r.pieces) },
  ];
  return { kind: 'recovery', figures, rounds };
}
