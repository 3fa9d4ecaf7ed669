// Workers that are terminated in the middle of calls of the addon that make objects: when JavaScript may not run any more,
// Node-API refuses everything. Run by teardown.test.ts: node terminated_child.cjs '{"addon", "rounds"}'.
'use strict';
const { Worker, isMainThread, workerData } = require('node:worker_threads');

async function main() {
  const { addon, rounds } = JSON.parse(process.argv[2]);
  for (let round = 0; round < rounds; round += 1) {
    const workers = [1, 2].map(() => new Worker(__filename, { workerData: addon }));
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
    await new Promise((resolve) => setTimeout(resolve, round));
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function work() {
  const binding = require(workerData);
  const engine = new binding.Engine({ device: 'threads', polling: false }, () => {});
  require('node:worker_threads').parentPort.postMessage('begun');
  for (;;) {
    engine.snapshot();
    binding.labelOf(Buffer.alloc(4096), null);
  }
}

if (isMainThread) void main();
else work();
