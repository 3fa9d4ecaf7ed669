// What the binding says about itself, and how it answers what lib/ must never send.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { NativeDeviceFacts, NativeMemory, NativeOutcome } from '../../lib/base/binding';
import { KIB, MIB, useTemporaryFolder, writeFileInFull } from '../support/temporary_folder';
import { RawEngine, binding, expectNoEngineLeft, makeFiles, openFiles, runningMirror } from './raw_engine';

const folder = useTemporaryFolder();

expectNoEngineLeft();

test('the addon is of the version of the package', () => {
  const { version } = JSON.parse(readFileSync(path.join(__dirname, '..', '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  expect(binding.version).toBe(version);
});

test('code 0 is OK, and every code has a name of its own', () => {
  expect(binding.codes[0]).toBe('OK');
  expect(binding.codes).toContain('MISALIGNED');
  expect(new Set(binding.codes).size).toBe(binding.codes.length);
});

test('the limits hold together', () => {
  const { limits } = binding;
  expect(limits.requestLength).toBeLessThanOrEqual(limits.pendingBytes);
  expect(limits.pendingRequests * 4 * KIB).toBeLessThanOrEqual(limits.pendingBytes);
  expect(limits.minimumRecoveryBudget).toBeLessThanOrEqual(limits.defaultRecoveryBudget);
  const lengthOf = (records: number, size = 64 * 1024 ** 2, images = 4) => binding.logLength(records, size, images);
  expect(lengthOf(limits.minimumRingRecords)).toBeLessThan(lengthOf(limits.defaultRingRecords));
  expect(lengthOf(8, 1024 ** 4)).toBeGreaterThan(lengthOf(8));
  expect(lengthOf(8, 1024 ** 4, 16)).toBeGreaterThan(lengthOf(8, 1024 ** 4));
  const { imageNamePattern, ...numbers } = limits;
  for (const limit of Object.values(numbers)) expect(limit).toBeGreaterThan(0);
  expect(new RegExp(imageNamePattern).test('slave1')).toBe(true);
});

test('facts of a file, and the status of a path that is not there', () => {
  const file = writeFileInFull(path.join(folder(), 'file'), MIB);
  expect(binding.deviceFacts(file)).toMatchObject({ path: file, size: MIB, blockDevice: false });
  const missing = binding.deviceFacts(path.join(folder(), 'nothing')) as NativeOutcome;
  expect(binding.codes[missing.code]).toBe('OPEN_FAILED');
  expect(missing.systemError).toBe(2);
});

test('copies of superblock and label are judged by the core, whatever they hold', () => {
  const { superblockOf, labelOf, codes } = binding;
  const codeOf = (found: object) => codes[(found as NativeOutcome).code];
  expect(codeOf(superblockOf(Buffer.alloc(40_960), Buffer.alloc(40_960)))).toBe('NOT_A_LOG');
  expect(codeOf(superblockOf(null, null))).toBe('READ_FAILED');
  expect(codeOf(labelOf(Buffer.alloc(4096), Buffer.alloc(4096)))).toBe('NO_LABEL');
  for (const wrong of [undefined, Buffer.alloc(4095), Buffer.alloc(0), 'text', 5]) {
    expect(() => superblockOf(wrong as never, null)).toThrow('superblockOf(copyA, copyB)');
    expect(() => labelOf(null, wrong as never)).toThrow('labelOf(copyA, copyB)');
  }
});

test('the remainder of an address moves with the view', () => {
  const store = new ArrayBuffer(16 * KIB);
  const first = binding.addressRemainder(new Uint8Array(store), 4096);
  expect(binding.addressRemainder(new Uint8Array(store, 100), 4096)).toBe((first + 100) % 4096);
  expect(binding.addressRemainder(new DataView(store, 4096), 4096)).toBe(first);
});

test('an engine is made with an options object and a callback, and with new', () => {
  const Engine = binding.Engine as unknown as new (...values: unknown[]) => unknown;
  const plain = binding.Engine as unknown as (...values: unknown[]) => unknown;
  for (const values of [
    [],
    [{}],
    [{ device: 'auto' }],
    [{ device: 'floppy', polling: false }, () => {}],
    [{ device: 'auto' }, () => {}],
    [null, () => {}],
  ]) {
    expect(() => new Engine(...values)).toThrow('new Engine');
  }
  expect(() => plain({ device: 'auto' }, () => {})).toThrow();
});

test('arguments of a wrong type are thrown, and take nothing', async () => {
  const { engine } = await runningMirror('threads', folder());
  const { native } = engine;
  const bytes = Buffer.alloc(4096);
  const memory = binding.takeMemory(binding.allocateMemory(4096) as ArrayBuffer) as NativeMemory;
  const ticket = 100;
  const wrong: (() => unknown)[] = [
    () => native.submitWrite(ticket, 'hello' as never, 0, 512, 0, false),
    () => native.submitWrite(ticket, bytes, 0, 8192, 0, false),
    () => native.submitWrite(ticket, bytes, 4096, 512, 0, false),
    () => native.submitWrite(ticket, bytes, 0, 0, 0, false),
    () => native.submitWrite(ticket, bytes, 0, 512, -512, false),
    () => native.submitWrite(ticket, bytes, 0, 512, NaN, false),
    () => native.submitWrite(ticket, bytes, 0, 512, 0.5, false),
    () => native.submitWrite(ticket, bytes, 0, 512, 2 ** 53, false),
    () => native.submitWrite(ticket, bytes, 0, 512, 0, 1 as never),
    () => native.submitWrite(-1, bytes, 0, 512, 0, false),
    () => native.submitWrite(binding.limits.pendingRequests, bytes, 0, 512, 0, false),
    () => native.submitWritev(ticket, [bytes, 3 as never], 0, false),
    () => native.submitWritev(ticket, [], 0, false),
    () => native.submitWritev(ticket, bytes as never, 0, false),
    () => native.submitWriteOwned(ticket, bytes as never, 0, 512, 0, false),
    () => native.submitWriteOwned(ticket, memory, 0, 8192, 0, false),
    () => native.submitWriteOwned(ticket, memory, 4096, 512, 0, false),
    () => native.submitWriteOwned(ticket, memory, 0, 0, 0, false),
    () => binding.allocateMemory(0),
    () => binding.allocateMemory(-1),
    () => binding.allocateMemory('4096' as never),
    () => binding.takeMemory(bytes as never),
    () => binding.giveMemoryBack(bytes.buffer as never),
    () => native.submitRead(ticket, 0, 0),
    () => native.submitRead(ticket, binding.limits.requestLength + 512, 0),
    () => native.submitDiscard(ticket, 0, 0),
    () => native.finishRead(ticket, null as never, 0, 0),
    () => native.command(ticket, 'explode' as never, {}),
    () => native.command(ticket, 'openLog', {}),
    () => native.command(ticket, 'compare', { extents: Float64Array.of(0, binding.limits.copyLength + 1) }),
    () => native.command(ticket, 'compare', { extents: Float64Array.of(0, 512, 512) }),
    () => native.command(ticket, 'compare', { extents: Float64Array.of(0, 0.5) }),
    () => native.command(ticket, 'compare', { extents: Float64Array.of(-512, 512) }),
    () => native.command(ticket, 'compare', { extents: Float64Array.of(NaN, 512) }),
    () => native.command(ticket, 'compare', { extents: new Float64Array() }),
    () => native.command(ticket, 'compare', { extents: [0, 512] as never }),
    () =>
      native.command(ticket, 'compare', { extents: new Float64Array(2 * binding.limits.copyExtents + 2).fill(512) }),
    () => native.submitWrite.call({} as never, ticket, bytes, 0, 512, 0, false),
  ];
  for (const call of wrong) {
    let thrown: unknown;
    try {
      call();
    } catch (error) {
      thrown = error;
    }
    expect({ call: call.toString(), name: (thrown as Error)?.name }).toEqual({
      call: call.toString(),
      name: 'TypeError',
    });
  }
  expect(engine.native.snapshot().counters['writes']).toBe(0);
  await engine.close();
});

test('a ticket in use is not used again', async () => {
  const { engine } = await runningMirror('threads', folder());
  const bytes = Buffer.alloc(4096);
  let ticket = -1;
  const first = engine.start((given) => {
    ticket = given;
    return engine.native.submitWrite(given, bytes, 0, 4096, 0, false);
  });
  expect(() => engine.native.submitWrite(ticket, bytes, 0, 4096, 4096, false)).toThrow('submitWrite');
  expect(await first).toMatchObject({ name: 'OK' });
  await engine.close();
});

test('commands in the wrong phase say so', async () => {
  const files = makeFiles(folder());
  const engine = new RawEngine('threads');
  for (const name of ['loadSuperblock', 'assess', 'format', 'readDebts'] as const) {
    expect(await engine.attempt(name, {})).toMatchObject({ name: 'WRONG_PHASE' });
  }
  expect(await engine.write(Buffer.alloc(512), 0)).toMatchObject({ name: 'WRONG_PHASE' });
  await openFiles(engine, files);
  expect(await engine.attempt('openLog', { path: files.log, readOnly: false, exclusive: true })).toMatchObject({
    name: 'WRONG_PHASE',
  });
  await engine.close();
});

test('the same file is not log and image, nor two images, by whatever path', async () => {
  const files = makeFiles(folder());
  const [master = ''] = files.images;
  const detour = path.join(path.dirname(master), '.', '..', path.basename(path.dirname(master)), path.basename(master));
  const engine = new RawEngine('threads');
  await engine.command('openLog', { path: files.log, readOnly: false, exclusive: true });
  for (const paths of [
    [master, files.log],
    [master, detour],
  ]) {
    expect(await engine.attempt('openImages', { paths, readOnly: false, exclusive: true })).toMatchObject({
      name: 'SAME_DEVICE',
      image: 1,
    });
  }
  // Nothing was kept of the images that had been opened before the refusal.
  await engine.command('openImages', { paths: files.images, readOnly: false, exclusive: true });
  await engine.close();
});

test('an image that cannot be opened is named by its number; an empty path leaves one out', async () => {
  const files = makeFiles(folder());
  const [master = ''] = files.images;
  const engine = new RawEngine('threads');
  await engine.command('openLog', { path: files.log, readOnly: true, exclusive: false });
  const missing = { paths: [master, `${master}-gone`], readOnly: true, exclusive: false };
  expect(await engine.attempt('openImages', missing)).toMatchObject({ name: 'OPEN_FAILED', image: 1, systemError: 2 });
  const facts = (await engine.command('openImages', {
    paths: [master, ''],
    readOnly: true,
    exclusive: false,
  })) as NativeDeviceFacts[];
  expect(facts.map(({ path, size }) => [path, size > 0])).toEqual([
    [master, true],
    ['', false],
  ]);
  await engine.close();
});

test('a log that is none is told from one that is', async () => {
  const files = makeFiles(folder());
  const engine = new RawEngine('threads');
  await engine.command('openLog', { path: files.log, readOnly: true, exclusive: false });
  expect(await engine.attempt('loadSuperblock', {})).toMatchObject({ name: 'NOT_A_LOG' });
  await engine.close();
});
