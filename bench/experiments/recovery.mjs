// Kill -9 under load, then open as an application would: bytes covered, bytes copied, the first byte served, the rate of
// the copy beside a plain O_DIRECT copy of the same pieces.
import { runJson } from '../child.mjs';
import { buildRawCopy } from '../build.mjs';
import { spread } from '../statistics.mjs';
import { crashUnderLoad, opener, piecesOf } from './crash.mjs';

const GiB = 1024 ** 3;
// Measured elsewhere: md RAID1 with its default internal bitmap, after 200 scattered 4 KiB writes over 1 GiB.
const MD_RECOPIED = 1_072_000_000;
const COPY_LANES = 8; // of lib/recovery.ts
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
    const { liveIntents, bytesCovered, extents } = await crashUnderLoad(run);
    const pieces = piecesOf(extents);
    // Recovery copies all that is covered whatever it holds, so that a raw copy before it takes no work from it.
    const raw = {};
    const steps = [
      async () => (raw.copy = await rawCopy(pieces, place, [])),
      async () => (raw.compared = await rawCopy(pieces, place, ['--compare'])),
      async () => (raw.opened = await runJson(opener(run), TIMEOUT_MS)),
    ];
    for (const step of round % 2 === 0 ? steps : steps.reverse()) await step();
    rounds.push({ liveIntents, bytesCovered, extents: extents.length, pieces: pieces.length, ...raw });
  }
  return summarize(rounds, settings);
}

function rawCopy(pieces, place, words) {
  const input = pieces.map(({ position, length }) => `${position} ${length}`).join('\n');
  return runJson({ program: buildRawCopy(), args: [...words, COPY_LANES, ...place.images], input }, TIMEOUT_MS);
}

const stepOf = (round, name) => round.opened.steps.find(({ step }) => step === name);
const rateOf = (bytes, milliseconds) => (milliseconds > 0 ? (bytes / milliseconds) * 1000 : null);

/** Bytes per second of a step of the recovery. Pure. */
export function stepRate(round, name) {
  const step = stepOf(round, name);
  return step ? rateOf(round.bytesCovered, step.endMs - step.beginMs) : null;
}

/** Pure. */
export function summarize(rounds, { recoveryBudget }) {
  const over = (of) => spread(rounds.map(of));
  const rawRate = (raw) => raw.bytes / raw.copySeconds;
  const figures = [
    { what: 're-copied after the kill', unit: 'bytes', value: over((r) => r.bytesCovered), atMost: recoveryBudget },
    {
      what: 'the same vs. md by default (1,072 MB, measured elsewhere)',
      unit: 'ratio',
      value: over((r) => r.bytesCovered / MD_RECOPIED),
      atMost: 1 / 16,
    },
    {
      what: 'copy rate vs. a plain O_DIRECT copy of the same pieces',
      unit: 'ratio',
      value: over((r) => stepRate(r, 'copy') / rawRate(r.copy)),
      atLeast: 0.9,
    },
    {
      what: 'copy rate vs. an O_DIRECT copy that compares first',
      unit: 'ratio',
      value: over((r) => stepRate(r, 'copy') / rawRate(r.compared)),
    },
    { what: 'copy rate', unit: 'bytes/s', value: over((r) => stepRate(r, 'copy')) },
    { what: 'rate of reading back and comparing', unit: 'bytes/s', value: over((r) => stepRate(r, 'verify')) },
    { what: 'until copying began', unit: 'ms', value: over((r) => r.opened.copyBeginsMs) },
    { what: 'until the first byte was served', unit: 'ms', value: over((r) => r.opened.firstByteMs) },
    { what: 'live intents', unit: 'count', value: over((r) => r.liveIntents) },
    { what: 'pieces copied', unit: 'count', value: over((r) => r.pieces) },
  ];
  return { kind: 'recovery', figures, rounds };
}
