// Opens a mirror, has users' bytes in all memory of ours, says so and waits to be looked at: run by core_dumps.test.ts.
//
// Bytes are made by fill() in memory of Mirror.alignedBuffer, so that no memory of V8 ever holds them.
'use strict';
const path = require('node:path');
const { Mirror } = require(path.join(__dirname, '..', '..', 'dist', 'index.js'));

const { log, device, inBuffer, inPool, length } = JSON.parse(process.argv[2]);
const kept = [];

async function main() {
  const mirror = await Mirror.open(log, { device });
  const written = Mirror.alignedBuffer(length).fill(inPool);
  await mirror.write(written, { position: 0 });
  written.fill(0); // now they are in the pool alone
  kept.push(Mirror.alignedBuffer(length).fill(inBuffer));
  process.stdout.write('ready');
  process.stdin.resume();
}

void main();
