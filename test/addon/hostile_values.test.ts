/**
 * Values that change while the addon reads them, or are not what they look like, given to it without lib/ in between: an
 * error or the right outcome, never an assertion, never memory that is gone.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { setFlagsFromString } from 'node:v8';
import type { NativeMemory } from '../../lib/base/binding';
import { KIB, useTemporaryFolder } from '../support/temporary_folder';
import { RawEngine, binding, expectNoEngineLeft, runningMirror } from './raw_engine';

expectNoEngineLeft();
const folder = useTemporaryFolder();

const wrongType = expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }) as Error;
const detach = (view: ArrayBufferView): unknown =>
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
const collect = (): void => {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
};

/** The second element is there once its getter ran, and the getter harms. */
function withGetter(first: unknown, harm: () => void): NodeJS.ArrayBufferView[] {
  const list = [first];
  const get = (): unknown => {
    harm();
    return new Uint8Array(4096);
  };
  return Object.defineProperty(list, 1, { get, enumerable: true }) as NodeJS.ArrayBufferView[];
}

describe('a list of buffers', () => {
  test('whose getter frees the memory of an earlier element: the addon looks at memory when all are there', async () => {
    const { engine } = await runningMirror('threads', folder());
    const first = new Uint8Array(1 << 20).fill(0xaa);
    const list = withGetter(first, () => {
      detach(first);
      collect();
    });
    expect(await engine.start((ticket) => engine.native.submitWritev(ticket, list, 0, false))).toMatchObject({
      code: 0,
    });
    expect(await engine.readBytes(8192, 0)).toEqual(Buffer.alloc(8192));
    const target = new Uint8Array(1 << 20);
    const evil = withGetter(target, () => {
      detach(target);
      collect();
    });
    expect(await engine.read(1 << 20, 0, evil)).toBe(false);
    await engine.close();
  });

  test('whose getter takes the ticket, or ends the engine, is refused', async () => {
    const { engine } = await runningMirror('threads', folder());
    const { native } = engine;
    const bytes = Buffer.alloc(4096);
    const taken = engine.start((ticket) => {
      const list = withGetter(bytes, () => native.submitWrite(ticket, bytes, 0, 4096, 0, false));
      expect(() => native.submitWritev(ticket, list, 0, false)).toThrow(wrongType);
      return 0;
    });
    expect(await taken).toMatchObject({ code: 0 });
    const command = engine.start((ticket) => {
      const args = {
        get extents() {
          native.submitFlush(ticket);
          return Float64Array.of(0, 4096);
        },
        all: false,
      };
      expect(() => native.command(ticket, 'compare', args)).toThrow(wrongType);
      return 0;
    });
    expect(await command).toMatchObject({ code: 0 });
    const list = withGetter(bytes, () => native.destroy());
    expect(binding.codes[native.submitWritev(77, list, 0, false)]).toBe('CLOSED');
  });

  test('that grows while it is read is read as long as it was', async () => {
    const engine = new RawEngine('threads');
    const paths = ['/nowhere'];
    Object.defineProperty(paths, 0, {
      get: () => {
        for (let index = 1; index < 100; index++) paths[index] = '/nowhere';
        return '/nowhere';
      },
    });
    const outcome = await engine.attempt('openImages', { paths, readOnly: true, exclusive: false });
    expect(outcome).toMatchObject({ name: 'OPEN_FAILED', image: 0 });
    engine.native.destroy();
  });
});

describe('memory', () => {
  test('beyond the end of a store that was shrunk is not written, whatever kind of view it is', async () => {
    const { engine } = await runningMirror('threads', folder());
    const Store = ArrayBuffer as unknown as new (
      length: number,
      options: object,
    ) => ArrayBuffer & { resize(length: number): void };
    for (const make of [
      (store: ArrayBuffer) => new Uint8Array(store, 0, 64 * KIB),
      (store: ArrayBuffer) => new Uint8Array(store),
      (store: ArrayBuffer) => new DataView(store, 0, 64 * KIB),
      (store: ArrayBuffer) => new DataView(store),
    ]) {
      const store = new Store(64 * KIB, { maxByteLength: 64 * KIB });
      const view = make(store);
      store.resize(4096);
      expect(await engine.read(64 * KIB, 0, [view])).toBe(false);
      expect(() => engine.native.submitWrite(90, view, 0, 64 * KIB, 0, false)).toThrow(wrongType);
    }
    await engine.close();
  });

  test('that is shared is refused: another thread could change it in the middle of a copy', async () => {
    const { engine } = await runningMirror('threads', folder());
    const shared = new Uint8Array(new SharedArrayBuffer(4096));
    expect(() => engine.native.submitWrite(0, shared, 0, 4096, 0, false)).toThrow(wrongType);
    const extents = new Float64Array(new SharedArrayBuffer(16));
    extents[1] = 4096;
    expect(() => engine.native.command(0, 'compare', { extents, all: false })).toThrow(wrongType);
    await engine.close();
  });

  test('that was given back is worth nothing as memory that was handed over', async () => {
    const { engine } = await runningMirror('threads', folder());
    const memory = binding.takeMemory(binding.allocateMemory(4096) as ArrayBuffer) as NativeMemory;
    expect(binding.giveMemoryBack(memory)).toBeInstanceOf(ArrayBuffer);
    expect(() => binding.giveMemoryBack(memory)).toThrow(wrongType);
    expect(() => engine.native.submitWriteOwned(0, memory, 0, 4096, 0, false)).toThrow(wrongType);
    await engine.close();
  });

  test('of completions that JavaScript took away is not written any more', async () => {
    const { engine } = await runningMirror('threads', folder());
    const store = structuredClone(engine.native.completions.buffer, {
      transfer: [engine.native.completions.buffer as ArrayBuffer],
    });
    const before = Buffer.from(store).toString('hex');
    engine.native.submitFlush(200);
    await new Promise((resolve) => setTimeout(resolve, 200));
    engine.native.poll(false);
    expect(Buffer.from(store).toString('hex')).toBe(before);
    engine.native.destroy();
  });
});

test('a read that was finished with a wrong target gives its ticket back all the same', async () => {
  const { engine } = await runningMirror('threads', folder());
  const outcome = await engine.start((ticket) => engine.native.submitRead(ticket, 4096, 0), true);
  expect(() => engine.native.finishRead(outcome.ticket, [new ArrayBuffer(8)] as never, 0, 4096)).toThrow(wrongType);
  engine.release(outcome.ticket);
  expect(await engine.readBytes(4096, 0)).toHaveLength(4096);
  await engine.close();
});

test('arguments of a prototype are none', async () => {
  const engine = new RawEngine('threads');
  Object.assign(Object.prototype, { makeLength: 4096 });
  let opening;
  try {
    opening = engine.attempt('openLog', { path: `${folder()}/made`, readOnly: false, exclusive: true });
  } finally {
    Reflect.deleteProperty(Object.prototype, 'makeLength');
  }
  expect(await opening).toMatchObject({ name: 'OPEN_FAILED' });
  engine.native.destroy();
});

test('a getter that a time limit of node:vm terminates ends its call alone, never the process', async () => {
  const child = path.join(__dirname, 'timed_out_child.cjs');
  const addon = path.resolve(__dirname, '../../build/Release/blockmirror.node');
  const { stdout } = await promisify(execFile)(process.execPath, [child, addon]);
  const timedOut = 'ERR_SCRIPT_EXECUTION_TIMEOUT';
  const ended = { command: timedOut, list: timedOut, buffers: timedOut, construct: timedOut };
  expect(JSON.parse(stdout)).toEqual({ ended, engines: 0 });
});
