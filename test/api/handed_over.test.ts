// I7: memory that was handed over is what a device reads, whatever ends meanwhile.
import { once } from 'node:events';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { Mirror } from '../../lib/index';
import { RawEngine, expectNoEngineLeft } from '../addon/raw_engine';
import { noFreezing, untilThreadsHang, withFreezableFolder } from '../support/freezable_folder';
import { describeUnless } from '../support/skip';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';
import { bytesOf, describeDeviceKinds } from './support';

const WRITES = 16;
const OLD = 0x4f;
const HANDED_OVER = 0x41;
const FOREIGN = 0x53;

/** How often each fill begins a sector of which every byte is the same. */
function fills(image: string): Map<number, number> {
  const bytes = bytesOf(image, 0, WRITES * MIB);
  const counts = new Map<number, number>();
  for (let at = 0; at < bytes.length; at += 512) {
    const fill = bytes[at] as number;
    if (!bytes.subarray(at, at + 512).equals(Buffer.alloc(512, fill))) throw new Error(`mixed bytes at ${at}`);
    counts.set(fill, (counts.get(fill) ?? 0) + 1);
  }
  return counts;
}

/** The engine that was left to itself holds the lock of the log until its last write has landed. */
async function untilLetGo(log: string): Promise<void> {
  const engine = new RawEngine('threads');
  for (let attempt = 0; attempt < 20; attempt++) {
    const { name } = await engine.attempt('openLog', { path: log, readOnly: false, exclusive: true });
    if (name === 'OK') return engine.close();
    expect(name).toBe('BUSY');
  }
}

describeUnless(noFreezing, 'memory that was handed over to a device that hangs', () => {
  const folder = useTemporaryFolder();
  expectNoEngineLeft();

  describeDeviceKinds('by', (device) => {
    test.each(['aligned', 'any'])(
      'stays when the worker that gave it ends, and all the memory of the process is used again: %s',
      (memory) =>
        withFreezableFolder(folder(), async ({ mountPoint, freeze, thaw }) => {
          const log = path.join(folder(), 'log');
          const [master, slave] = ['master', 'slave'].map((name) => path.join(mountPoint, name)) as [string, string];
          await Mirror.create({ log, master, slaves: [slave], size: 32 * MIB, ringRecords: 64 });
          const filling = await Mirror.open(log);
          await filling.write(Buffer.alloc(WRITES * MIB, OLD), { position: 0 });
          await filling.close();

          const worker = new Worker(path.join(__dirname, 'handed_over_worker.cjs'), {
            workerData: { log, device, writes: WRITES, length: MIB, fill: HANDED_OVER, memory },
          });
          await once(worker, 'message');
          freeze();
          worker.postMessage('go');
          await once(worker, 'message');
          await untilThreadsHang(2); // one for each image
          await worker.terminate();

          // Whoever takes the place of what was freed writes into it.
          const others = Array.from({ length: 200 }, (_, index) =>
            Buffer.allocUnsafeSlow(MIB + (index % 5) * 4096).fill(FOREIGN),
          );
          thaw();
          await untilLetGo(log);
          expect(others.every((other) => other[0] === FOREIGN)).toBe(true);
          for (const image of [master, slave]) {
            const found = fills(image);
            expect([...found.keys()].filter((fill) => fill !== OLD && fill !== HANDED_OVER)).toEqual([]);
            expect(found.get(HANDED_OVER)).toBeGreaterThan(0);
          }
          await (await Mirror.open(log)).close();
          expect(bytesOf(master, 0, WRITES * MIB).equals(bytesOf(slave, 0, WRITES * MIB))).toBe(true);
        }),
      60_000,
    );
  });
});
