// One measured run of random writes through the public API, in a process of its own: opens the mirror, keeps DEPTH writes
// in flight for SECONDS, closes it, prints one JSON object of the same shape as raw_pair's, with the mirror's counters.
//
// api_writer.mjs LOG SECONDS DEPTH BLOCK SPAN DEVICE BUDGET
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { quantile } from './statistics.mjs';

const { Mirror } = createRequire(import.meta.url)('../dist/index.js');
const [log, seconds, depth, block, span, device, recoveryBudget] = process.argv.slice(2).map((word, i) => {
  return i === 0 || i === 5 ? word : Number(word);
});

const mirror = await Mirror.open(log, { device, recoveryBudget });
const blocks = Math.floor(span / block);
const latencies = [];
// Not counted: the first second, in which Node compiles what runs often and the first touches of the working set are
// logged. What is measured is the steady state; raw_pair has none of this and needs no such second.
const WARM_UP_MS = 1000;
const begin = performance.now() + WARM_UP_MS;
const end = begin + seconds * 1000;

// A multiplicative generator: cheap, uniform enough for positions, and the same in every run.
function positions(seed) {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) % blocks) * block;
  };
}

async function writer(seed) {
  const bytes = Buffer.alloc(block, seed % 256);
  const next = positions(seed * 2654435761);
  for (let started = performance.now(); started < end; started = performance.now()) {
    await mirror.write(bytes, { position: next() });
    if (started >= begin) latencies.push((performance.now() - started) * 1000);
  }
}

let cpu = process.cpuUsage();
setTimeout(() => (cpu = process.cpuUsage()), WARM_UP_MS);
await Promise.all(Array.from({ length: depth }, (_, i) => writer(i + 1)));
const elapsed = (performance.now() - begin) / 1000;
const used = process.cpuUsage(cpu);
const status = mirror.status();
await mirror.close();
latencies.sort((a, b) => a - b);
process.stdout.write(
  `${JSON.stringify({
    operations: latencies.length,
    seconds: elapsed,
    p50_us: quantile(latencies, 0.5),
    p99_us: quantile(latencies, 0.99),
    p999_us: quantile(latencies, 0.999),
    cpu_us_per_operation: (used.user + used.system) / latencies.length,
    counters: status.counters,
    coverage: status.coverage,
  })}\n`,
);
