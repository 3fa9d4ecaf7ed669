/**
 * A slave that hangs: a file on a file system that is frozen takes no write until it is thawed. The mirror goes on without
 * it, ends in bounded time, and takes it back when it answers.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { Mirror, verify } from '../../lib/index';
import { noLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { MIB, describeDeviceKinds, pattern, useMirrors } from './support';

const TIMEOUT_MS = 400;
const mirrors = useMirrors();
const run = (program: string, ...args: string[]): string => execFileSync(program, args, { stdio: 'pipe' }).toString();

/** A small ext4 of its own, mounted in that folder until the test ends. */
class FreezableFolder {
  readonly folder: string;
  private frozen = false;

  constructor(under: string) {
    const image = path.join(under, 'ext4.img');
    this.folder = path.join(under, 'frozen');
    mkdirSync(this.folder);
    run('truncate', '-s', String(64 * MIB), image);
    run('mkfs.ext4', '-q', '-F', image);
    run('mount', '-o', 'loop', image, this.folder);
  }
  freeze(): void {
    run('fsfreeze', '--freeze', this.folder);
    this.frozen = true;
  }
  thaw(): void {
    if (this.frozen) run('fsfreeze', '--unfreeze', this.folder);
    this.frozen = false;
  }
  release(): void {
    this.thaw();
    run('umount', this.folder);
  }
}

const without = noLoopDevices;

describeUnless(without, 'a frozen slave', () => {
  describeDeviceKinds('on', (device) => {
    let frozen: FreezableFolder | null = null;
    let open: Mirror | null = null;
    afterEach(async () => {
      frozen?.thaw();
      await open?.close().catch(() => undefined);
      frozen?.release();
      frozen = null;
    });

    async function mirrorOnFrozen(): Promise<{ mirror: Mirror; log: string }> {
      const paths = mirrors.paths(2);
      frozen = new FreezableFolder(path.dirname(paths.log));
      paths.slaves[0] = path.join(frozen.folder, 'slave');
      await Mirror.create({ ...paths, size: 8 * MIB, device });
      open = await Mirror.open(paths.log, { device, deviceTimeout: TIMEOUT_MS, rejoin: 'manual' });
      return { mirror: open, log: paths.log };
    }

    test('writes go on after at most two deadlines, and it comes back when it is thawed', async () => {
      const { mirror, log } = await mirrorOnFrozen();
      await mirror.write(pattern(4096, 1), { position: 0 });
      frozen?.freeze();
      const began = performance.now();
      await Promise.all(Array.from({ length: 64 }, (_, i) => mirror.write(pattern(4096, i), { position: i * 4096 })));
      await mirror.datasync();
      expect(performance.now() - began).toBeLessThan(2 * TIMEOUT_MS + 1500);
      expect(mirror.status().images.map(({ state }) => state)).toEqual([
        expect.any(String),
        'failed',
        expect.any(String),
      ]);
      const refused = await mirror.resync(['slave1']);
      expect(refused.slaves[0]?.error?.code).toBe('ERR_BLOCKMIRROR_STALLED');
      frozen?.thaw();
      for (let tries = 0; tries < 50; tries++) {
        if ((await mirror.resync(['slave1'])).inSync) break;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect(mirror.status().images[1]?.state).toBe('synchronized');
      await mirror.close();
      expect((await verify(log)).result).toBe('identical');
    });

    test('close ends in bounded time while it is frozen', async () => {
      const { mirror } = await mirrorOnFrozen();
      frozen?.freeze();
      await mirror.write(pattern(4096, 1), { position: 0 });
      const began = performance.now();
      await mirror.close();
      expect(performance.now() - began).toBeLessThan(2500);
    });
  });
});
