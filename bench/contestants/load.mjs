// A measured load in JavaScript, the same for all contestants that run in Node: keeps `depth` requests in flight, counts
// those that complete between the end of the warm-up and that plus `seconds`, then drains.
import { randomFillSync } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { Histogram } from '../histogram.mjs';
import { generator, positions } from './positions.mjs';

/** What a contestant is told: one JSON object as its argument. */
export function loadFromArguments() {
  return JSON.parse(process.argv[2]);
}

export function fillOf(load, buffer) {
  return load.sameFill ? Buffer.from(buffer.buffer, buffer.byteOffset, buffer.length).fill(1) : randomFillSync(buffer);
}

/**
 * @param load seconds, warmUp, depth, block, span, pattern, readPercent, ...
 * @param lane makes one lane: { write(position), read(position) }, each with a buffer of its own
 * @param onCount called with 'begin', and with 'end' and the result, when the counting begins and ends
 */
export async function runLoad(load, lane, onCount = () => {}) {
  const next = positions(load);
  const coin = generator(7);
  const latencies = new Histogram();
  const begin = performance.now() + load.warmUp * 1000;
  const end = begin + load.seconds * 1000;
  let operations = 0;
  let phase = 'warm-up';
  let cpuBefore = null;
  let cpu = { user: 0, system: 0 };

  const result = () => ({
    operations,
    seconds: load.seconds,
    cpuUser: cpu.user,
    cpuSystem: cpu.system,
    latencies: latencies.pairs(),
  });

  const count = (now, started) => {
    if (phase === 'warm-up' && now < end) {
      phase = 'counting';
      cpuBefore = process.cpuUsage();
      onCount('begin');
    }
    if (now < end) {
      latencies.record(now - started);
      operations += 1;
    } else if (phase === 'counting') {
      phase = 'over';
      cpu = process.cpuUsage(cpuBefore);
      onCount('end', result());
    }
  };

  async function run(index) {
    const { write, read } = lane(index);
    const readPercent = load.readPercent ?? 0;
    let started = performance.now();
    while (started < end) {
      if (readPercent > 0 && coin() % 100 < readPercent) await read(next());
      else await write(next());
      const now = performance.now();
      if (now >= begin) count(now, started);
      started = now;
    }
  }

  await Promise.all(Array.from({ length: load.depth }, (_, index) => run(index)));
  return result();
}
