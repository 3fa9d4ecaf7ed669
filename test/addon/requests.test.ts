// Requests through the raw binding, over files, on both device kinds: bytes in, the same bytes out and on every image.
import { randomFillSync } from 'node:crypto';
import type { NativeMemory } from '../../lib/base/binding';
import { readFileSync } from 'node:fs';
import { describeDeviceKinds } from '../support/device_kinds';
import { KIB, MIB, useTemporaryFolder } from '../support/temporary_folder';
import {
  type Outcome,
  activation,
  binding,
  expectNoEngineLeft,
  openFiles,
  RawEngine,
  runningMirror,
} from './raw_engine';

const random = (length: number): Buffer => randomFillSync(Buffer.alloc(length));

expectNoEngineLeft();

describeDeviceKinds('requests by', (device) => {
  const folder = useTemporaryFolder();

  test('the engine is of the kind that was asked for', async () => {
    const engine = new RawEngine(device);
    expect(engine.native.deviceKind).toBe(device);
    await engine.close();
  });

  test('what was written is read, and after a clean close every image holds it', async () => {
    const { engine, files, superblock } = await runningMirror(device, folder(), 8 * MIB, 2);
    const expected = Buffer.alloc(superblock.size);
    // Lengths and positions around the ends of regions and of blocks of the pool.
    for (const [position, length] of [
      [0, 512],
      [512, 4096],
      [MIB - 512, 1024],
      [MIB, MIB],
      [2 * MIB - 4096, 3 * MIB + 8192],
      [superblock.size - 512, 512],
    ] as const) {
      const bytes = random(length);
      expect(await engine.write(bytes, position, length === 4096)).toMatchObject({ name: 'OK' });
      bytes.copy(expected, position);
      expect((await engine.readBytes(length, position)).equals(bytes)).toBe(true);
    }
    expect((await engine.readBytes(superblock.size, 0)).equals(expected)).toBe(true);
    await engine.close();
    for (const image of files.images) {
      expect(readFileSync(image).subarray(0, superblock.size).equals(expected)).toBe(true);
    }
  });

  test('a poll tells for how long it offered the processor, and offers it only when it will ask again', async () => {
    const engine = new RawEngine(device);
    expect(engine.native.poll(true)).toBeGreaterThan(0);
    expect(engine.native.poll(false)).toBe(0);
    await engine.close();
  });

  test('a closed mirror opens again at once, clean, with its content', async () => {
    const { engine, files } = await runningMirror(device, folder());
    const bytes = random(64 * KIB);
    await engine.write(bytes, 3 * MIB);
    await engine.command('close', {});
    const again = new RawEngine(device);
    await again.command('openLog', { path: files.log, readOnly: false, exclusive: true });
    const superblock = await again.command('loadSuperblock', {});
    expect(superblock).toMatchObject({ lifecycle: 'sealed', images: [{ name: 'i0' }, { name: 'i1' }] });
    await again.command('openImages', { paths: files.images, readOnly: false, exclusive: true });
    expect(await again.command('assess', {})).toMatchObject({ clean: true, damaged: false, extents: [] });
    expect(await again.command('activate', activation)).toMatchObject({
      lifecycle: 'open',
      openCount: superblock.openCount + 1,
      owner: { host: 'test', bootId: activation.bootId, process: process.pid },
    });
    expect((await again.readBytes(bytes.length, 3 * MIB)).equals(bytes)).toBe(true);
    engine.native.destroy();
    await again.close();
  });

  test('many buffers are one write, and one read fills many', async () => {
    const { engine } = await runningMirror(device, folder());
    const bytes = random(2 * MIB + 512);
    const cuts = [0, 1, 1, 700, 70000, MIB, MIB + 4096, bytes.length];
    const parts = cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end));
    const views = parts.map((part, index) => {
      const copy = new Uint8Array(part);
      return index % 2 === 0 ? copy : new DataView(copy.buffer);
    });
    const position = MIB - 4096;
    const outcome = await engine.start((ticket) => engine.native.submitWritev(ticket, views, position, false));
    expect(outcome).toMatchObject({ name: 'OK' });
    const targets = parts.map((part) => Buffer.alloc(part.length));
    expect(await engine.read(bytes.length, position, targets)).toBe(true);
    expect(Buffer.concat(targets).equals(bytes)).toBe(true);
    await engine.close();
  });

  test('typed arrays of wider elements are taken by their bytes', async () => {
    const { engine } = await runningMirror(device, folder());
    const numbers = new Float64Array(512).map((_, index) => index / 3);
    expect(await engine.write(numbers, 4096)).toMatchObject({ name: 'OK' });
    const into = new Float64Array(512);
    expect(await engine.read(4096, 4096, [into])).toBe(true);
    expect(into).toEqual(numbers);
    await engine.close();
  });

  test('the bytes are those of the call, whatever becomes of the buffer meanwhile', async () => {
    const { engine, files, superblock } = await runningMirror(device, folder(), 8 * MIB, 2);
    const kept: Buffer[] = [];
    const pending: Promise<Outcome>[] = [];
    const buffer = Buffer.alloc(256 * KIB);
    for (let index = 0; index < 32; index++) {
      randomFillSync(buffer);
      kept.push(Buffer.from(buffer));
      pending.push(engine.write(buffer, index * buffer.length));
      buffer.fill(0xff);
    }
    const moved = random(4096);
    const before = Buffer.from(moved);
    pending.push(engine.write(moved, 0));
    structuredClone(moved.buffer, { transfer: [moved.buffer as ArrayBuffer] });
    before.copy(kept[0] as Buffer);
    for (const outcome of await Promise.all(pending)) expect(outcome).toMatchObject({ name: 'OK' });
    const expected = Buffer.concat(kept);
    expect((await engine.readBytes(expected.length, 0)).equals(expected)).toBe(true);
    await engine.close();
    for (const image of files.images) {
      expect(readFileSync(image).subarray(0, superblock.size).equals(expected)).toBe(true);
    }
  });

  test.each([
    ['aligned', 0],
    ['aligned to a block alone', 512],
    ['aligned to nothing', 16],
  ])('memory that is handed over is written, %s', async (_, offset) => {
    const { engine } = await runningMirror(device, folder());
    const length = 2 * MIB;
    const store = binding.allocateMemory(length + 512) as ArrayBuffer;
    const expected = random(length);
    new Uint8Array(store).set(expected, offset);
    const memory = binding.takeMemory(store) as NativeMemory;
    expect(store.byteLength).toBe(0);
    const position = MIB - 512;
    const pending = engine.start((ticket) =>
      engine.native.submitWriteOwned(ticket, memory, offset, length, position, true),
    );
    expect(binding.giveMemoryBack(memory)).toBeNull(); // a device may be reading it
    expect(await pending).toMatchObject({ name: 'OK' });
    const back = binding.giveMemoryBack(memory) as ArrayBuffer;
    expect(Buffer.from(back, offset, length).equals(expected)).toBe(true);
    expect((await engine.readBytes(length, position)).equals(expected)).toBe(true);
    await engine.close();
  });

  test('a read fills its part of the target and nothing else', async () => {
    const { engine } = await runningMirror(device, folder());
    const bytes = random(MIB);
    await engine.write(bytes, MIB / 2);
    const target = Buffer.alloc(MIB + 200, 0x55);
    expect(await engine.read(MIB, MIB / 2, [target], 100)).toBe(true);
    expect(target.subarray(100, MIB + 100).equals(bytes)).toBe(true);
    expect(target.subarray(0, 100).equals(Buffer.alloc(100, 0x55))).toBe(true);
    expect(target.subarray(MIB + 100).equals(Buffer.alloc(100, 0x55))).toBe(true);
    await engine.close();
  });

  test('a target that was detached while the read ran gets nothing, and the ticket is free again', async () => {
    const { engine } = await runningMirror(device, folder());
    const target = new Uint8Array(MIB);
    const pending = engine.start((ticket) => engine.native.submitRead(ticket, MIB, 0), true);
    structuredClone(target.buffer, { transfer: [target.buffer] });
    const { ticket, name } = await pending;
    expect(name).toBe('OK');
    expect(engine.native.finishRead(ticket, [target], 0, MIB)).toBe(false);
    expect(engine.native.finishRead(ticket, [Buffer.alloc(MIB)], 0, MIB)).toBe(false);
    engine.release(ticket);
    expect((await engine.readBytes(512, 0)).equals(Buffer.alloc(512))).toBe(true);
    await engine.close();
  });

  test('a target that is too short by then gets nothing', async () => {
    const { engine } = await runningMirror(device, folder());
    await engine.write(random(MIB), 0);
    const target = Buffer.alloc(MIB, 0x55);
    expect(await engine.read(MIB, 0, [target.subarray(0, MIB - 1)])).toBe(false);
    expect(await engine.read(MIB, 0, [target], 1)).toBe(false);
    expect(await engine.read(MIB, 0, [])).toBe(false);
    expect(target.equals(Buffer.alloc(MIB, 0x55))).toBe(true);
    await engine.close();
  });

  test('what was discarded reads as zeroes, on every image, and its neighbours stay', async () => {
    const { engine, files, superblock } = await runningMirror(device, folder(), 16 * MIB);
    const expected = random(superblock.size);
    expect(await engine.write(expected, 0)).toMatchObject({ name: 'OK' });
    const [position, length] = [MIB - 512, 13 * MIB + 1024];
    expect(await engine.start((ticket) => engine.native.submitDiscard(ticket, position, length))).toMatchObject({
      name: 'OK',
    });
    expected.fill(0, position, position + length);
    expect((await engine.readBytes(superblock.size, 0)).equals(expected)).toBe(true);
    await engine.close();
    for (const image of files.images) {
      expect(readFileSync(image).subarray(0, superblock.size).equals(expected)).toBe(true);
    }
  });

  test('misaligned and out of range are answered at once and reach nothing', async () => {
    const { engine, superblock } = await runningMirror(device, folder());
    const { native } = engine;
    const block = Buffer.alloc(512);
    const answers = [
      ['MISALIGNED', () => native.submitWrite(50, Buffer.from('hello'), 0, 5, 0, false)],
      ['MISALIGNED', () => native.submitWrite(50, block, 0, 512, 100, false)],
      ['OUT_OF_RANGE', () => native.submitWrite(50, block, 0, 512, superblock.size, false)],
      ['OUT_OF_RANGE', () => native.submitRead(50, 1024, superblock.size - 512)],
      ['OUT_OF_RANGE', () => native.submitDiscard(50, 512, superblock.size)],
    ] as const;
    for (const [name, call] of answers) expect(binding.codes[call()]).toBe(name);
    await engine.start((ticket) => native.submitFlush(ticket));
    const { counters } = native.snapshot();
    expect([counters['writes'], counters['reads'], counters['intentsLogged']]).toEqual([0, 0, 0]);
    await engine.close();
  });

  test('of 100,000 pending writes as many as fit are taken, the others are told QUEUE_FULL, and nothing is lost', async () => {
    const { engine, superblock } = await runningMirror(device, folder());
    const length = 8 * KIB;
    const fits = binding.limits.pendingBytes / length;
    const bytes = random(length);
    const names = new Map<string, number>();
    const pending: Promise<Outcome>[] = [];
    for (let index = 0; index < 100_000; index++) {
      pending.push(engine.write(bytes, (index * length) % superblock.size));
    }
    expect(engine.pending).toBe(fits);
    for (const { name } of await Promise.all(pending)) names.set(name, (names.get(name) ?? 0) + 1);
    expect([...names].sort()).toEqual([
      ['OK', fits],
      ['QUEUE_FULL', 100_000 - fits],
    ]);
    expect(engine.native.snapshot().counters['writes']).toBe(fits);
    expect(await engine.write(bytes, 0)).toMatchObject({ name: 'OK' });
    expect((await engine.readBytes(length, superblock.size - length)).equals(bytes)).toBe(true);
    await engine.close();
  });

  test('every ticket takes a write of one block', async () => {
    const { engine, superblock } = await runningMirror(device, folder());
    const bytes = random(512);
    const pending = Array.from({ length: binding.limits.pendingRequests }, (_, index) =>
      engine.write(bytes, (index * 512) % superblock.size),
    );
    const outcomes = await Promise.all(pending);
    expect(outcomes.filter(({ name }) => name !== 'OK')).toEqual([]);
    expect(Math.max(...engine.batches)).toBeGreaterThan(1);
    await engine.close();
  });

  test('a write that waits behind as many as run at once is aborted before it reaches an image', async () => {
    const { engine, superblock } = await runningMirror(device, folder());
    const pending: Promise<Outcome>[] = [];
    for (let index = 0; index < 20_000; index++) {
      pending.push(engine.write(Buffer.alloc(512, 1), (index * 512) % (superblock.size - 512)));
    }
    let last = -1;
    const outcome = engine.start((ticket) => {
      last = ticket;
      return engine.native.submitWrite(ticket, Buffer.alloc(512, 2), 0, 512, superblock.size - 512, false);
    });
    engine.native.cancel(last);
    expect(await outcome).toMatchObject({ name: 'ABORTED', position: superblock.size - 512 });
    await Promise.all(pending);
    expect((await engine.readBytes(512, superblock.size - 512)).equals(Buffer.alloc(512))).toBe(true);
    await engine.close();
  });

  test('close waits for what was submitted before it, and refuses what comes after', async () => {
    const { engine, files, superblock } = await runningMirror(device, folder());
    const bytes = random(superblock.size);
    const write = engine.write(bytes, 0);
    const closing = engine.attempt('close', {});
    expect(await engine.write(bytes.subarray(0, 512), 0)).toMatchObject({ name: 'CLOSED' });
    expect(await engine.attempt('close', {})).toMatchObject({ name: 'CLOSED' });
    expect(await write).toMatchObject({ name: 'OK' });
    expect(await closing).toMatchObject({ name: 'OK' });
    expect(engine.native.snapshot().phase).toBe('closed');
    engine.native.destroy();
    engine.native.destroy();
    expect(await engine.write(bytes.subarray(0, 512), 0)).toMatchObject({ name: 'CLOSED' });
    expect(engine.native.snapshot().phase).toBe('closed');
    for (const image of files.images) {
      expect(readFileSync(image).subarray(0, superblock.size).equals(bytes)).toBe(true);
    }
  });

  test('destroy without close answers what is pending with CLOSED, lets the files go, and leaves the mirror unclean', async () => {
    const { engine, files, superblock } = await runningMirror(device, folder(), 64 * MIB);
    const pending = Array.from({ length: 64 }, (_, index) =>
      engine.write(random(MIB), (index * MIB) % superblock.size),
    );
    engine.native.destroy();
    for (const { name } of await Promise.all(pending)) expect(['OK', 'CLOSED']).toContain(name);
    const again = new RawEngine(device);
    await openFiles(again, files);
    await again.command('loadSuperblock', {});
    expect(await again.command('assess', {})).toMatchObject({ clean: false, damaged: false });
    await again.close();
  });

  test('an exclusive opener keeps another out', async () => {
    const { engine, files } = await runningMirror(device, folder());
    const other = new RawEngine(device);
    expect(await other.attempt('openLog', { path: files.log, readOnly: false, exclusive: true })).toMatchObject({
      name: 'BUSY',
      image: -2,
    });
    await other.close();
    await engine.close();
  });

  test('echo: how long a request takes (printed, not asserted)', async () => {
    const { engine, superblock } = await runningMirror(device, folder());
    const bytes = random(4 * KIB);
    const lines: string[] = [];
    const writeAll = async (count: number, depth: number): Promise<number> => {
      let next = 0;
      const start = performance.now();
      await Promise.all(
        Array.from({ length: depth }, async () => {
          while (next < count) await engine.write(bytes, (next++ * bytes.length) % (superblock.size / 4));
        }),
      );
      return (performance.now() - start) / count;
    };
    for (const depth of [1, 32]) {
      const milliseconds = await writeAll(depth * 300, depth);
      lines.push(`depth ${depth}: ${(milliseconds * 1000).toFixed(1)} microseconds a write of 4 KiB`);
    }
    const submitted = 10_000;
    const pending: Promise<Outcome>[] = [];
    const start = performance.now();
    for (let index = 0; index < submitted; index++) {
      pending.push(engine.start((ticket) => engine.native.submitWrite(ticket, bytes, 0, 4096, index * 512, false)));
    }
    const microseconds = ((performance.now() - start) * 1000) / submitted;
    lines.push(
      `submitWrite of 4 KiB with its promise: ${microseconds.toFixed(2)} microseconds of the JavaScript thread`,
    );
    await Promise.all(pending);
    console.info(`${device}\n  ${lines.join('\n  ')}`);
    await engine.close();
  });
});
