import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MirrorWritable, type StreamSource } from '../../lib/io/streams';
import { MIB, MIRROR_SIZE, describeDeviceKinds, failure, imagesEqual, pattern, useMirrors } from './support';

const mirrors = useMirrors();

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describeDeviceKinds('streams on', (device) => {
  test('what is piped in comes out again, on every image', async () => {
    const { mirror, paths } = await mirrors.make({ device }, 2);
    const bytes = pattern(MIRROR_SIZE, 1);
    const target = mirror.createWriteStream();
    const pieces: Buffer[] = [];
    for (let at = 0, step = 1; at < bytes.length; at += step, step = ((step * 3) % 200_000) + 1) {
      pieces.push(bytes.subarray(at, at + step));
    }
    await pipeline(Readable.from(pieces), target);
    expect(target.bytesWritten).toBe(MIRROR_SIZE);
    const source = mirror.createReadStream();
    expect((await collect(source)).equals(bytes)).toBe(true);
    expect(source.bytesRead).toBe(MIRROR_SIZE);
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
  });

  test('start and inclusive end at any byte', async () => {
    const { mirror } = await mirrors.make({ device });
    const bytes = pattern(3 * MIB, 2);
    await mirror.write(bytes, { position: 0 });
    for (const [start, end] of [
      [0, 0],
      [1, 510],
      [511, 512],
      [MIB - 1, MIB],
      [100, 2 * MIB + 77],
    ] as const) {
      const read = await collect(mirror.createReadStream({ start, end }));
      expect(read.equals(bytes.subarray(start, end + 1))).toBe(true);
    }
    expect((await collect(mirror.createReadStream({ start: MIRROR_SIZE - 3 }))).length).toBe(3);
    expect((await collect(mirror.createReadStream({ start: MIRROR_SIZE }))).length).toBe(0);
    expect((await collect(mirror.createReadStream({ start: MIRROR_SIZE - 9, end: MIRROR_SIZE + 9 }))).length).toBe(9);
  });

  test('bytes around an unaligned start and end stay as they were', async () => {
    const { mirror } = await mirrors.make({ device });
    const before = pattern(2 * MIB, 3);
    await mirror.write(before, { position: 0 });
    for (const [start, length] of [
      [5, 3],
      [700, 400],
      [MIB - 100, 200],
      [1000, MIB],
    ] as const) {
      const text = pattern(length, start);
      const stream = mirror.createWriteStream({ start });
      await pipeline(Readable.from([text.subarray(0, 1), text.subarray(1)]), stream);
      expect(stream.bytesWritten).toBe(length);
      text.copy(before, start);
      const into = Buffer.alloc(before.length);
      await mirror.read(into, { position: 0 });
      expect(into.equals(before)).toBe(true);
    }
  });
});

test('writes are coalesced: far fewer requests than chunks', async () => {
  const { mirror } = await mirrors.make();
  await pipeline(Readable.from(Array.from({ length: 4096 }, () => Buffer.alloc(1024, 1))), mirror.createWriteStream());
  const { writes, bytesWritten } = mirror.status().counters;
  expect(bytesWritten).toBe(4 * MIB);
  expect(writes).toBe(4);
});

test('a stream that would pass the end of the mirror fails with the size in the message', async () => {
  const { mirror } = await mirrors.make();
  const stream = mirror.createWriteStream({ start: MIRROR_SIZE - 100 });
  const error = await failure(pipeline(Readable.from([Buffer.alloc(60), Buffer.alloc(60)]), stream), 'OUT_OF_RANGE');
  expect(error.message).toContain(String(MIRROR_SIZE));
});

test('flush flushes before finish, as in node:fs; without it nothing is flushed', async () => {
  const { mirror } = await mirrors.make();
  await pipeline(Readable.from([Buffer.alloc(512)]), mirror.createWriteStream());
  expect(mirror.status().counters['flushes']).toBe(0);
  await pipeline(Readable.from([Buffer.alloc(512)]), mirror.createWriteStream({ flush: true }));
  expect(mirror.status().counters['flushes']).toBe(1);
});

test('a slow consumer holds the reader back', async () => {
  const { mirror } = await mirrors.make();
  const stream = mirror.createReadStream();
  await new Promise((resolve) => stream.once('readable', resolve));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { bytesRead } = mirror.status().counters;
  expect(bytesRead).toBeLessThanOrEqual(6 * MIB);
  stream.destroy();
});

test('a slow mirror holds the writer back', async () => {
  const { mirror } = await mirrors.make();
  const stream = mirror.createWriteStream();
  const accepted = Array.from({ length: 8 }, () => stream.write(Buffer.alloc(MIB)));
  expect(accepted).toContain(false);
  await new Promise((resolve) => stream.end(resolve));
  expect(stream.bytesWritten).toBe(8 * MIB);
});

test('a signal destroys a stream with an AbortError', async () => {
  const { mirror } = await mirrors.make();
  for (const make of ['createReadStream', 'createWriteStream'] as const) {
    const controller = new AbortController();
    const stream = mirror[make]({ signal: controller.signal });
    const closed = new Promise((resolve) => stream.once('close', resolve));
    const failed = new Promise<Error>((resolve) => stream.once('error', resolve));
    controller.abort();
    expect((await failed).name).toBe('AbortError');
    await closed;
  }
});

test('destroying a write stream ends it once what is in flight has ended', async () => {
  const { mirror } = await mirrors.make();
  const stream = mirror.createWriteStream();
  stream.write(Buffer.alloc(3 * MIB, 9));
  await new Promise((resolve) => setImmediate(resolve));
  stream.destroy();
  await new Promise((resolve) => stream.once('close', resolve));
  expect(mirror.status().pendingRequests).toBe(0);
});

test('closing the mirror fails the streams on it, which do not take the process down', async () => {
  const { mirror } = await mirrors.make();
  const stream = mirror.createWriteStream();
  await mirror.close();
  await failure(pipeline(Readable.from([Buffer.alloc(MIB)]), stream), 'CLOSED');
  await failure(collect(mirror.createReadStream()), 'CLOSED');
});

test('wrong options are refused as node:fs does', async () => {
  const { mirror } = await mirrors.make();
  const make =
    (options: object, read = true) =>
    () =>
      read ? mirror.createReadStream(options) : mirror.createWriteStream(options);
  expect(make({ start: 'x' })).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
  expect(make({ start: -1 })).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  expect(make({ start: 5, end: 4 })).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  expect(make({ start: 5, end: 1.5 })).toThrow(/"options\.end".*Received 1\.5/);
  expect(make({ flush: 1 }, false)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
  for (const highWaterMark of [0, -1, 1.5, NaN, 2 ** 53]) {
    expect(make({ highWaterMark })).toThrow(/"options\.highWaterMark" is out of range/);
  }
  expect(make({ encoding: 'utf9' })).toThrow(expect.objectContaining({ code: 'ERR_BLOCKMIRROR_INVALID_OPTION' }));
  expect(make({ emitClose: 'yes' })).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
  expect(make({ signal: 1 }, false)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
});

test('a start beyond the mirror is called so by the code that a write there has', async () => {
  const { mirror } = await mirrors.make();
  for (const make of ['createReadStream', 'createWriteStream'] as const) {
    expect(() => mirror[make]({ start: MIRROR_SIZE + 1 })).toThrow(
      expect.objectContaining({
        code: 'ERR_BLOCKMIRROR_OUT_OF_RANGE',
        message: expect.stringContaining(`options.start is ${MIRROR_SIZE + 1}`) as string,
      }),
    );
  }
});

test('highWaterMark is the largest chunk of a read stream, and what a write stream takes before it says stop', async () => {
  const { mirror } = await mirrors.make();
  const bytes = pattern(3 * MIB, 5);
  await mirror.write(bytes, { position: 0 });
  for (const highWaterMark of [1000, 4096, 300_000]) {
    const chunks: Buffer[] = [];
    const stream = mirror.createReadStream({ start: 7, end: 2 * MIB + 99, highWaterMark });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    await new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject));
    expect(Math.max(...chunks.map((chunk) => chunk.length))).toBeLessThanOrEqual(highWaterMark);
    expect(Buffer.concat(chunks).equals(bytes.subarray(7, 2 * MIB + 100))).toBe(true);
  }
  const stream = mirror.createWriteStream({ highWaterMark: 10 });
  expect(stream.write('123456789')).toBe(true);
  expect(stream.write('0')).toBe(false);
  await new Promise((resolve) => stream.end(resolve));
});

test('a reader with a small highWaterMark is not read ahead of by megabytes', async () => {
  const { mirror } = await mirrors.make();
  const stream = mirror.createReadStream({ highWaterMark: 4096 });
  await new Promise((resolve) => stream.once('readable', resolve));
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(mirror.status().counters['bytesRead']).toBeLessThanOrEqual(8 * 4096);
  stream.destroy();
});

test('encoding gives texts, and is what texts are written in', async () => {
  const { mirror } = await mirrors.make();
  await pipeline(Readable.from(['e282ac', '20']), mirror.createWriteStream({ start: 1, encoding: 'hex' }));
  const stream = mirror.createReadStream({ start: 1, end: 4, encoding: 'utf8', highWaterMark: 1 });
  let text = '';
  for await (const chunk of stream) text += chunk as string;
  expect(text).toBe('€ ');
  expect(stream.bytesRead).toBe(4);
});

test('emitClose: false leaves the event out', async () => {
  const { mirror } = await mirrors.make();
  for (const emitClose of [true, false]) {
    const stream = mirror.createWriteStream({ emitClose });
    let closed = false;
    stream.once('close', () => (closed = true));
    await new Promise<void>((resolve) => stream.end(() => resolve()));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(stream.destroyed).toBe(true);
    expect(closed).toBe(emitClose);
  }
});

test('a stream waits where a single request would be refused', async () => {
  const { mirror } = await mirrors.make();
  const bytes = Buffer.alloc(MIB);
  const load = Array.from({ length: 300 }, (_, index) =>
    mirror.write(bytes, { position: (index % 8) * MIB }).catch(() => undefined),
  );
  const sink = new Writable({ write: (_chunk, _encoding, callback) => callback() });
  await Promise.all([
    pipeline(Readable.from([bytes, bytes, bytes]), mirror.createWriteStream()),
    pipeline(mirror.createReadStream(), sink),
  ]);
  await Promise.all(load);
});

test('a write that fails behind the stream is told at once, though nothing more is written', async () => {
  const source: StreamSource = {
    size: 8 * MIB,
    blockSize: 512,
    allocate: (length) => Buffer.alloc(length),
    read: () => Promise.reject(new Error('nobody reads')),
    write: () => Promise.reject(new Error('the master is gone')),
    datasync: () => Promise.resolve(),
  };
  const stream = new MirrorWritable(source, {});
  const failed = new Promise<Error>((resolve) => stream.once('error', resolve));
  stream.write(Buffer.alloc(MIB));
  expect((await failed).message).toBe('the master is gone');
});
