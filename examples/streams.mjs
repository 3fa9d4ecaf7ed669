// Copies a file into a mirror and back out of it, by streams: any position, any length.
//
//   node examples/streams.mjs demo.log README.md
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createHash } from 'node:crypto';
import { Mirror } from 'blockmirror';

const [log, file] = process.argv.slice(2);
const start = 12_345; // not aligned to anything: the stream takes care of it
const { size } = await stat(file);

async function digest(stream) {
  const hash = createHash('sha256');
  await pipeline(stream, hash);
  return hash.digest('hex');
}

// Ctrl-C and TERM stop the streams; `finally` closes the mirror.
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));

const mirror = await Mirror.open(log, { signal: stop.signal });
try {
  // flush: 'finish' then means durable on all images, not only acknowledged.
  await pipeline(createReadStream(file), mirror.createWriteStream({ start, flush: true }), { signal: stop.signal });
  const inside = await digest(mirror.createReadStream({ start, end: start + size - 1 }));
  const outside = await digest(createReadStream(file));
  console.log(`${size} bytes in and out: ${inside === outside ? 'equal' : 'DIFFERENT'}`);
} finally {
  await mirror.close();
}
