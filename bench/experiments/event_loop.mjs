// Delay of the event loop of an application under full load, beside the same loop idle.
import { runJson } from '../child.mjs';
import { CONTESTANTS } from '../contestants.mjs';
import { spread } from '../statistics.mjs';
import { spanOf } from '../workloads.mjs';

const TIMEOUT_MS = 600_000;

export const eventLoop = {
  id: 'event-loop',
  title: 'delay of the event loop, random write 4 KiB, hot, depth 128',
  place: 'images',
  slaves: 1,
  device: 'io_uring',
  sets: ['default'],
  run: runEventLoop,
};

async function runEventLoop({ place, settings, device, onRound }) {
  const load = { pattern: 'random', span: 'hot', block: 4096, depth: 128, readPercent: 0, watchLoop: true };
  const span = spanOf(load, { size: place.size, recoveryBudget: settings.recoveryBudget });
  const rounds = [];
  for (let round = 0; round < settings.rounds; ++round) {
    onRound(round);
    const { eventLoop: delays } = await runJson(
      CONTESTANTS.mirror.command({ load, span, device, place, settings }),
      TIMEOUT_MS,
    );
    rounds.push(delays);
  }
  const over = (of) => spread(rounds.map(of));
  const figures = [
    { what: 'p99 under load', unit: 'ms', value: over(({ busy }) => busy.p99), atMost: 5 },
    { what: 'p99 of the idle loop', unit: 'ms', value: over(({ idle }) => idle.p99) },
    { what: 'longest under load', unit: 'ms', value: over(({ busy }) => busy.maximum) },
    { what: 'longest of the idle loop', unit: 'ms', value: over(({ idle }) => idle.maximum) },
  ];
  return { kind: 'event-loop', figures, rounds };
}
