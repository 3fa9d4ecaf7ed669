// A device that does not answer: the images lie on a file system that is frozen, so that every write to it hangs.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { noLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { MIB, useTemporaryFolder, writeFileInFull } from '../support/temporary_folder';
import {
  type Files,
  RawEngine,
  binding,
  devices,
  expectNoEngineLeft,
  format,
  openFiles,
  ringRecords,
} from './raw_engine';

const noFreezing =
  noLoopDevices ??
  (['mkfs.ext4', 'fsfreeze'].every((tool) => spawnSync(tool, ['-V']).error === undefined)
    ? null
    : 'needs mkfs.ext4 and fsfreeze (packages e2fsprogs and util-linux)');

describeUnless(noFreezing, 'a device that hangs', () => {
  const folder = useTemporaryFolder();
  expectNoEngineLeft();

  /** Runs the test with a file system that it may freeze; thawed and unmounted whatever happens. */
  const withFileSystem = async (test: (mountPoint: string, freeze: () => void, thaw: () => void) => Promise<void>) => {
    const mountPoint = path.join(folder(), 'mounted');
    const disk = writeFileInFull(path.join(folder(), 'disk'), 96 * MIB);
    mkdirSync(mountPoint);
    execFileSync('mkfs.ext4', ['-q', '-m', '0', disk]);
    execFileSync('mount', ['-o', 'loop', disk, mountPoint]);
    let frozen = false;
    const thaw = () => {
      if (frozen) execFileSync('fsfreeze', ['--unfreeze', mountPoint]);
      frozen = false;
    };
    const freeze = () => {
      execFileSync('fsfreeze', ['--freeze', mountPoint]);
      frozen = true;
    };
    try {
      await test(mountPoint, freeze, thaw);
    } finally {
      thaw();
      execFileSync('umount', [mountPoint]);
    }
  };

  test.each(devices)(
    'keeps nobody waiting for long at destroy; once it answers, %s lets go of everything',
    (device) =>
      withFileSystem(async (mountPoint, freeze, thaw) => {
        const length = 16 * MIB + binding.limits.labelAreaLength;
        const files: Files = {
          log: writeFileInFull(path.join(folder(), 'log'), binding.logLength(ringRecords)),
          images: ['master', 'slave'].map((name) => writeFileInFull(path.join(mountPoint, name), length)),
        };
        const engine = new RawEngine(device);
        await openFiles(engine, files);
        await format(engine, files);
        freeze();
        // Fewer than the threads device has threads: the read below still gets one.
        const writes = Array.from({ length: 8 }, (_, index) =>
          engine.write(Buffer.alloc(MIB / 2, 1), (index * MIB) / 2),
        );
        const read = engine.start((slot) => engine.native.submitRead(slot, MIB, 15 * MIB), true);
        expect(await read).toMatchObject({ name: 'OK' });

        const start = performance.now();
        engine.native.destroy();
        expect(performance.now() - start).toBeLessThan(10_000);
        expect(binding.openEngines()).toBe(0);
        for (const outcome of await Promise.all(writes)) expect(outcome).toMatchObject({ name: 'CLOSED' });

        thaw();
        const again = new RawEngine(device);
        const opening = { path: files.log, readOnly: false, exclusive: true };
        // The thread that was left to itself holds the locks until the last write has landed.
        for (let attempt = 0; attempt < 5; attempt++) {
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
});
