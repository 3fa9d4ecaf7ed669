import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Mirror } from '../../lib/index';
import { loadBinding } from '../../lib/base/load';
import { MIB, MIRROR_SIZE, bytesOf, describeDeviceKinds, failure, imagesEqual, pattern, useMirrors } from './support';

const mirrors = useMirrors();

test('alignedBuffer takes a number, and says so whatever it is given', () => {
  for (const wrong of [Object.create(null), Symbol('length'), '4096', 4096n, null]) {
    const call = (): unknown => Mirror.alignedBuffer(wrong as never);
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
  }
});

test('alignedBuffer gives zeroed memory at a page boundary, alone in its store', () => {
  for (const length of [1, 4096, 5000, MIB]) {
    const buffer = Mirror.alignedBuffer(length);
    expect(buffer.length).toBe(length);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
    expect(loadBinding().addressRemainder(buffer, 4096)).toBe(0);
    expect(buffer.buffer).not.toBe(Mirror.alignedBuffer(length).buffer);
  }
});

describeDeviceKinds('transfer on', (device) => {
  test('the buffer is detached at once, written, and given back with its bytes', async () => {
    const { mirror, paths } = await mirrors.make({ device });
    const buffer = Mirror.alignedBuffer(8192);
    const bytes = pattern(8192, 1);
    bytes.copy(buffer);
    const writing = mirror.write(buffer, { position: 512, transfer: true });
    expect(buffer.length).toBe(0);
    const result = await writing;
    expect(result.bytesWritten).toBe(8192);
    expect(Buffer.isBuffer(result.buffer)).toBe(true);
    expect(result.buffer).toEqual(bytes);
    expect(loadBinding().addressRemainder(result.buffer, 4096)).toBe(0);
    await mirror.write(result.buffer, { position: 16384, transfer: true });
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
    expect(bytesOf(paths.master, 16384, 8192)).toEqual(bytes);
  });

  test('a part of a buffer can be handed over, and memory that is not aligned', async () => {
    const { mirror } = await mirrors.make({ device });
    const bytes = pattern(4096, 2);
    const view = new Uint8Array(new ArrayBuffer(5000), 7, 4096);
    view.set(bytes);
    const result = await mirror.write(view, { position: 0, offset: 512, length: 1024, transfer: true });
    expect(result.bytesWritten).toBe(1024);
    expect(result.buffer).toBeInstanceOf(Uint8Array);
    expect([result.buffer.byteOffset, result.buffer.length]).toEqual([7, 4096]);
    const into = Buffer.alloc(1024);
    await mirror.read(into, { position: 0 });
    expect(into).toEqual(bytes.subarray(512, 1536));
  });

  test('many transfers at once, of memory that comes back and goes again', async () => {
    const { mirror, paths } = await mirrors.make({ device }, 2);
    const worker = async (lane: number): Promise<void> => {
      let buffer = Mirror.alignedBuffer(65536);
      for (let round = 0; round < 20; round++) {
        buffer.fill(lane * 20 + round);
        const position = ((lane * 20 + round) * 65536) % MIRROR_SIZE;
        ({ buffer } = await mirror.write(buffer, { position, transfer: true }));
      }
    };
    await Promise.all(Array.from({ length: 16 }, (_, lane) => worker(lane)));
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
  });
});

test('a typed array and a DataView come back as what they were', async () => {
  const { mirror } = await mirrors.make();
  const numbers = await mirror.write(new Uint32Array(128).fill(7), { position: 0, transfer: true });
  expect(numbers.buffer).toBeInstanceOf(Uint32Array);
  expect(numbers.buffer.length).toBe(128);
  const view = await mirror.write(new DataView(new ArrayBuffer(512)), { position: 0, transfer: true });
  expect(view.buffer).toBeInstanceOf(DataView);
  expect(view.buffer.byteLength).toBe(512);
});

test("a slice of Node's pool and WebAssembly memory are refused and stay what they are", async () => {
  const { mirror } = await mirrors.make();
  const pooled = Buffer.from('x'.repeat(512));
  const error = await failure(mirror.write(pooled, { position: 0, transfer: true }), 'NOT_TRANSFERABLE');
  expect(error.message).toMatch(/Mirror\.alignedBuffer\(length\)/);
  expect(pooled.toString()).toBe('x'.repeat(512));
  const memory = new Uint8Array(webAssemblyMemory());
  await failure(mirror.write(memory, { position: 0, transfer: true }), 'NOT_TRANSFERABLE');
  expect(memory.length).toBe(65536);
  expect(mirror.status().counters['writes']).toBe(0);
});

test('a write that is refused for a wrong argument does not take the buffer', async () => {
  const { mirror } = await mirrors.make();
  const buffer = Mirror.alignedBuffer(512);
  await failure(mirror.write(buffer, { position: 1, transfer: true }), 'MISALIGNED');
  expect(buffer.length).toBe(512);
});

test('a buffer that was handed over and is used again is refused with the reason', async () => {
  const { mirror } = await mirrors.make();
  const buffer = Mirror.alignedBuffer(512);
  const first = mirror.write(buffer, { position: 0, transfer: true });
  const error = await failure(mirror.write(buffer, { position: 0, transfer: true }), 'BUFFER_DETACHED');
  expect(error.message).toMatch(/use the buffer of its result/);
  await first;
});

test('when there is no room the memory comes back with the error', async () => {
  const { mirror } = await mirrors.make();
  const bytes = Buffer.alloc(MIB);
  const pending: Promise<unknown>[] = [];
  let refused = false;
  for (let index = 0; index < 1000 && !refused; index++) {
    const transferred = Mirror.alignedBuffer(4096).fill(index);
    pending.push(mirror.write(bytes, { position: 0 }).catch(() => (refused = true)));
    const outcome = mirror.write(transferred, { position: 0, transfer: true }).then(
      ({ buffer }) => buffer,
      (error: { code: string; buffer: Buffer }) => {
        expect(error.code).toBe('ERR_BLOCKMIRROR_QUEUE_FULL');
        refused = true;
        return error.buffer;
      },
    );
    pending.push(outcome.then((buffer) => expect(buffer.length).toBe(4096)));
    if (index % 50 === 49) await Promise.resolve();
  }
  await Promise.all(pending);
  expect(refused).toBe(true);
});

/** One page; the types of WebAssembly are in the browser's library alone. */
function webAssemblyMemory(): ArrayBuffer {
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: { Memory: new (options: { initial: number }) => { buffer: ArrayBuffer } };
  };
  return new WebAssembly.Memory({ initial: 1 }).buffer;
}

test.each([NaN, -1, 1.5, Infinity, 2 ** 60])('alignedBuffer(%d) is refused', (length) => {
  expect(() => Mirror.alignedBuffer(length)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
});

test('an aligned buffer of no length is an empty buffer', () => {
  expect(Mirror.alignedBuffer(0).length).toBe(0);
});

test('memory that nobody needs any more is let go', async () => {
  const { mirror } = await mirrors.make();
  const binding = loadBinding();
  for (let round = 0; round < 50; round++) {
    const { buffer } = await mirror.write(Mirror.alignedBuffer(MIB), { position: 0, transfer: true });
    expect(buffer.length).toBe(MIB);
  }
  const collect = (globalThis as { gc?: () => void }).gc ?? gcOfThisProcess();
  for (let turn = 0; turn < 50 && binding.memoryBlocks() > 10; turn++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(binding.memoryBlocks()).toBeLessThan(10);
});

function gcOfThisProcess(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
