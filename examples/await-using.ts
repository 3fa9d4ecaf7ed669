// The same as write-and-read.mjs in TypeScript, where `await using` closes the mirror by itself.
// (Plain JavaScript has it from Node.js 24; before that use try and finally.)
import { Mirror, type Status } from 'blockmirror';

async function main(log: string): Promise<Status> {
  await using mirror = await Mirror.open(log);
  const { blockSize } = mirror.status();
  await mirror.write(Buffer.alloc(blockSize, 'typed'), { position: 0, dsync: true });
  return mirror.status();
}

main(process.argv[2] ?? '').then(
  (status) => console.log(`${status.images.length} images, ${status.counters['writes'] ?? 0} write`),
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
