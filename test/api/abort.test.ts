import { getEventListeners } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Progress, Mirror } from '../../lib/index';
import { MIB, MIRROR_SIZE, describeDeviceKinds, useMirrors } from './support';

const mirrors = useMirrors();

describeDeviceKinds('abort signals on', (device) => {
  test('a signal that is aborted already rejects with its reason, and nothing is logged', async () => {
    const { mirror } = await mirrors.make({ device });
    const reason = new Error('not today');
    const signal = AbortSignal.abort(reason);
    const bytes = Buffer.alloc(512);
    await expect(mirror.write(bytes, { position: 0, signal })).rejects.toBe(reason);
    await expect(mirror.read(bytes, { position: 0, signal })).rejects.toBe(reason);
    await expect(mirror.writev([bytes], 0, { signal })).rejects.toBe(reason);
    await expect(mirror.readv([bytes], 0, { signal })).rejects.toBe(reason);
    await expect(mirror.discard(0, 512, { signal })).rejects.toBe(reason);
    expect(mirror.status().counters).toMatchObject({ writes: 0, reads: 0, discards: 0, logRecords: 0 });
  });

  test('requests that share a signal share one listener, which goes with the last of them', async () => {
    const { mirror } = await mirrors.make({ device });
    const { signal } = new AbortController();
    const bytes = Buffer.alloc(512);
    const writes = Array.from({ length: 100 }, (_, index) => mirror.write(bytes, { position: index * 512, signal }));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await Promise.all(writes);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  test('each aborted write either was done in full or rejects with the reason and changed nothing', async () => {
    const { mirror } = await mirrors.make({ device });
    const controller = new AbortController();
    const { signal } = controller;
    // Those that come after wait for these, which overlap them all, and so can still be taken back.
    // Handed over, so that submitting them takes no time in which they could end.
    const zeroes = Array.from({ length: 16 }, () => Mirror.alignedBuffer(MIRROR_SIZE));
    const bytes = Array.from({ length: 400 }, (_, index) => Buffer.alloc(8192, 1 + (index % 255)));
    const before = zeroes.map((buffer) => mirror.write(buffer, { position: 0, transfer: true }));
    const outcomes = bytes.map((buffer, index) =>
      mirror.write(buffer, { position: index * 8192, signal }).then(
        () => true,
        (error: unknown) => {
          expect(error).toBe(signal.reason);
          return false;
        },
      ),
    );
    controller.abort(new Error('enough'));
    const done = await Promise.all(outcomes);
    await Promise.all(before);
    expect(done).toContain(false);
    for (const [index, written] of done.entries()) {
      const into = Buffer.alloc(8192);
      await mirror.read(into, { position: index * 8192 });
      expect(into[0]).toBe(written ? 1 + (index % 255) : 0);
      expect(into.every((byte) => byte === into[0])).toBe(true);
    }
  });

  test('an abort after the end changes nothing', async () => {
    const { mirror } = await mirrors.make({ device });
    const controller = new AbortController();
    await mirror.write(Buffer.alloc(512), { position: 0, signal: controller.signal });
    controller.abort();
    await expect(mirror.read(Buffer.alloc(512), { position: 0 })).resolves.toMatchObject({ bytesRead: 512 });
  });
});

test('a request that is cut into pieces stops between two of them', async () => {
  const paths = await mirrors.create({ size: 80 * MIB });
  const mirror = await mirrors.open(paths);
  const controller = new AbortController();
  const writing = mirror.write(Buffer.alloc(80 * MIB, 1), { position: 0, signal: controller.signal });
  controller.abort(new Error('too long'));
  await expect(writing).rejects.toThrow('too long');
  expect(mirror.status().pendingRequests).toBe(0);
});

test('verify stops between two pieces, and the mirror goes on', async () => {
  const { mirror } = await mirrors.make();
  const controller = new AbortController();
  const onProgress = (): void => controller.abort(new Error('seen enough'));
  await expect(mirror.verify({ onProgress, signal: controller.signal })).rejects.toThrow('seen enough');
  await mirror.write(Buffer.alloc(512), { position: 0 });
});

test('open and create do not begin when the signal is aborted already', async () => {
  const signal = AbortSignal.abort(new Error('never'));
  const paths = await mirrors.create();
  await expect(mirrors.open(paths, { signal })).rejects.toThrow('never');
  await mirrors.open(paths);
  const other = { log: join(mirrors.folder(), 'other.log'), master: join(mirrors.folder(), 'other.img') };
  const slaves = [join(mirrors.folder(), 'other_slave.img')];
  await expect(mirrors.create({ ...other, slaves, signal })).rejects.toThrow('never');
  expect([other.log, other.master, ...slaves].filter((path) => existsSync(path))).toEqual([]);
});

test.each([1, 2, 3])('open stops at a signal that comes %d turns after its start, and holds nothing', async (turns) => {
  const paths = await mirrors.create();
  const controller = new AbortController();
  const opening = mirrors.open(paths, { signal: controller.signal });
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
  controller.abort(new Error('never mind'));
  await expect(opening).rejects.toThrow('never mind');
  await mirrors.open(paths);
});

test.each(['prepare', 'format', 'copy'])(
  'create stops at a signal that comes in its step %s, holds nothing, and can be run again',
  async (step) => {
    const controller = new AbortController();
    const seen: string[] = [];
    const onProgress = (progress: Progress): void => {
      seen.push(progress.step);
      if (progress.step === step) controller.abort(new Error('enough'));
    };
    const creating = mirrors.create({ readBack: true, onProgress, signal: controller.signal });
    await expect(creating).rejects.toThrow('enough');
    expect(seen).not.toContain('retire');
    await mirrors.open(await mirrors.create());
  },
);

test('half a signal is refused before anything is submitted', async () => {
  const { mirror } = await mirrors.make();
  const signal = { aborted: false } as AbortSignal;
  const refusal = { code: 'ERR_INVALID_ARG_TYPE' };
  await expect(mirror.write(Buffer.alloc(512, 7), { position: 0, signal })).rejects.toMatchObject(refusal);
  await expect(mirror.discard(0, 512, { signal })).rejects.toMatchObject(refusal);
  await expect(mirror.verify({ signal })).rejects.toMatchObject(refusal);
  const { buffer } = await mirror.read(Buffer.alloc(512, 1), { position: 0 });
  expect(buffer).toEqual(Buffer.alloc(512));
  expect(mirror.status().pendingRequests).toBe(0);
});
