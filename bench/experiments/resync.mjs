// A slave is taken out, misses writes and comes back: what its resync copies, how fast beside a plain copy of the same
// extents, and what an application keeps of its speed while all of a slave is copied at the automatic rate.
import { runJson } from '../child.mjs';
import { nodeScript } from '../contestants.mjs';
import { histogramOf } from '../histogram.mjs';
import { spread } from '../statistics.mjs';
import { piecesOf } from './crash.mjs';
import { rawCopy } from './raw_copy.mjs';

const TIMEOUT_MS = 600_000;

export const resync = {
  id: 'resync',
  title: 'one slave of two goes out under random 4 KiB writes at depth 32, and comes back',
  place: 'images',
  slaves: 2,
  device: 'io_uring',
  sets: ['default'],
  run: runResync,
};

async function runResync({ place, settings, device, onRound }) {
  const load = { pattern: 'random', block: 4096, depth: 32, readPercent: 0, span: place.size };
  const { seconds, warmUp, recoveryBudget } = settings;
  const rounds = [];
  for (let round = 0; round < settings.rounds; ++round) {
    onRound(round);
    const told = { ...load, seconds, warmUp, recoveryBudget, log: place.log, device, besideFirst: round % 2 === 1 };
    const { missed, ...loads } = await runJson(nodeScript('resync.mjs', told), TIMEOUT_MS);
    const { extents, ...figures } = missed;
    const raw = await rawCopy(piecesOf(extents), [place.images[0], place.images.at(-1)]);
    rounds.push({ missed: { ...figures, extents: extents.length }, raw, ...loads });
  }
  return summarize(rounds);
}

const speedOf = ({ operations, seconds }) => operations / seconds;
const p99Of = ({ latencies }) => histogramOf(latencies).quantile(0.99);

/** Pure. */
export function summarize(rounds) {
  const over = (of) => spread(rounds.map(of));
  const rate = ({ missed }) => missed.bytesCopied / missed.seconds;
  // A copy that did not last as long as the load says nothing about it.
  const lasting = (of) => (round) => (round.beside.lasted ? of(round) : null);
  const figures = [
    {
      what: 'copied on return vs. distinct blocks written meanwhile',
      unit: 'ratio',
      value: over(({ missed }) => missed.bytesCopied / missed.bytesWritten),
      atMost: 1,
    },
    {
      what: 'resync of an idle mirror vs. a plain O_DIRECT copy of the same extents, both flushed',
      unit: 'ratio',
      value: over((r) => rate(r) / (r.raw.bytes / (r.raw.copySeconds + r.raw.flushSeconds))),
      atLeast: 0.9,
    },
    {
      what: 'throughput beside a resync vs. without',
      unit: 'ratio',
      value: over(lasting(({ beside, without }) => speedOf(beside) / speedOf(without))),
      atLeast: 0.7,
    },
    {
      what: 'p99 latency beside a resync vs. without',
      unit: 'ratio',
      value: over(lasting(({ beside, without }) => p99Of(beside) / p99Of(without))),
      atMost: 2,
    },
    { what: 'rate of the resync of an idle mirror', unit: 'bytes/s', value: over(rate) },
    {
      what: 'until all of the slave was copied, for the most part under load',
      unit: 'ms',
      value: over((r) => r.beside.resyncSeconds * 1000),
    },
    { what: 'copied on return', unit: 'bytes', value: over(({ missed }) => missed.bytesCopied) },
    { what: 'extents of it', unit: 'count', value: over(({ missed }) => missed.extents) },
  ];
  return { kind: 'resync', figures, rounds: rounds.map(withoutHistograms) };
}

function withoutHistograms({ beside, without, ...rest }) {
  const plain = ({ latencies, ...figures }) => {
    void latencies;
    return figures;
  };
  return { ...rest, beside: plain(beside), without: plain(without) };
}
