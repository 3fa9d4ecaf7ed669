import type { Mirror } from '../../lib/index';
import { BlockmirrorError } from '../../lib/index';
import { MIB, MIRROR_SIZE, bytesOf, describeDeviceKinds, failure, imagesEqual, pattern, useMirrors } from './support';

const mirrors = useMirrors();

describeDeviceKinds('requests on', (device) => {
  test('what was written is read back, and is on every image', async () => {
    const { mirror, paths } = await mirrors.make({ device }, 2);
    const { images, logUse } = mirror.status();
    expect([logUse.device, ...images.map((image) => image.device)]).toEqual([device, device, device, device]);
    const bytes = pattern(8192, 1);
    const written = await mirror.write(bytes, { position: 4096 });
    expect(written).toEqual({ bytesWritten: 8192, buffer: bytes });
    const into = Buffer.alloc(8192);
    const read = await mirror.read(into, { position: 4096 });
    expect(read.bytesRead).toBe(8192);
    expect(read.buffer).toBe(into);
    expect(into).toEqual(bytes);
    await mirror.close();
    for (const image of [paths.master, ...paths.slaves]) expect(bytesOf(image, 4096, 8192)).toEqual(bytes);
  });

  test('the positional overloads of FileHandle do the same', async () => {
    const { mirror } = await mirrors.make({ device });
    const bytes = pattern(4096, 2);
    expect((await mirror.write(bytes, 512, 1024, 512)).bytesWritten).toBe(1024);
    expect((await mirror.write(bytes, null, null, 8192n)).bytesWritten).toBe(4096);
    const into = Buffer.alloc(2048);
    expect((await mirror.read(into, 1024, 1024, 512)).bytesRead).toBe(1024);
    expect(into.subarray(1024)).toEqual(bytes.subarray(512, 1536));
    expect((await mirror.read({ buffer: into, position: 8192 })).buffer).toEqual(bytes.subarray(0, 2048));
  });

  test('every kind of view can be written and read', async () => {
    const { mirror } = await mirrors.make({ device });
    const numbers = new Float64Array(64).map((_, index) => index / 3);
    await mirror.write(numbers, { position: 0 });
    const view = new DataView(new ArrayBuffer(512));
    await mirror.read(view, { position: 0 });
    expect(view.getFloat64(8, true)).toBe(numbers[1]);
    const { buffer } = await mirror.read(new Uint16Array(256), { position: 0 });
    expect(buffer).toBeInstanceOf(Uint16Array);
  });

  test('vectored requests write and read their buffers one after the other', async () => {
    const { mirror } = await mirrors.make({ device });
    const parts = [pattern(100, 3), Buffer.alloc(0), pattern(412, 4), pattern(1024, 5)];
    expect((await mirror.writev(parts, 1024)).bytesWritten).toBe(1536);
    const targets = [Buffer.alloc(512), Buffer.alloc(1024)];
    const { bytesRead, buffers } = await mirror.readv(targets, 1024);
    expect(bytesRead).toBe(1536);
    expect(buffers).toBe(targets);
    expect(Buffer.concat(targets)).toEqual(Buffer.concat(parts));
  });

  test('more buffers than one system call takes are written and read all the same', async () => {
    const { mirror } = await mirrors.make({ device });
    const whole = pattern(4096, 6);
    const parts = Array.from({ length: 2048 }, (_, index) => whole.subarray(2 * index, 2 * index + 2));
    await mirror.writev(parts, 0);
    const targets = Array.from({ length: 4096 }, () => Buffer.alloc(1));
    await mirror.readv(targets, 0);
    expect(Buffer.concat(targets)).toEqual(whole);
  });

  test('discarded ranges read as zeroes on every image', async () => {
    const { mirror, paths } = await mirrors.make({ device });
    await mirror.write(pattern(3 * MIB, 7), { position: 0 });
    await mirror.discard(512, 2 * MIB);
    const into = Buffer.alloc(2 * MIB);
    await mirror.read(into, { position: 512 });
    expect(into.equals(Buffer.alloc(2 * MIB))).toBe(true);
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
    expect(bytesOf(paths.master, 0, 512)).toEqual(pattern(3 * MIB, 7).subarray(0, 512));
  });

  test('a durable write and datasync resolve, and are counted', async () => {
    const { mirror } = await mirrors.make({ device });
    await mirror.write(pattern(512, 8), { position: 0, dsync: true });
    await mirror.datasync();
    expect(mirror.status().counters).toMatchObject({ writes: 1, flushes: 1, bytesWritten: 512 });
  });

  test('64 overlapping writers leave the images equal', async () => {
    const { mirror, paths } = await mirrors.make({ device }, 3);
    let left = 2000;
    let seed = 1;
    const writer = async (): Promise<void> => {
      while (left-- > 0) {
        const mine = seed++;
        const length = 512 * (1 + (mine % 40));
        const position = 512 * ((mine * 7919) % 64);
        await mirror.write(pattern(length, mine), { position });
      }
    };
    await Promise.all(Array.from({ length: 64 }, writer));
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
  });

  test('a buffer that is changed while its write runs reaches every image with the bytes it had', async () => {
    const { mirror, paths } = await mirrors.make({ device }, 2);
    const bytes = Buffer.alloc(MIB, 1);
    const writes = Array.from({ length: 7 }, (_, index) => mirror.write(bytes, { position: index * MIB }));
    bytes.fill(2);
    await Promise.all(writes);
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
    expect(bytesOf(paths.master, 0, 7 * MIB).every((byte) => byte === 1)).toBe(true);
  });

  test('close waits for requests in flight, and does so once for all who ask', async () => {
    const { mirror, paths } = await mirrors.make({ device });
    const bytes = pattern(MIB, 9);
    const writes = Array.from({ length: 8 }, (_, index) => mirror.write(bytes, { position: index * MIB }));
    const closing = mirror.close();
    expect(mirror.close()).toBe(closing);
    await closing;
    await expect(Promise.all(writes)).resolves.toHaveLength(8);
    await mirror[Symbol.asyncDispose]();
    expect(bytesOf(paths.slaves[0] as string, 7 * MIB, MIB).equals(bytes)).toBe(true);
  });

  test('a request larger than the engine takes at once is cut, and arrives whole', async () => {
    const size = 80 * MIB;
    const paths = await mirrors.create({ size });
    const mirror = await mirrors.open(paths, { device });
    const bytes = Buffer.allocUnsafeSlow(size);
    for (let index = 0; index < 80; index++) bytes.fill(index + 1, index * MIB, (index + 1) * MIB);
    const { bytesWritten } = await mirror.write(bytes, { position: 0 });
    expect(bytesWritten).toBe(size);
    const into = Buffer.alloc(size);
    expect((await mirror.read(into, { position: 0 })).bytesRead).toBe(size);
    expect(into.equals(bytes)).toBe(true);
    const halves = [bytes.subarray(MIB), bytes.subarray(0, MIB)];
    await mirror.writev(halves, 0);
    await mirror.readv([into.subarray(0, 100), into.subarray(100)], 0);
    expect(into.equals(Buffer.concat(halves))).toBe(true);
  });

  test('a request larger than the engine takes at once waits where there is no room for its pieces', async () => {
    const size = 80 * MIB;
    const paths = await mirrors.create({ size });
    const mirror = await mirrors.open(paths, { device });
    const others = Array.from({ length: 256 }, () => mirror.read(Buffer.alloc(MIB), { position: 0 }));
    await failure(mirror.write(Buffer.alloc(MIB), { position: 0 }), 'QUEUE_FULL');
    const writing = mirror.write(Buffer.alloc(size, 3), { position: 0 });
    await expect(writing).resolves.toMatchObject({ bytesWritten: size });
    await Promise.all(others);
    expect((await mirror.read(Buffer.alloc(size), { position: 0 })).buffer.every((byte) => byte === 3)).toBe(true);
  });
});

describe('wrong requests are refused before anything is logged', () => {
  async function untouched(work: (mirror: Mirror) => Promise<void>): Promise<void> {
    const { mirror } = await mirrors.make();
    await mirror.history(); // once it is asked for, what the opening has to tell is written
    const before = mirror.status();
    await work(mirror);
    const after = mirror.status();
    expect(after.counters).toEqual(before.counters);
    expect(after.logUse).toEqual(before.logUse);
  }

  test("write(Buffer.from('hello')) says which lengths are taken and what to do instead", async () => {
    await untouched(async (mirror) => {
      const error = await failure(mirror.write(Buffer.from('hello')), 'MISALIGNED');
      expect(error).toBeInstanceOf(BlockmirrorError);
      expect(error.message).toMatch(/length is 5, and must be a multiple of 512 bytes/);
      expect(error.message).toMatch(/createWriteStream\(\)/);
    });
  });

  test('a misaligned position, length or discard is refused', async () => {
    await untouched(async (mirror) => {
      expect((await failure(mirror.write(Buffer.alloc(512), { position: 100 }), 'MISALIGNED')).message).toMatch(
        /position is 100/,
      );
      await failure(mirror.read(Buffer.alloc(512), { position: 0, length: 100 }), 'MISALIGNED');
      await failure(mirror.read(Buffer.alloc(512), { position: 1 }), 'MISALIGNED');
      await failure(mirror.writev([Buffer.alloc(512), Buffer.alloc(1)], 0), 'MISALIGNED');
      await failure(mirror.readv([Buffer.alloc(513)], 0), 'MISALIGNED');
      await failure(mirror.discard(0, 100), 'MISALIGNED');
      await failure(mirror.discard(100, 512), 'MISALIGNED');
    });
  });

  test('a misaligned offset in the buffer is taken', async () => {
    const { mirror } = await mirrors.make();
    await expect(mirror.write(Buffer.alloc(1024), { position: 0, offset: 3, length: 512 })).resolves.toMatchObject({
      bytesWritten: 512,
    });
  });

  test('past the end is refused with the size in the message', async () => {
    await untouched(async (mirror) => {
      const error = await failure(mirror.write(Buffer.alloc(1024), { position: MIRROR_SIZE - 512 }), 'OUT_OF_RANGE');
      expect(error.position).toBe(MIRROR_SIZE - 512);
      expect(error.message).toContain(String(MIRROR_SIZE));
      await failure(mirror.read(Buffer.alloc(512), { position: MIRROR_SIZE }), 'OUT_OF_RANGE');
      await failure(mirror.writev([Buffer.alloc(1024)], MIRROR_SIZE - 512), 'OUT_OF_RANGE');
      await failure(mirror.discard(MIRROR_SIZE - 512, 1024), 'OUT_OF_RANGE');
    });
  });

  test('the last block can be read', async () => {
    const { mirror } = await mirrors.make();
    await expect(mirror.read(Buffer.alloc(512), { position: MIRROR_SIZE - 512 })).resolves.toMatchObject({
      bytesRead: 512,
    });
  });

  test("wrong types are Node's own errors", async () => {
    await untouched(async (mirror) => {
      const wrong = { code: 'ERR_INVALID_ARG_TYPE', name: 'TypeError' };
      const out = { code: 'ERR_OUT_OF_RANGE', name: 'RangeError' };
      const bytes = Buffer.alloc(512);
      const anything = mirror as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
      await expect(anything['write']?.('hello', { position: 0 })).rejects.toMatchObject(wrong);
      await expect(anything['write']?.([1, 2], { position: 0 })).rejects.toMatchObject(wrong);
      await expect(anything['write']?.(bytes)).rejects.toMatchObject(wrong);
      await expect(anything['write']?.(bytes, { position: '0' })).rejects.toMatchObject(wrong);
      await expect(anything['write']?.(bytes, { position: 0, dsync: 1 })).rejects.toMatchObject(wrong);
      await expect(anything['write']?.(bytes, { position: 0, transfer: 'yes' })).rejects.toMatchObject(wrong);
      await expect(anything['write']?.(bytes, { position: 0, signal: {} })).rejects.toMatchObject(wrong);
      await expect(anything['read']?.(null, { position: 0 })).rejects.toMatchObject(wrong);
      await expect(anything['writev']?.(bytes, 0)).rejects.toMatchObject(wrong);
      await expect(anything['readv']?.(['x'], 0)).rejects.toMatchObject(wrong);
      await expect(anything['discard']?.(0)).rejects.toMatchObject(wrong);
      await expect(anything['write']?.(bytes, { position: -512 })).rejects.toMatchObject(out);
      await expect(anything['write']?.(bytes, { position: NaN })).rejects.toMatchObject(out);
      await expect(anything['write']?.(bytes, { position: 0, offset: 513 })).rejects.toMatchObject(out);
      await expect(anything['read']?.(bytes, { position: 0, length: 1024 })).rejects.toMatchObject(out);
      await expect(anything['read']?.(bytes, { position: 0, offset: -1 })).rejects.toMatchObject(out);
      const shared = new Uint8Array(new SharedArrayBuffer(512));
      await expect(anything['write']?.(shared, { position: 0 })).rejects.toMatchObject(wrong);
    });
  });

  test('offset and length together may not pass the end of the buffer, though each alone does not', async () => {
    await untouched(async (mirror) => {
      const out = { code: 'ERR_OUT_OF_RANGE', name: 'RangeError' };
      const slice = { position: 0, offset: 513, length: 512 };
      await expect(mirror.write(Buffer.alloc(1024), slice)).rejects.toMatchObject(out);
      await expect(mirror.write(Buffer.alloc(1024), { ...slice, unaligned: true })).rejects.toMatchObject(out);
      await expect(mirror.read(Buffer.alloc(1024), slice)).rejects.toMatchObject(out);
    });
  });

  test('an empty request does nothing', async () => {
    await untouched(async (mirror) => {
      expect((await mirror.write(Buffer.alloc(0), { position: 0 })).bytesWritten).toBe(0);
      expect((await mirror.read(Buffer.alloc(8), 0, 0, 0)).bytesRead).toBe(0);
      expect((await mirror.writev([], 0)).bytesWritten).toBe(0);
      expect((await mirror.readv([Buffer.alloc(0)], 512)).bytesRead).toBe(0);
      await mirror.discard(0, 0);
    });
  });

  test('a closed mirror refuses everything but status and close', async () => {
    const { mirror } = await mirrors.make();
    await mirror.close();
    const bytes = Buffer.alloc(512);
    await failure(mirror.write(bytes, { position: 0 }), 'CLOSED');
    await failure(mirror.read(bytes, { position: 0 }), 'CLOSED');
    await failure(mirror.writev([bytes], 0), 'CLOSED');
    await failure(mirror.readv([bytes], 0), 'CLOSED');
    await failure(mirror.datasync(), 'CLOSED');
    await failure(mirror.discard(0, 512), 'CLOSED');
    await failure(mirror.verify(), 'CLOSED');
    await failure(mirror.recover(), 'CLOSED');
    expect(mirror.status().phase).toBe('closed');
    await mirror.close();
  });

  test('a read whose buffer is detached meanwhile fails, and the mirror goes on', async () => {
    const { mirror } = await mirrors.make();
    const target = new Uint8Array(4096);
    const reading = mirror.read(target, { position: 0 });
    structuredClone(target.buffer, { transfer: [target.buffer] });
    await failure(reading, 'BUFFER_DETACHED');
    await failure(mirror.read(target, { position: 0 }), 'BUFFER_DETACHED');
    await expect(mirror.read(Buffer.alloc(512), { position: 0 })).resolves.toMatchObject({ bytesRead: 512 });
    expect(mirror.status().pendingRequests).toBe(0);
  });

  test.each([
    ['a typed array', () => new Float64Array(512)],
    ['a DataView', () => new DataView(new ArrayBuffer(4096))],
  ])('%s whose memory is gone is refused by name in every call', async (_, make) => {
    const { mirror } = await mirrors.make();
    const view = make();
    structuredClone(view.buffer, { transfer: [view.buffer] });
    await failure(mirror.write(view, { position: 0 }), 'BUFFER_DETACHED');
    await failure(mirror.read(view, { position: 0 }), 'BUFFER_DETACHED');
    await failure(mirror.writev([view], 0), 'BUFFER_DETACHED');
    await failure(mirror.readv([view], 0), 'BUFFER_DETACHED');
  });

  test('beyond the limit of pending requests each is refused, what was taken is done, and then there is room again', async () => {
    const { mirror } = await mirrors.make();
    const bytes = Buffer.alloc(512, 5);
    const all = Array.from({ length: 100_000 }, (_, index) =>
      mirror.write(bytes, { position: (index % 1024) * 512 }).then(
        () => 'written',
        (error: BlockmirrorError) => error.code,
      ),
    );
    const outcomes = new Map<string, number>();
    for (const outcome of await Promise.all(all)) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    expect([...outcomes.keys()].sort()).toEqual(['ERR_BLOCKMIRROR_QUEUE_FULL', 'written']);
    expect(mirror.status().counters['writes']).toBe(outcomes.get('written'));
    await expect(mirror.write(bytes, { position: 0 })).resolves.toMatchObject({ bytesWritten: 512 });
  });
});
