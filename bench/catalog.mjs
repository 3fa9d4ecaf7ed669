// Everything that can be measured, in the order in which it is: rows of the table (workloads.mjs), then what needs more
// than a load. All have id, title, sets, and where they run: place, slaves, device.
import { busyHost } from './experiments/busy_host.mjs';
import { eventLoop } from './experiments/event_loop.mjs';
import { memory } from './experiments/memory.mjs';
import { openLarge } from './experiments/open_large.mjs';
import { pareto } from './experiments/pareto.mjs';
import { recovery } from './experiments/recovery.mjs';
import { resync } from './experiments/resync.mjs';
import { measureRow } from './measure.mjs';
import { WORKLOADS } from './workloads.mjs';

const rows = WORKLOADS.map((row) => ({
  ...row,
  run: ({ place, settings, device, onRound }) => measureRow({ ...row, device }, place, settings, onRound),
}));

export const CATALOG = [...rows, eventLoop, recovery, resync, pareto, memory, openLarge, busyHost];

/** Those of one place together: a place is made once, used, and gone. Pure. */
export function byPlace(chosen) {
  const groups = new Map();
  for (const one of chosen) {
    const key = `${one.place} ${one.slaves}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].flat();
}
