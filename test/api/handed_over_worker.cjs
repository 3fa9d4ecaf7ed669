// A worker that opens a mirror, and on every message hands memory over to it: run by handed_over.test.ts.
'use strict';
const path = require('node:path');
const { parentPort, workerData } = require('node:worker_threads');
const { Mirror } = require(path.join(__dirname, '..', '..', 'dist', 'index.js'));

const { log, device, writes, length, fill, memory } = workerData;

async function main() {
  const mirror = await Mirror.open(log, { device });
  parentPort.on('message', () => {
    for (let index = 0; index < writes; index++) {
      const buffer = memory === 'aligned' ? Mirror.alignedBuffer(length) : Buffer.allocUnsafeSlow(length);
      mirror.write(buffer.fill(fill), { position: index * length, transfer: true }).catch(() => undefined);
    }
    parentPort.postMessage('handed over');
  });
  parentPort.postMessage('open');
}

void main();
