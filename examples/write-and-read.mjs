// Writes a block to all images of a mirror, makes it durable, and reads it back.
//
//   npx blockmirror create --log demo.log --master a.img --slave b.img --size 64MiB
//   node examples/write-and-read.mjs demo.log
import { Mirror } from 'blockmirror';

const mirror = await Mirror.open(process.argv[2]);
try {
  const { blockSize } = mirror.status();

  // Position and length are multiples of the block size, as with any raw disk.
  const block = Buffer.alloc(blockSize, 'hello ');
  await mirror.write(block, { position: 8 * blockSize });
  // Here the master and every slave in sync have it: a crash of this process loses nothing any more.
  await mirror.datasync();
  // And here a power failure loses nothing either.

  const { buffer } = await mirror.read(Buffer.alloc(blockSize), { position: 8 * blockSize });
  console.log(buffer.equals(block) ? 'read back what was written' : 'read back something else');

  // A large buffer need not be copied: it is handed over, and comes back with the result.
  const large = Mirror.alignedBuffer(1024 * 1024).fill(7);
  const { bytesWritten } = await mirror.write(large, { position: 0, transfer: true });
  console.log(`${bytesWritten} bytes written without a copy; the buffer is now ${large.length} bytes long here`);
} finally {
  await mirror.close();
}
