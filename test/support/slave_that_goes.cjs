// A process that writes to a mirror while the last of its slaves goes out and comes back, in turn, until it is killed. It
// tells which writes were acknowledged as the demo's writer does (lib/cli/demo/writer.ts), whose pattern it writes.
const { setTimeout: sleep } = require('node:timers/promises');
const { writeSync } = require('node:fs');
const { Mirror } = require('../../dist/index.js');
const { ENTRY_LENGTH, encodeAcknowledgement } = require('../../dist/cli/demo/acknowledgements.js');
const { UNIT, fillUnits } = require('../../dist/cli/demo/pattern.js');

const PIPE = 3;
const WRITERS = 8;
const LONGEST_UNITS = 16;
const LONGEST_REST_MS = 30;

async function keepWriting(mirror, run, writer) {
  const stripe = Math.floor(mirror.status().size / WRITERS / UNIT);
  const buffer = Buffer.alloc(LONGEST_UNITS * UNIT);
  const entry = Buffer.alloc(ENTRY_LENGTH);
  for (let sequence = 1; ; sequence += 1) {
    const units = 1 + Math.floor(Math.random() * LONGEST_UNITS);
    const position = (writer * stripe + Math.floor(Math.random() * (stripe - units))) * UNIT;
    const length = units * UNIT;
    fillUnits(buffer, length, run, position, sequence);
    await mirror.write(buffer, { position, length });
    encodeAcknowledgement({ run, position, length, sequence }, entry, 0);
    writeSync(PIPE, entry);
  }
}

async function comeAndGo(mirror, slave) {
  for (let turn = 0; ; turn += 1) {
    const { state } = mirror.status().images.find(({ name }) => name === slave);
    if (state === 'synchronized' || state === 'consistent') await mirror.fracture([slave]);
    await sleep(Math.random() * LONGEST_REST_MS);
    await mirror.resync([slave], { full: turn % 8 === 7 });
    await sleep(Math.random() * LONGEST_REST_MS);
  }
}

async function main({ log, run, device }) {
  const mirror = await Mirror.open(log, { device, rejoin: 'manual', recovery: run % 2 === 0 ? 'background' : 'auto' });
  const slave = mirror.status().images.at(-1).name;
  const writers = Array.from({ length: WRITERS }, (_, writer) => keepWriting(mirror, run, writer));
  await Promise.all([...writers, comeAndGo(mirror, slave)]);
}

main(JSON.parse(process.argv[2])).catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
