// A process, or a worker in it, that takes a mirror to one step of its life and then ends without closing it.
// Run by teardown.test.ts: node teardown_child.cjs '{"addon", "device", "files", "ringRecords", "step", "end"}'.
//
//   step  made, log, images, formatted, idle, load, closing, closed, destroyed
//   end   natural  nothing keeps the event loop alive any more
//         exit     process.exit(0); in a worker that ends the worker alone
//         throw    an uncaught exception
//         callback three commands more, the callback throwing at the first; natural then
//         worker-natural, worker-exit, worker-terminate  the same within a worker; then the process itself opens the
//                  mirror's log, exclusively, to see that the worker let go of it, and ends naturally
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');

const options = isMainThread ? JSON.parse(process.argv[2]) : workerData;
const binding = require(options.addon);

const steps = ['made', 'log', 'images', 'formatted', 'idle', 'load', 'closing', 'closed', 'destroyed'];

function makeEngine() {
  const waiting = new Map();
  const engine = new binding.Engine({ device: options.device, polling: false }, (count) => {
    for (let at = 0; at < count * 5; at += 5) {
      const ticket = engine.completions[at];
      const settle = waiting.get(ticket);
      waiting.delete(ticket);
      if (settle === 'throw') throw new Error('thrown by the callback');
      settle?.(engine.completions[at + 1]);
    }
  });
  const commandTicket = binding.limits.pendingRequests - 1;
  const command = (name, args = {}) =>
    new Promise((resolve, reject) => {
      engine.ref();
      waiting.set(commandTicket, (code) => {
        engine.unref();
        if (code === 0) resolve();
        else reject(new Error(`${name}: ${binding.codes[code]}`));
      });
      const code = engine.command(commandTicket, name, args);
      if (code !== 0) reject(new Error(`${name}: ${binding.codes[code]} at once`));
    });
  /** A command whose completion makes the callback throw; resolves when that exception went uncaught. */
  const throwingCommand = (name) =>
    new Promise((resolve, reject) => {
      process.once('uncaughtException', ({ message }) => resolve(message));
      engine.ref();
      waiting.set(0, 'throw');
      if (engine.command(0, name, {}) !== 0) reject(new Error(`${name}: refused`));
    });
  return { engine, command, throwingCommand };
}

/** Writes without end as far as the queue takes them: pieces in flight, pieces that wait, and a buffer handed over. */
function load(engine) {
  const bytes = Buffer.alloc(64 * 1024, 7);
  for (let ticket = 0; ticket < 2000; ticket++)
    engine.submitWrite(ticket, bytes, 0, bytes.length, (ticket % 200) * 65536, ticket % 2 === 0);
  const memory = binding.takeMemory(binding.allocateMemory(2 * 1024 * 1024));
  engine.submitWriteOwned(2000, memory, 0, 1024 * 1024, 0, false);
  for (let ticket = 2001; ticket < 2100; ticket++) engine.submitRead(ticket, 65536, (ticket % 200) * 65536);
  engine.submitFlush(2100);
}

async function reach(step, { engine, command }) {
  const reached = (name) => steps.indexOf(step) < steps.indexOf(name);
  if (reached('log')) return;
  await command('openLog', { path: options.files.log, readOnly: false, exclusive: true });
  if (reached('images')) return;
  await command('openImages', { paths: options.files.images, readOnly: false, exclusive: true });
  if (reached('formatted')) return;
  await command('planFormat', {
    size: 0,
    maxImages: 4,
    minInSync: 1,
    ringRecords: options.ringRecords,
    assumeIdentical: true,
    images: options.files.images.map((path, index) => ({ name: `i${index}`, path, pathKind: 'absolute' })),
  });
  await command('format', {});
  if (reached('idle')) return;
  await command('endRecovery', {
    liveIntents: 0,
    bytesCovered: 0,
    bytesCopied: 0,
    durationMs: 0,
    readBack: false,
    fullCompare: false,
  });
  if (reached('load')) return;
  load(engine);
  if (reached('closing')) return;
  const closing = command('close');
  engine.unref();
  if (reached('closed')) return;
  engine.ref();
  await closing;
  if (reached('destroyed')) return;
  engine.destroy();
}

function runWorker(end) {
  const worker = new Worker(__filename, { workerData: { ...options, end: end.slice('worker-'.length) } });
  worker.on('message', () => end === 'worker-terminate' && worker.terminate());
  return new Promise((resolve, reject) => {
    worker.on('error', reject);
    worker.on('exit', (code) => {
      const expected = end === 'worker-terminate' ? 1 : 0;
      if (code === expected) resolve();
      else reject(new Error(`the worker ended with ${code}`));
    });
  });
}

async function main() {
  const { step, end } = options;
  if (isMainThread && end.startsWith('worker-')) {
    await runWorker(end);
    if (binding.openEngines() !== 0) throw new Error(`${binding.openEngines()} engines are left`);
    await makeEngine().command('openLog', { path: options.files.log, readOnly: false, exclusive: true });
    return;
  }
  const made = makeEngine();
  await reach(step, made);
  if (end === 'callback') {
    const message = await made.throwingCommand('readDebts');
    if (message !== 'thrown by the callback') throw new Error(`uncaught: ${message}`);
    await made.command('readDebts');
    await made.command('close');
    made.engine.destroy();
  }
  if (end === 'exit') process.exit(0);
  if (end === 'throw') throw new Error('thrown on purpose');
  if (end === 'terminate') {
    parentPort.postMessage('ready');
    setInterval(() => {}, 1000);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(options.end === 'throw' && error.message === 'thrown on purpose' ? 7 : 1);
});
