// A device that does not answer: the images lie on a file system that is frozen, so that every write to it hangs.
import { randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { NativeMemory } from '../../lib/base/binding';
import { describeDeviceKinds } from '../support/device_kinds';
import { noFreezing, untilThreadsHang, withFreezableFolder } from '../support/freezable_folder';
import { describeUnless } from '../support/skip';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';
import { type Files, RawEngine, binding, expectNoEngineLeft, format, makeFiles, openFiles } from './raw_engine';

describeUnless(noFreezing, 'a device that hangs', () => {
  const folder = useTemporaryFolder();
  expectNoEngineLeft();

  const formatted = async (engine: RawEngine, folderOfImages: string): Promise<Files> => {
    const files = makeFiles(folder(), 16 * MIB, 1, folderOfImages);
    await openFiles(engine, files);
    await format(engine, files);
    return files;
  };

  describeDeviceKinds('by', (device) => {
    test(
      'keeps nobody waiting for long at destroy; once it answers, it lets go of everything',
      () =>
        withFreezableFolder(folder(), async ({ mountPoint, freeze, thaw }) => {
          const engine = new RawEngine(device);
          const files = await formatted(engine, mountPoint);
          freeze();
          // Fewer than the threads device has threads: the read below still gets one.
          const writes = Array.from({ length: 8 }, (_, index) =>
            engine.write(Buffer.alloc(MIB / 2, 1), (index * MIB) / 2),
          );
          const read = engine.start((ticket) => engine.native.submitRead(ticket, MIB, 15 * MIB), true);
          expect(await read).toMatchObject({ name: 'OK' });

          engine.native.destroy(); // it would wait for ever for what is frozen until we thaw it
          expect(binding.openEngines()).toBe(0);
          for (const outcome of await Promise.all(writes)) expect(outcome).toMatchObject({ name: 'CLOSED' });

          thaw();
          const again = new RawEngine(device);
          const opening = { path: files.log, readOnly: false, exclusive: true };
          // The thread that was left to itself holds the locks until the last write has landed.
          for (let attempt = 0; attempt < 30; attempt++) {
            const { name } = await again.attempt('openLog', opening);
            if (name === 'OK') break;
            expect(name).toBe('BUSY');
          }
          await again.command('loadSuperblock', {});
          await again.command('openImages', { paths: files.images, readOnly: false, exclusive: true });
          expect(await again.command('assess', {})).toMatchObject({ clean: false, damaged: false });
          await again.close();
        }),
      60_000,
    );

    test(
      'is not waited for to give back what was handed over: it is kept until the device answered',
      () =>
        withFreezableFolder(folder(), async ({ mountPoint, freeze, thaw }) => {
          const engine = new RawEngine(device);
          const files = await formatted(engine, mountPoint);
          const store = binding.allocateMemory(MIB) as ArrayBuffer;
          const expected = Buffer.from(randomFillSync(new Uint8Array(store)));
          const memory = binding.takeMemory(store) as NativeMemory;
          freeze();
          const write = engine.start((ticket) => engine.native.submitWriteOwned(ticket, memory, 0, MIB, 0, false));
          await untilThreadsHang(2); // one for each image
          engine.native.destroy();
          expect(await write).toMatchObject({ name: 'CLOSED' });
          // A device may still read it: nobody is given it to change.
          expect(binding.giveMemoryBack(memory)).toBeNull();
          thaw();
          const end = performance.now() + 40_000;
          let back: ArrayBuffer | null = null;
          while (back === null && performance.now() < end) {
            await new Promise((resolve) => setTimeout(resolve, 20));
            back = binding.giveMemoryBack(memory);
          }
          expect(Buffer.from(back as ArrayBuffer).equals(expected)).toBe(true);
          for (const image of files.images) expect(readFileSync(image).subarray(0, MIB).equals(expected)).toBe(true);
        }),
      60_000,
    );
  });
});
