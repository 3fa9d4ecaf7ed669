// The mirror through its public API, in a process of its own: opens it, runs the load, closes it, prints one JSON object
// of the same shape as raw_pair's, with what the mirror counted in the same time.
//
// Besides a load (load.mjs): log, device, recoveryBudget, durable, transfer, watchLoop, sampleMemory (samples over the
// time), crash (print the object when the counting ends, and die by SIGKILL with all lanes at work), fractured (the last
// slave is out of the mirror while the load runs, and is taken back after it).
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fillOf, loadFromArguments, runLoad } from './load.mjs';
import { lastSlave, takeOut } from './slave_out.mjs';

const { Mirror } = createRequire(import.meta.url)('../../dist/index.js');
const load = loadFromArguments();

function laneOf(mirror) {
  const { dsync, block } = { dsync: load.durable === true, block: load.block };
  return () => {
    let bytes = fillOf(load, load.transfer ? Mirror.alignedBuffer(block) : Buffer.alloc(block));
    const into = load.readPercent > 0 ? Buffer.alloc(block) : null;
    const write = load.transfer
      ? async (position) => {
          bytes = (await mirror.write(bytes, { position, dsync, transfer: true })).buffer;
        }
      : (position) => mirror.write(bytes, { position, dsync });
    return { write, read: (position) => mirror.read(into, { position }) };
  };
}

/** Delays of the event loop in milliseconds; the resolution of 1 ms is the least there is. */
function watchLoop() {
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  return () => {
    delays.disable();
    const ms = (nanoseconds) => nanoseconds / 1e6;
    return { p50: ms(delays.percentile(50)), p99: ms(delays.percentile(99)), maximum: ms(delays.max) };
  };
}

/** Resident memory in bytes, evenly over the time of the load. */
function sampleMemory(samples) {
  const taken = [];
  const every = ((load.warmUp + load.seconds) * 1000) / samples;
  const begun = performance.now();
  const timer = setInterval(() => {
    taken.push({ seconds: (performance.now() - begun) / 1000, bytes: process.memoryUsage.rss() });
  }, every);
  return () => {
    clearInterval(timer);
    return taken;
  };
}

function difference(after, before) {
  return Object.fromEntries(Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)]));
}

const mirror = await Mirror.open(load.log, { device: load.device, recoveryBudget: load.recoveryBudget });
const slave = lastSlave(mirror);
if (load.fractured) await takeOut(mirror, slave);
let idleLoop;
if (load.watchLoop) {
  const stop = watchLoop();
  await sleep(load.seconds * 1000);
  idleLoop = stop();
}
const memory = load.sampleMemory ? sampleMemory(load.sampleMemory) : () => undefined;
let loop = () => undefined;
let statusBefore = mirror.status();
let statusAfter;

function document(result) {
  return `${JSON.stringify({
    ...result,
    counters: difference(statusAfter.counters, statusBefore.counters),
    coverage: statusAfter.coverage,
    eventLoop: load.watchLoop ? { idle: idleLoop, busy: loop() } : undefined,
    memory: memory(),
  })}\n`;
}

const result = await runLoad(load, laneOf(mirror), (moment, soFar) => {
  if (moment === 'begin') {
    statusBefore = mirror.status();
    if (load.watchLoop) loop = watchLoop();
    return;
  }
  statusAfter = mirror.status();
  if (!load.crash) return;
  writeSync(1, document(soFar));
  process.kill(process.pid, 'SIGKILL');
});
statusAfter ??= mirror.status();
const text = document(result);
if (load.fractured) await mirror.resync([slave]);
await mirror.close();
process.stdout.write(text);
