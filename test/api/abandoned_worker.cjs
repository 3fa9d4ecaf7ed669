// A worker with a mirror of which a device hangs, and a write that its signal abandoned: run by outcome_unknown.test.ts.
'use strict';
const path = require('node:path');
const { parentPort, workerData } = require('node:worker_threads');
const { Mirror } = require(path.join(__dirname, '..', '..', 'dist', 'index.js'));

async function main() {
  const { log, device, deviceTimeout } = workerData;
  const mirror = await Mirror.open(log, { device, deviceTimeout });
  parentPort.on('message', () => {
    const bytes = Buffer.alloc(4096, 1);
    mirror.write(bytes, { position: 0, signal: AbortSignal.timeout(100) }).then(
      () => parentPort.postMessage('written'),
      (error) => parentPort.postMessage(error.code),
    );
  });
  parentPort.postMessage('open');
}

void main();
