/**
 * Objects of a caller that are not what they look like: own properties, getters, classes, signals, polluted prototypes.
 * The request is refused or done, its slot comes back, and nobody else's request notices.
 */
import { existsSync } from 'node:fs';
import { transferableAbortController } from 'node:util';
import { Mirror, inspect, recover, verify } from '../../lib/index';
import type { Bytes, WriteOptions } from '../../lib/index';
import { type Paths, bytesOf, failure, imagesEqual, pattern, useMirrors } from './support';

const mirrors = useMirrors();

const detach = (view: ArrayBufferView): unknown =>
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
const refusedType = { code: 'ERR_INVALID_ARG_TYPE' };
type Resizable = ArrayBuffer & { resize(length: number): void };
const resizable = (length: number): Resizable =>
  new (ArrayBuffer as unknown as new (length: number, options: object) => Resizable)(length, { maxByteLength: length });

/** What all requests must leave behind. */
async function expectWell(mirror: Mirror, paths: Paths): Promise<void> {
  expect(mirror.status().pendingRequests).toBe(0);
  await expect(mirror.write(Buffer.alloc(512, 9), { position: 4096 })).resolves.toMatchObject({ bytesWritten: 512 });
  await mirror.close();
  expect(imagesEqual(paths)).toBe(true);
}

/** With the property on Object.prototype (or another) while `work` starts; what it awaits runs without it. */
function polluted<T>(
  name: PropertyKey,
  descriptor: PropertyDescriptor,
  work: () => T,
  prototype: object = Object.prototype,
): T {
  Object.defineProperty(prototype, name, { ...descriptor, configurable: true });
  try {
    return work();
  } finally {
    Reflect.deleteProperty(prototype, name);
  }
}

/** Those that this Node.js has; Float16Array came with 24. */
const KINDS = ['Int8', 'Uint8', 'Uint8Clamped', 'Int16', 'Uint16', 'Int32', 'Uint32', 'Float16', 'Float32', 'Float64']
  .concat(['BigInt64', 'BigUint64'])
  .map((name) => (globalThis as Record<string, unknown>)[`${name}Array`] as typeof Uint8Array | undefined)
  .filter((kind) => kind !== undefined);

describe('a buffer', () => {
  test('of any kind of elements is read and written in full', async () => {
    const { mirror, paths } = await mirrors.make();
    for (const [index, Kind] of KINDS.entries()) {
      const bytes = pattern(4096, index);
      const view = (): Uint8Array => new Kind(Uint8Array.from(bytes).buffer);
      await mirror.write(view(), { position: 0 });
      await mirror.writev([view(), view()], 4096);
      const handedOver = await mirror.write(view(), { position: 12288, transfer: true });
      expect(handedOver).toMatchObject({ bytesWritten: 4096, buffer: expect.any(Kind) as unknown });
      for (const at of [0, 4096, 8192, 12288]) expect(bytesOf(paths.master, at, 4096)).toEqual(bytes);
      const { buffer } = await mirror.read(new Kind(view().length), { position: 0 });
      expect(Buffer.from(buffer.buffer)).toEqual(bytes);
      await expect(mirror.readv([view(), view()], 4096)).resolves.toMatchObject({ bytesRead: 8192 });
    }
    await expectWell(mirror, paths);
  });

  test('is what it was made as: its own properties are not looked at', async () => {
    const { mirror, paths } = await mirrors.make();
    const bytes = pattern(4096, 1);
    for (const transfer of [false, true]) {
      const buffer = Mirror.alignedBuffer(4096);
      bytes.copy(buffer);
      const lie = { byteLength: 1 << 20, length: 1 << 20, byteOffset: 1 << 20, buffer: new ArrayBuffer(8) };
      for (const [name, value] of Object.entries(lie)) Object.defineProperty(buffer, name, { value });
      await expect(mirror.write(buffer, 0, 8192, 0)).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
      await mirror.write(buffer, { position: 0, transfer });
      expect(bytesOf(paths.master, 0, 4096)).toEqual(bytes);
    }
    const target = Buffer.alloc(4096);
    Object.defineProperty(target, 'byteLength', { value: 0 });
    await expect(mirror.read(target, { position: 0 })).resolves.toMatchObject({ bytesRead: 4096 });
    await expectWell(mirror, paths);
  });

  test('of a class of the caller’s: its constructor never sees memory that was handed over', async () => {
    const { mirror, paths } = await mirrors.make();
    const seen: unknown[] = [];
    class Evil extends Uint8Array {
      constructor(store: ArrayBuffer, offset: number, length: number) {
        seen.push(store);
        super(store, offset, length);
      }
    }
    for (const memory of [Mirror.alignedBuffer(4096), new Uint8Array(4096)]) {
      const view = new Evil(memory.buffer as ArrayBuffer, memory.byteOffset, 4096).fill(7);
      seen.length = 0;
      const { buffer } = await mirror.write(view, { position: 0, transfer: true });
      expect(seen).toEqual([]);
      expect(Object.getPrototypeOf(buffer)).toBe(Uint8Array.prototype);
      expect(Buffer.from(buffer)).toEqual(Buffer.alloc(4096, 7));
    }
    await expectWell(mirror, paths);
  });

  test.each([
    ['a typed array', (store: ArrayBuffer) => new Uint8Array(store, 0, 4096)],
    ['a typed array that follows its store', (store: ArrayBuffer) => new Uint8Array(store)],
    ['a DataView', (store: ArrayBuffer) => new DataView(store, 0, 4096)],
  ])('%s over a store that is shrunk during the read gets nothing', async (_, make) => {
    const { mirror, paths } = await mirrors.make();
    const store = resizable(4096);
    const reading = [mirror.read(make(store), { position: 0 }), mirror.readv([make(store)], 0)];
    store.resize(0);
    for (const read of reading) await failure(read, 'BUFFER_DETACHED');
    await expectWell(mirror, paths);
  });
});

describe('options', () => {
  test('are read once, and before the buffer is looked at', async () => {
    const { mirror, paths } = await mirrors.make();
    const reads = new Map<string, number>();
    const counted = <T extends object>(options: T): T =>
      new Proxy(options, {
        get(target, name) {
          reads.set(String(name), (reads.get(String(name)) ?? 0) + 1);
          return Reflect.get(target, name) as unknown;
        },
      });
    const bytes = Buffer.alloc(4096, 3);
    const { signal } = new AbortController();
    const options = { position: 0, offset: 0, length: 4096, dsync: true, unaligned: false, transfer: false, signal };
    await mirror.write(bytes, counted(options));
    await mirror.read(counted({ buffer: bytes, position: 0, offset: 0, length: 4096, signal }));
    expect(Object.fromEntries(reads)).toEqual({
      ...{ position: 2, offset: 2, length: 2, signal: 2 },
      ...{ dsync: 1, unaligned: 1, transfer: 1, buffer: 1 },
    });
    await expectWell(mirror, paths);
  });

  const harms: [string, (view: Uint8Array) => void][] = [
    [
      'throws',
      () => {
        throw new Error('thrown by a getter');
      },
    ],
    ['detaches the buffer', (view) => void detach(view)],
    ['shrinks the buffer', (view) => (view.buffer as Resizable).resize(0)],
  ];
  test.each(harms)('with a getter that %s cost no slot', async (_, harm) => {
    const { mirror, paths } = await mirrors.make();
    for (const name of ['position', 'length', 'dsync', 'transfer', 'signal']) {
      for (const call of ['write', 'read', 'writev', 'readv'] as const) {
        const store = resizable(4096);
        const view = new Uint8Array(store, 0, 4096);
        const evil = { get: () => void harm(view), enumerable: true };
        const options = Object.defineProperty(call.endsWith('v') ? {} : { position: 0 }, name, evil) as WriteOptions;
        const work = call.endsWith('v')
          ? mirror[call as 'writev']([view], 0, options)
          : mirror[call as 'write'](view, options);
        await expect(work).rejects.toThrow();
      }
    }
    await expectWell(mirror, paths);
  });

  test('of a prototype are none', async () => {
    const { mirror, paths } = await mirrors.make();
    const bytes = Buffer.alloc(512, 5);
    const yes = { value: true, writable: true };
    await polluted('transfer', yes, () => mirror.write(bytes, { position: 0 }));
    expect(bytes.length).toBe(512);
    await failure(
      polluted('unaligned', yes, () => mirror.write(bytes, { position: 1 })),
      'MISALIGNED',
    );
    const missing = polluted('position', { value: 0 }, () => mirror.write(bytes, {} as WriteOptions));
    await expect(missing).rejects.toMatchObject(refusedType);
    await polluted('signal', { value: 'no signal' }, () => mirror.discard(512, 512, {}));
    await polluted('all', { value: 'x' }, () => mirror.verify({}));
    const stream = polluted('objectMode', yes, () => mirror.createReadStream({ end: 511 }));
    expect(stream.readableObjectMode).toBe(false);
    stream.destroy();
    await expectWell(mirror, paths);
    const again = { ...mirrors.paths(), size: '1MiB' };
    const create = polluted('overwriteSignature', yes, () => Mirror.create(again));
    await failure(create, 'SIGNATURE_FOUND');
  });

  test('that are inherited are refused by name: a dsync that is left out in silence promises nothing', async () => {
    const { mirror, paths } = await mirrors.make();
    const bytes = Buffer.alloc(512, 5);
    class Durable {
      position = 0;
      get dsync(): boolean {
        return true;
      }
    }
    const withDefaults = (defaults: object): WriteOptions =>
      Object.assign(Object.create(defaults) as WriteOptions, { position: 0 });
    const bare = Object.assign(Object.create(null) as object, { dsync: true });
    for (const options of [new Durable(), withDefaults({ dsync: true }), withDefaults(bare)]) {
      const error = await failure(mirror.write(bytes, options), 'INVALID_OPTION');
      expect(error.message).toContain("'dsync' of write() is inherited");
    }
    const stream = (): unknown => mirror.createReadStream(Object.create({ end: 511 }) as object);
    expect(stream).toThrow(/'end' of createReadStream\(\) is inherited/);
    const endless: object = new Proxy({}, { getPrototypeOf: () => endless });
    await mirror.write(bytes, Object.setPrototypeOf({ position: 0 }, endless) as WriteOptions);
    class Plain {
      position = 0;
      describe(): string {
        return `at ${this.position}`;
      }
    }
    await mirror.write(bytes, new Plain());
    await expectWell(mirror, paths);
  });

  test('of recover and inspect are not taken from a prototype either', async () => {
    const { mirror, paths } = await mirrors.make();
    await mirror.write(Buffer.alloc(512), { position: 0 });
    mirrors.crash(mirror);
    const report = await polluted('dryRun', { value: true }, () => recover(paths.log, {}));
    expect(report).toMatchObject({ dryRun: false });
    const seen = await polluted('images', { value: { slave1: '/nowhere' } }, () => inspect(paths.log, {}));
    expect(seen.attachable).toBe(true);
  });

  test('of no call are taken from Object.prototype, whatever they are called', async () => {
    const paths = await mirrors.create();
    const names = [
      ...[
        'images',
        'trustFolders',
        'takeOver',
        'device',
        'all',
        'dryRun',
        'compare',
        'readBack',
        'recovery',
        'polling',
      ],
      ...['recoveryBudget', 'onProgress', 'signal', 'force'],
    ];
    for (const name of names) {
      const nonsense = { value: { nonsense: true }, writable: true };
      expect((await polluted(name, nonsense, () => inspect(paths.log, {}))).attachable).toBe(true);
      expect((await polluted(name, nonsense, () => verify(paths.log, {}))).identical).toBe(true);
      expect(await polluted(name, nonsense, () => recover(paths.log, {}))).toMatchObject({
        clean: true,
        dryRun: false,
      });
      await (await polluted(name, nonsense, () => Mirror.open(paths.log, {}))).close();
    }
  });
});

describe('an array of buffers', () => {
  test('is read by its indices alone: no method of its own is called', async () => {
    const { mirror, paths } = await mirrors.make();
    const halves = [pattern(4096, 1), pattern(4096, 2)];
    const never = (): never => {
      throw new Error('called');
    };
    for (const name of ['filter', 'map', 'entries', 'forEach', 'reduce', Symbol.iterator]) {
      Object.defineProperty(halves, name, { value: never });
    }
    await mirror.writev(halves, 0);
    expect(bytesOf(paths.master, 0, 8192)).toEqual(Buffer.concat([halves[0] as Buffer, halves[1] as Buffer]));
    await mirror.readv(halves, 0);
    await expectWell(mirror, paths);
  });

  test('whose getter detaches what came before is refused, and nothing is written', async () => {
    const { mirror, paths } = await mirrors.make();
    for (const call of ['writev', 'readv'] as const) {
      const first = new Uint8Array(4096).fill(0xaa);
      const buffers: Bytes[] = [first];
      Object.defineProperty(buffers, 1, {
        get: () => {
          detach(first);
          return new Uint8Array(4096);
        },
        enumerable: true,
      });
      await failure(mirror[call](buffers, 0), 'BUFFER_DETACHED');
    }
    expect(bytesOf(paths.master, 0, 4096)).toEqual(Buffer.alloc(4096));
    await expectWell(mirror, paths);
  });

  test('is bounded, whatever length it claims', async () => {
    const { mirror, paths } = await mirrors.make();
    const endless = new Proxy([Buffer.alloc(0)], {
      get: (target, name) => (name === 'length' ? 2 ** 40 : target[0]),
    });
    await expect(mirror.writev(endless, 0)).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
    await expect(mirror.readv(new Array<Bytes>(1_000_000), 0)).rejects.toMatchObject(refusedType);
    await expectWell(mirror, paths);
  });

  test('is copied although somebody put a setter of an index on a prototype', async () => {
    const { mirror, paths } = await mirrors.make();
    const setter = { set: () => undefined, get: () => Buffer.alloc(4096, 0xee) };
    const writing = [Object.prototype, Array.prototype].map((prototype, index) =>
      polluted(0, setter, () => mirror.writev([pattern(4096, index)], index * 4096), prototype),
    );
    await Promise.all(writing);
    expect(bytesOf(paths.master, 0, 8192)).toEqual(Buffer.concat([pattern(4096, 0), pattern(4096, 1)]));
    await expectWell(mirror, paths);
  });

  test('of more buffers than the engine takes at once fails when one of them is detached meanwhile', async () => {
    const { mirror, paths } = await mirrors.make();
    await mirror.write(pattern(1100 * 512, 1), { position: 0 });
    const targets = Array.from({ length: 1100 }, () => new Uint8Array(512));
    const reading = mirror.readv(targets, 0);
    detach(targets[3] as Uint8Array);
    await failure(reading, 'BUFFER_DETACHED');
    expect(
      targets[4]?.every((byte) => byte === 0) ||
        Buffer.from(targets[4] as Uint8Array).equals(pattern(1100 * 512, 1).subarray(2048, 2560)),
    ).toBe(true);
    await expectWell(mirror, paths);
  });
});

describe('a signal', () => {
  const lookAlike = (): AbortSignal =>
    ({
      aborted: false,
      addEventListener() {},
      removeEventListener() {
        throw new Error('thrown by a signal');
      },
      throwIfAborted() {},
    }) as unknown as AbortSignal;

  test('that only looks like one is refused, and so is a Proxy of one', async () => {
    const { mirror, paths } = await mirrors.make();
    const { signal: real } = new AbortController();
    for (const signal of [lookAlike(), new Proxy(real, {}), Object.create(AbortSignal.prototype) as AbortSignal]) {
      await expect(mirror.write(Buffer.alloc(512), { position: 0, signal })).rejects.toMatchObject(refusedType);
      await expect(mirror.writev([Buffer.alloc(512)], 0, { signal })).rejects.toMatchObject(refusedType);
      await expect(mirror.verify({ signal })).rejects.toMatchObject(refusedType);
    }
    await expectWell(mirror, paths);
  });

  test('of Node’s own is taken, whoever made it', async () => {
    const { mirror, paths } = await mirrors.make();
    const controller = transferableAbortController();
    const signals = [controller.signal, AbortSignal.timeout(60_000), AbortSignal.any([controller.signal])];
    for (const signal of signals) await mirror.write(Buffer.alloc(512), { position: 0, signal });
    controller.abort(new Error('not today'));
    const late = mirror.write(Buffer.alloc(512), { position: 0, signal: controller.signal });
    await expect(late).rejects.toThrow('not today');
    await expectWell(mirror, paths);
  });

  test('that was tampered with keeps nobody from settling', async () => {
    const { mirror, paths } = await mirrors.make();
    const throwing = (signal: AbortSignal, name: PropertyKey): AbortSignal =>
      Object.defineProperty(signal, name, {
        get: () => {
          throw new Error('thrown by a signal');
        },
      });
    const names = ['aborted', 'reason', 'addEventListener', 'removeEventListener', 'constructor'];
    const evil = names.map((name) => throwing(new AbortController().signal, name));
    const bytes = Buffer.alloc(512, 1);
    const writes = Array.from({ length: 32 }, (_, index) => {
      const signal = evil[index];
      return mirror.write(bytes, { position: index * 512, ...(signal && { signal }) });
    });
    await expect(Promise.all(writes)).resolves.toHaveLength(32);
    await expectWell(mirror, paths);
  });
});

describe('names of images', () => {
  test.each(['constructor', 'toString', 'hasOwnProperty', 'valueOf'])(
    '%s: what create makes, open opens',
    async (name) => {
      const paths = mirrors.paths();
      const slaves = paths.slaves.map((path) => ({ path, name }));
      await Mirror.create({ ...paths, slaves, size: '8MiB', readBack: false });
      const mirror = await mirrors.open(paths);
      expect(mirror.status().images[1]).toMatchObject({ name, state: 'synchronized' });
      await mirror.close();
      const other = await mirrors.open(paths, { images: { [name]: paths.slaves[0] as string } });
      await other.close();
      expect((await inspect(paths.log)).attachable).toBe(true);
    },
  );

  test.each(['__proto__', '-x', '.x', 'a b', 'a'.repeat(32), 'log', 'a\n', 'é', ''])('%j is refused', async (name) => {
    const paths = mirrors.paths();
    const slaves = paths.slaves.map((path) => ({ path, name }));
    await failure(Mirror.create({ ...paths, slaves, size: '8MiB' }), 'INVALID_OPTION');
    expect(existsSync(paths.log)).toBe(false);
  });
});
