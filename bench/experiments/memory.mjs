// Resident memory of the writing process over a long load: bounded and flat, or not.
import { runJson } from '../child.mjs';
import { CONTESTANTS } from '../contestants.mjs';
import { median } from '../statistics.mjs';

const SAMPLES = 240;
const MiB = 1024 * 1024;
const GRACE_MS = 120_000;
// What a garbage collected heap drifts by; a leak of one byte in each request would be more within a minute.
const MOST_GROWTH = 8 * MiB;

export const memory = {
  id: 'memory',
  title: 'resident memory over a long load, random write 4 KiB over the whole mirror, depth 128',
  place: 'images',
  slaves: 1,
  device: 'io_uring',
  sets: [],
  run: runMemory,
};

async function runMemory({ place, settings, device }) {
  const load = { pattern: 'random', block: 4096, depth: 128, readPercent: 0, sampleMemory: SAMPLES };
  const long = { ...settings, seconds: settings.memorySeconds };
  const result = await runJson(
    CONTESTANTS.mirror.command({ load, span: place.size, device, place, settings: long }),
    (long.warmUp + long.seconds) * 1000 + GRACE_MS,
  );
  return summarize(result);
}

/** Pure. */
export function summarize({ memory: samples, operations, seconds }) {
  const quarter = (index) => {
    const from = Math.floor((samples.length * index) / 4);
    return median(samples.slice(from, Math.floor((samples.length * (index + 1)) / 4)).map(({ bytes }) => bytes));
  };
  const single = (value) => ({ minimum: value, median: value, maximum: value });
  // The first quarter fills pools and compiles; from the second on nothing may grow.
  const growth = quarter(3) - quarter(1);
  return {
    kind: 'memory',
    figures: [
      { what: 'growth from the second to the last quarter', unit: 'bytes', value: single(growth), atMost: MOST_GROWTH },
      { what: 'resident in the last quarter', unit: 'bytes', value: single(quarter(3)) },
      { what: 'writes meanwhile', unit: 'count', value: single(operations) },
      { what: 'time', unit: 's', value: single(seconds) },
    ],
    samples,
  };
}
