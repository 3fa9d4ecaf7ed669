// Kill -9 under load, then open: bytes covered, bytes copied, the rate of the copy beside a plain O_DIRECT copy of the same
// pieces, with as many under way. Four times each round: a recovery that only copies beside a copy that does, one that
// compares first beside one that does, both without reading back, which a plain copy does not; then as an application opens:
// until the first byte and the first write, with the recovery before the first request, and behind it.
import { runJson } from '../child.mjs';
import { spread } from '../statistics.mjs';
import { crashUnderLoad, opener, piecesOf } from './crash.mjs';
import { rawCopy } from './raw_copy.mjs';

const GiB = 1024 ** 3;
// Measured elsewhere: md RAID1 with its default internal bitmap, after 200 scattered 4 KiB writes over 1 GiB.
const MD_RECOPIED = 1_072_000_000;
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
    rounds.push({
      copying: await recoverOnce(run, round, false),
      comparing: await recoverOnce(run, round, true),
      auto: await openAfterCrash(run, 'auto'),
      background: await openAfterCrash(run, 'background'),
    });
  }
  return summarize(rounds, settings);
}

/** Recovery copies all that is covered whatever it holds, so that a raw copy before it takes no work from it. */
async function recoverOnce(run, round, compare) {
  const { liveIntents, bytesCovered, extents } = await crashUnderLoad(run);
  const pieces = piecesOf(extents);
  const found = { liveIntents, bytesCovered, extents: extents.length, pieces: pieces.length };
  const steps = [
    async () => (found.raw = await rawCopy(pieces, run.place.images, compare)),
    async () =>
      (found.opened = await runJson(
        opener(run, { recovery: 'manual', recover: { compare, readBack: false } }),
        TIMEOUT_MS,
      )),
  ];
  for (const step of round % 2 === 0 ? steps : steps.reverse()) await step();
  return found;
}

async function openAfterCrash(run, recovery) {
  const { liveIntents, bytesCovered } = await crashUnderLoad(run);
  const opened = await runJson(opener(run, { recovery }), TIMEOUT_MS);
  return { liveIntents, bytesCovered, opened };
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
  const all = rounds.flatMap(({ copying, comparing, auto }) => [copying, comparing, auto]);
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
    { what: 'until copying began', unit: 'ms', value: each((r) => r.auto.opened.copyBeginsMs) },
    {
      what: 'until the first byte was served, all read back',
      unit: 'ms',
      value: each((r) => r.auto.opened.firstByteMs),
    },
    {
      what: 'recovery in the background: until the first write was acknowledged',
      unit: 'ms',
      value: each((r) => r.background.opened.firstWriteMs),
      atMost: 100,
    },
    { what: 'live intents', unit: 'count', value: over((r) => r.liveIntents) },
    { what: 'pieces copied', unit: 'count', value: each((r) => r.copying.pieces) },
  ];
  return { kind: 'recovery', figures, rounds };
}
