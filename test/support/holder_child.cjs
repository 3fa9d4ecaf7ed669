// A process that has a mirror open until it is killed, and may write to it all the while. It says 'open', or the message of its
// error, on a line of its own, then 10 times a second how many writes were acknowledged and how long the longest of them took.
const { Mirror } = require('../../dist/index.js');

const BLOCK = 64 * 1024;

async function keepWriting(mirror, told) {
  const buffer = Buffer.alloc(BLOCK);
  const blocks = Math.floor(mirror.status().size / BLOCK);
  for (let turn = 0; ; turn += 1) {
    buffer.fill(turn % 251);
    const began = performance.now();
    await mirror.write(buffer, { position: (turn % blocks) * BLOCK });
    told.acknowledged += 1;
    told.longestMs = Math.max(told.longestMs, performance.now() - began);
    // A hundredth of a second: the mirror has time for others, too.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function main({ log, options, writes }) {
  const mirror = await Mirror.open(log, options);
  process.stdout.write('open\n');
  const told = { acknowledged: 0, longestMs: 0, error: null, control: mirror.status().control };
  setInterval(() => process.stdout.write(`${JSON.stringify(told)}\n`), 100);
  if (!writes) return;
  keepWriting(mirror, told).catch((error) => {
    told.error = error.code;
  });
}

main(JSON.parse(process.argv[2])).catch((error) => {
  process.stdout.write(`${error.message}\n`);
  process.exitCode = 1;
});
