/** close() waits for all that was accepted before it, however many requests of the engine that takes. */
import { MIB, bytesOf, failure, pattern, useMirrors } from './support';
import { type Mirror, inspect } from '../../lib/index';

const mirrors = useMirrors();
const SIZE = 96 * MIB;

async function make(): Promise<{ mirror: Mirror; master: string; slave: string }> {
  const paths = await mirrors.create({ size: SIZE });
  return { mirror: await mirrors.open(paths), master: paths.master, slave: paths.slaves[0] as string };
}

test('a discard of many regions', async () => {
  const { mirror, master, slave } = await make();
  await mirror.write(Buffer.alloc(40 * MIB, 7), { position: 0 });
  const discard = mirror.discard(4096, 40 * MIB - 8192);
  const closed = mirror.close();
  await expect(discard).resolves.toBeUndefined();
  await closed;
  for (const image of [master, slave]) {
    const bytes = bytesOf(image, 0, 40 * MIB);
    expect(bytes.subarray(4096, 40 * MIB - 4096).every((byte) => byte === 0)).toBe(true);
    expect(bytes[4095]).toBe(7);
    expect(bytes[40 * MIB - 4096]).toBe(7);
  }
  expect((await inspect(mirrors.paths().log)).clean).toBe(true);
});

test('writes and reads above the largest request, vectored ones too, and a datasync behind them', async () => {
  const { mirror, master } = await make();
  const first = pattern(66 * MIB, 1);
  const second = pattern(66 * MIB, 2);
  await mirror.write(first, { position: 0 });
  const into = Buffer.alloc(66 * MIB);
  const parts = [Buffer.alloc(33 * MIB), Buffer.alloc(33 * MIB)];
  const work = Promise.all([
    mirror.read(into, { position: 0 }),
    mirror.readv(parts, 0),
    mirror.writev([second.subarray(0, MIB), second.subarray(MIB)], 24 * MIB),
    mirror.datasync(),
  ]);
  const closed = mirror.close();
  await work;
  await closed;
  expect(bytesOf(master, 24 * MIB, 66 * MIB).equals(second)).toBe(true);
  expect(into.subarray(0, 24 * MIB).equals(first.subarray(0, 24 * MIB))).toBe(true);
});

test('reads of one piece, more than run at once', async () => {
  const { mirror } = await make();
  await mirror.write(Buffer.alloc(8 * MIB, 5), { position: 0 });
  const reads = Array.from({ length: 200 }, (_, index) =>
    mirror.read(Buffer.alloc(MIB), { position: (index % 8) * MIB }),
  );
  const closed = mirror.close();
  for (const { buffer } of await Promise.all(reads)) expect(buffer[MIB - 1]).toBe(5);
  await closed;
});

test('what a stream has given to the mirror; what it still holds is refused by name', async () => {
  const { mirror } = await make();
  const stream = mirror.createWriteStream();
  stream.write(pattern(3 * MIB, 3));
  await new Promise((resolve) => setImmediate(resolve));
  const failed = failure(new Promise((_, reject) => stream.once('error', reject)), 'CLOSED');
  const closed = mirror.close();
  stream.end(pattern(MIB + 5, 4));
  await failed;
  await closed;
});

test('a verification stops between two pieces', async () => {
  const { mirror } = await make();
  const verification = mirror.verify();
  const closed = mirror.close();
  await failure(verification, 'CLOSED');
  await closed;
});
