// One step of a mirror's life in a process that may take little more memory than Node has taken: run by memory_limits.ts.
//
// It prints a line of JSON for each write that was acknowledged, and one for how the step ended. Lines are written at
// once, by writeSync: what a process that dies of its limit has acknowledged counts.
'use strict';
const { execFileSync } = require('node:child_process');
const { readFileSync, writeSync } = require('node:fs');
const { stat } = require('node:fs/promises');
const path = require('node:path');

const { Mirror, inspect, recover } = require(path.join(__dirname, '..', '..', 'dist', 'index.js'));
const { step, options, writes, moreBytes } = JSON.parse(process.argv[2]);

function say(line) {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

function limitMemory() {
  const pages = Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[0]);
  const limit = pages * 4096 + moreBytes;
  execFileSync('prlimit', [`--pid=${process.pid}`, `--as=${limit}:${limit}`, '--core=0:0']);
}

async function writeAndReadBack(mirror, { position, length, fill }, number) {
  try {
    await mirror.write(Buffer.alloc(length, fill), { position });
    say({ acknowledged: number });
    const bytes = Buffer.alloc(length);
    await mirror.read(bytes, { position });
    if (!bytes.every((byte) => byte === fill)) say({ misread: number });
  } catch (error) {
    say({ refused: number, code: error.code, message: error.message });
  }
}

// All at once, so that they wait in the pool. Nothing is closed: the process ends as in a crash.
function writeAll(mirror) {
  return Promise.all(writes.map((write, number) => writeAndReadBack(mirror, write, number)));
}

const STEPS = {
  create: async () => {
    limitMemory();
    await Mirror.create(options);
  },
  'open and write': async () => {
    limitMemory();
    await writeAll(await Mirror.open(options.log, { device: options.device }));
  },
  write: async () => {
    const mirror = await Mirror.open(options.log, { device: options.device });
    limitMemory();
    await writeAll(mirror);
  },
  recover: async () => {
    limitMemory();
    await recover(options.log, { device: options.device });
  },
  inspect: async () => {
    limitMemory();
    await inspect(options.log);
  },
};

async function main() {
  // libuv makes its threads when they are first needed, and ends the process without a word where it cannot: before ours.
  await stat(__filename);
  let ended = { ended: 'done' };
  try {
    await STEPS[step]();
  } catch (error) {
    ended = { ended: 'error', code: error.code, message: error.message };
  }
  say(ended);
  process.kill(process.pid, 'SIGKILL');
}

void main();
