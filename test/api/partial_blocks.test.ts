/** Writers that share blocks, by streams and by `unaligned` writes: every acknowledged byte is there, on every image. */
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type { Mirror } from '../../lib/index';
import { MIB, MIRROR_SIZE, bytesOf, describeDeviceKinds, failure, imagesEqual, pattern, useMirrors } from './support';

const mirrors = useMirrors();

async function contentOf(mirror: Mirror): Promise<Buffer> {
  return (await mirror.read(Buffer.alloc(MIRROR_SIZE), { position: 0 })).buffer;
}

/** Small, seeded, the same everywhere: xorshift32. */
function generator(seed: number): (bound: number) => number {
  let state = seed * 2654435761 || 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

describeDeviceKinds('writers that share blocks on', (device) => {
  test('two and three write streams through one block lose nothing, in 60 runs', async () => {
    const { mirror, paths } = await mirrors.make({ device }, 2);
    const expected = Buffer.alloc(MIRROR_SIZE);
    for (let run = 0; run < 60; run++) {
      const streams = 2 + (run % 2);
      const length = 1 + ((run * 997) % 5000);
      const start = run * 4096 + (run % 511);
      const parts = Array.from({ length: streams }, (_, index) => pattern(length, run * 10 + index));
      const work = parts.map((part, index) => {
        part.copy(expected, start + index * length);
        return pipeline(Readable.from([part]), mirror.createWriteStream({ start: start + index * length }));
      });
      await Promise.all(work);
    }
    expect((await contentOf(mirror)).equals(expected)).toBe(true);
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
    expect(bytesOf(paths.master, 0, MIRROR_SIZE).equals(expected)).toBe(true);
  });

  test('a hundred unaligned writes of one block at once are all there', async () => {
    const { mirror, paths } = await mirrors.make({ device }, 2);
    for (let run = 0; run < 10; run++) {
      const parts = Array.from({ length: 100 }, (_, index) => pattern(40, run * 1000 + index));
      await Promise.all(
        parts
          .map((part, index) =>
            mirror.write(part, { position: 5 + index * 40, unaligned: true, transfer: index % 3 === 0 }),
          )
          .map((work, index) => (index % 3 === 0 ? work.catch(() => undefined) : work)),
      );
      const whole = Array.from({ length: 100 }, (_, index) => pattern(40, run * 1000 + index));
      await Promise.all(whole.map((part, index) => mirror.write(part, { position: 5 + index * 40, unaligned: true })));
      expect((await contentOf(mirror)).subarray(5, 4005).equals(Buffer.concat(whole))).toBe(true);
    }
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
  });

  test.each([1, 2, 3])(
    'random writes, reads and discards of several writers do what a buffer does: seed %i',
    async (seed) => {
      const { mirror, paths } = await mirrors.make({ device }, 2);
      const draw = generator(seed);
      const model = Buffer.alloc(MIRROR_SIZE);
      const writers = 5;
      // Each has bytes of its own in a stretch that all share: byte by byte in turn, in runs, so that blocks are common.
      const share = 1000 + draw(3000);
      const own = (writer: number): { position: number; length: number } => {
        const turn = draw(80);
        const from = (turn * writers + writer) * share + draw(share);
        const end = (turn * writers + writer + 1) * share;
        return { position: from, length: 1 + draw(end - from) };
      };
      const writer = async (number: number): Promise<void> => {
        for (let step = 0; step < 60; step++) {
          const { position, length } = own(number);
          const bytes = Buffer.allocUnsafeSlow(length + 8).fill(pattern(61, seed * 100 + number * 7 + step));
          if (draw(4) === 0) {
            const first = Math.floor(position / 512) * 512;
            const into = Buffer.alloc(Math.ceil((position + length - first) / 512) * 512);
            await mirror.read(into, { position: first });
            const at = position - first;
            expect(into.subarray(at, at + length).equals(model.subarray(position, position + length))).toBe(true);
            continue;
          }
          bytes.copy(model, position, 3, 3 + length);
          const { buffer, bytesWritten } = await mirror.write(bytes, {
            ...{ position, length, offset: 3, unaligned: true },
            ...{ transfer: draw(2) === 0, dsync: draw(8) === 0 },
          });
          expect(bytesWritten).toBe(length);
          expect(buffer.length).toBe(length + 8);
        }
      };
      // Discards keep to the last MiB, with a writer of whole blocks beside them.
      const discarder = async (): Promise<void> => {
        for (let step = 0; step < 30; step++) {
          const position = MIRROR_SIZE - MIB + 4096 * draw(200);
          const length = 4096 * (1 + draw(8));
          await mirror.discard(position, length);
          model.fill(0, position, position + length);
          const text = pattern(1 + draw(9000), step);
          await mirror.write(text, { position: position + 100, unaligned: true });
          text.copy(model, position + 100);
        }
      };
      await Promise.all([...Array.from({ length: writers }, (_, number) => writer(number)), discarder()]);
      expect((await contentOf(mirror)).equals(model)).toBe(true);
      await mirror.close();
      expect(imagesEqual(paths)).toBe(true);
      expect(bytesOf(paths.master, 0, MIRROR_SIZE).equals(model)).toBe(true);
    },
  );
});

test('a write above the largest request is cut so that its slices share no block', async () => {
  const size = 96 * MIB;
  const paths = await mirrors.create({ size });
  const mirror = await mirrors.open(paths);
  const bytes = Buffer.allocUnsafeSlow(65 * MIB + 1234).fill(pattern(61, 1));
  const { bytesWritten } = await mirror.write(bytes, { position: 4321, unaligned: true });
  expect(bytesWritten).toBe(bytes.length);
  const given = await mirror.write(bytes, { position: 20 * MIB + 1, unaligned: true, transfer: true });
  expect(given.buffer.length).toBe(65 * MIB + 1234);
  await mirror.close();
  expect(bytesOf(paths.master, 4321, 20 * MIB - 4320).equals(given.buffer.subarray(0, 20 * MIB - 4320))).toBe(true);
  expect(bytesOf(paths.master, 20 * MIB + 1, given.buffer.length).equals(given.buffer)).toBe(true);
  expect(imagesEqual(paths, size)).toBe(true);
});

test('without unaligned the error names it; where there is no such option, what to do instead', async () => {
  const { mirror } = await mirrors.make();
  const five = Buffer.from('hello');
  expect((await failure(mirror.write(five, { position: 0 }), 'MISALIGNED')).remedy).toContain('unaligned: true');
  expect((await failure(mirror.writev([five], 0), 'MISALIGNED')).remedy).toContain('write() with unaligned: true');
  for (const [work, words] of [
    [mirror.writev([five], 0, { unaligned: true } as never), 'write() with unaligned: true'],
    [mirror.read(five, { position: 0, unaligned: true } as never), 'createReadStream()'],
    [mirror.readv([five], 0, { unaligned: true } as never), 'createReadStream()'],
  ] as const) {
    expect((await failure(work, 'INVALID_OPTION')).remedy).toContain(words);
  }
});

test('unaligned writes keep to the mirror, to the byte', async () => {
  const { mirror } = await mirrors.make();
  const write = (position: number, length = 5): Promise<unknown> =>
    mirror.write(Buffer.alloc(length, 1), { position, unaligned: true });
  await write(MIRROR_SIZE - 5);
  await failure(write(MIRROR_SIZE - 4), 'OUT_OF_RANGE');
  await expect(write(-1)).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
  await expect(write(0.5)).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
  expect((await mirror.write(Buffer.alloc(0), { position: 3, unaligned: true })).bytesWritten).toBe(0);
  expect((await contentOf(mirror)).subarray(-6)).toEqual(Buffer.from([0, 1, 1, 1, 1, 1]));
});

test('a signal that is aborted before an unaligned write is begun leaves the block as it was', async () => {
  const { mirror } = await mirrors.make();
  const controller = new AbortController();
  const work = mirror.write(Buffer.from('hello'), { position: 3, unaligned: true, signal: controller.signal });
  controller.abort();
  const outcome = await work.then(
    () => 'written',
    (error: Error) => error.name,
  );
  const bytes = (await contentOf(mirror)).subarray(3, 8).toString();
  expect(outcome === 'written' ? bytes === 'hello' : outcome === 'AbortError' && bytes === '\0\0\0\0\0').toBe(true);
});
