/** Real block devices: mirrors over loop devices, and what must be refused on them. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type StateEvent, type Status, Mirror, findUses, inspect, recover } from '../../lib/index';
import { useFailingDevices } from '../support/failing_device';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless, testUnless } from '../support/skip';
import { run } from '../support/tools';
import { MIB, bytesOf, describeDeviceKinds, failure, pattern, useMirrors, STRICT } from './support';

const IMAGE = 16 * MIB;
const LOG = 32 * MIB;

function has(tool: string): string | null {
  const found = spawnSync('sh', ['-c', `PATH="$PATH:/usr/sbin:/sbin"; command -v ${tool}`]).status === 0;
  return found ? null : `needs ${tool}`;
}

describeUnless(noLoopDevices, 'block devices', () => {
  // First of all hooks: what is mounted in the test's folder goes before the folder.
  const undo: (() => void)[] = [];
  afterEach(() => {
    for (const step of undo.splice(0).reverse()) step();
  });
  const mirrors = useMirrors();
  const makeLoop = useLoopDevices();

  /** Three devices; a mirror over them once it is made. */
  function devices(slaves = 1) {
    return {
      log: makeLoop(LOG).path,
      master: makeLoop(IMAGE).path,
      slaves: Array.from({ length: slaves }, () => makeLoop(IMAGE).path),
    };
  }

  describeDeviceKinds('a mirror over', (device) => {
    test('is written, crashes, and is recovered', async () => {
      const paths = devices(2);
      const report = await Mirror.create({ ...paths, device });
      expect(report).toMatchObject({ size: IMAGE - MIB, readBack: true });
      const mirror = await mirrors.open(paths, { device });
      const bytes = pattern(64 * 1024, 1);
      await mirror.write(bytes, { position: MIB, dsync: true });
      mirrors.crash(mirror);
      expect(await recover(paths.log, { device })).toMatchObject({ clean: false, readBack: true });
      for (const path of [paths.master, ...paths.slaves]) {
        expect(bytesOf(path, MIB, bytes.length).equals(bytes)).toBe(true);
      }
    });

    test('writers of bytes share sectors of 4 KiB', async () => {
      const sector = (): string => makeLoop(IMAGE, { sectorSize: 4096 }).path;
      const paths = { log: makeLoop(LOG).path, master: sector(), slaves: [sector()] };
      await Mirror.create({ ...paths, device, readBack: false });
      const mirror = await mirrors.open(paths, { device });
      const parts = Array.from({ length: 64 }, (_, index) => pattern(100, index));
      await Promise.all(
        parts.map(async (part, index) => {
          const start = 4000 + index * 100;
          if (index % 2 === 0) return mirror.write(part, { position: start, unaligned: true, dsync: index % 4 === 0 });
          return pipeline(Readable.from([part]), mirror.createWriteStream({ start }));
        }),
      );
      await mirror.close();
      for (const path of [paths.master, ...paths.slaves]) {
        expect(bytesOf(path, 4000, 6400).equals(Buffer.concat(parts))).toBe(true);
        expect(bytesOf(path, 0, 4000).equals(Buffer.alloc(4000))).toBe(true);
      }
    });

    test('a second opener is refused by name', async () => {
      const paths = devices();
      await Mirror.create({ ...paths, device, readBack: false });
      await mirrors.open(paths, { device });
      const error = await failure(mirrors.open(paths, { device }), 'BUSY');
      expect(error.message).toContain(String(process.pid));
      expect((await inspect(paths.log)).status).toMatchObject({ phase: 'held', owner: { process: process.pid } });
    });
  });

  test('the largest block size of all images rules', async () => {
    const paths = { ...devices(), master: makeLoop(IMAGE, { sectorSize: 4096 }).path };
    const { blockSize } = await Mirror.create({ ...paths, readBack: false });
    expect(blockSize).toBe(4096);
    const mirror = await mirrors.open(paths);
    const error = await failure(mirror.write(Buffer.alloc(512), { position: 0 }), 'MISALIGNED');
    expect(error.message).toMatch(/multiple of 4096 bytes/);
    await mirror.write(Buffer.alloc(4096), { position: 4096 });
  });

  test('a small device holds a log with fewer records, and too small a one is refused', async () => {
    const paths = { ...devices(), log: makeLoop(17 * MIB).path };
    await Mirror.create({ ...paths, readBack: false });
    expect((await inspect(paths.log)).status.logUse.recordCount).toBeLessThan(4096);
    const tiny = makeLoop(MIB).path;
    const again = { ...paths, log: tiny, keepData: true, overwriteSignature: true };
    const error = await failure(Mirror.create(again), 'TOO_SMALL');
    expect(error.image).toBe('log');
  });

  test.each(['master', 'slave1', 'log'])('sectors of the %s that grew since create', async (which) => {
    const paths = devices();
    await Mirror.create({ ...paths, readBack: false });
    const device = { master: paths.master, slave1: paths.slaves[0] as string, log: paths.log }[which] as string;
    run('losetup', '--sector-size', '4096', device);
    if (which === 'log') {
      const mirror = await mirrors.open(paths);
      await mirror.write(pattern(512, 1), { position: 512 });
      await mirror.close();
      return;
    }
    const error = await failure(mirrors.open(paths, STRICT), 'BLOCK_TOO_LARGE');
    expect(error.image).toBe(which);
    expect(error.message).toMatch(/its sectors have 4096 bytes now, and this mirror was made in blocks of 512/);
    const seen = await inspect(paths.log);
    expect(seen.attachable).toBe(which !== 'master');
    expect(seen.status.images.map((image) => image.error?.code).filter((code) => code !== undefined)).toEqual([
      'ERR_BLOCKMIRROR_BLOCK_TOO_LARGE',
    ]);
    run('losetup', '--sector-size', '512', device);
    await mirrors.open(paths);
  });

  test('a read-only device is refused by name', async () => {
    const paths = { ...devices(), slaves: [makeLoop(IMAGE, { readOnly: true }).path] };
    const error = await failure(Mirror.create(paths), 'READ_ONLY_DEVICE');
    expect(error.image).toBe('slave1');
    expect(error.message).toMatch(/blockdev --setrw/);
  });

  test('a mounted device is refused whatever is asked for, and named with its mount point', async () => {
    const paths = devices();
    run('mkfs.ext4', '-q', paths.master);
    const mountPoint = join(mirrors.folder(), 'mnt');
    mkdirSync(mountPoint);
    run('mount', paths.master, mountPoint);
    undo.push(() => run('umount', mountPoint));
    for (const wrong of [paths, { ...paths, log: paths.master, master: paths.log }]) {
      const error = await failure(Mirror.create({ ...wrong, keepData: true, overwriteSignature: true }), 'MOUNTED');
      expect(error.message).toContain(mountPoint);
      expect(error.message).toMatch(/no option to override/);
    }
    expect(await findUses(paths.master)).toEqual([
      { kind: 'mounted', detail: `it is mounted on ${mountPoint}`, release: `umount ${mountPoint}` },
    ]);
  });

  test('the file below a mounted loop device is refused too', async () => {
    const loop = makeLoop(IMAGE);
    run('mkfs.ext4', '-q', loop.path);
    const mountPoint = join(mirrors.folder(), 'mnt');
    mkdirSync(mountPoint);
    run('mount', loop.path, mountPoint);
    undo.push(() => run('umount', mountPoint));
    const error = await failure(Mirror.create({ ...devices(), master: loop.backingFile, keepData: true }), 'MOUNTED');
    expect(error.message).toContain(`${loop.path} is mounted on ${mountPoint}`);
  });

  test('an image that was mounted since is refused at open', async () => {
    const paths = devices();
    run('mkfs.ext4', '-q', '-F', paths.master, '8M');
    await Mirror.create({ ...paths, keepData: true, readBack: false });
    const mountPoint = join(mirrors.folder(), 'mnt');
    mkdirSync(mountPoint);
    run('mount', '-o', 'ro', paths.slaves[0] as string, mountPoint);
    undo.push(() => run('umount', mountPoint));
    const error = await failure(mirrors.open(paths), 'MOUNTED');
    expect(error.image).toBe('slave1');
  });

  testUnless(has('swapon'), 'swap is refused, and its signature is found before', async () => {
    const paths = devices();
    run('mkswap', paths.master);
    const error = await failure(Mirror.create(paths), 'SIGNATURE_FOUND');
    expect(error.message).toMatch(/swap/);
    if (spawnSync('swapon', [paths.master]).status !== 0) return;
    undo.push(() => run('swapoff', paths.master));
    await failure(Mirror.create({ ...paths, keepData: true }), 'IN_USE');
    expect(await findUses(paths.master)).toMatchObject([{ kind: 'swap' }]);
  });

  test('one device under two paths, and a device beside the file below it', async () => {
    const loop = makeLoop(IMAGE);
    const link = join(mirrors.folder(), 'link');
    symlinkSync(loop.path, link);
    const node = join(mirrors.folder(), 'node');
    const [major, minor] = run('lsblk', '-n', '-o', 'MAJ:MIN', loop.path).trim().split(':');
    run('mknod', node, 'b', major as string, minor as string);
    for (const other of [link, node, loop.backingFile]) {
      const paths = { ...devices(), master: loop.path, slaves: [other] };
      await failure(Mirror.create(paths), 'SAME_DEVICE');
    }
  });

  test('two loop devices over parts of one file that overlap', async () => {
    const { backingFile, path: whole } = makeLoop(IMAGE);
    const part = run('losetup', '--find', '--show', '--offset', String(8 * MIB), backingFile).trim();
    undo.push(() => run('losetup', '--detach', part));
    const error = await failure(Mirror.create({ ...devices(), master: whole, slaves: [part] }), 'OVERLAPPING');
    expect(error.message).toContain(part);
  });

  testUnless(has('sfdisk'), 'a partition beside its whole disk, and partition tables', async () => {
    const { backingFile } = makeLoop(64 * MIB);
    spawnSync('sh', [
      '-c',
      `printf 'label: dos\\n,20M\\n,20M\\n' | PATH="$PATH:/usr/sbin:/sbin" sfdisk -q ${backingFile}`,
    ]);
    const disk = run('losetup', '--find', '--show', backingFile).trim();
    undo.push(() => run('losetup', '--detach', disk));
    // Added by hand: not every kernel reads partition tables by itself.
    run('partx', '--add', disk);
    undo.push(() => run('partx', '--delete', disk));
    const [first, second] = [`${disk}p1`, `${disk}p2`];
    const { log, slaves } = devices();
    await failure(Mirror.create({ log, master: disk, slaves: [first], keepData: true }), 'OVERLAPPING');
    const error = await failure(Mirror.create({ log, master: disk, slaves }), 'SIGNATURE_FOUND');
    expect(error.message).toMatch(/dos partition table/);
    await Mirror.create({ log, master: first, slaves: [second], readBack: false });
    const mirror = await mirrors.open({ log, master: first, slaves: [second] });
    await mirror.write(pattern(4096, 1), { position: 0 });
    await mirror.close();
  });

  testUnless(has('sfdisk'), 'a GPT is never kept: its second copy stands where the label goes', async () => {
    const paths = devices();
    spawnSync('sh', ['-c', `printf 'label: gpt\\n,4M\\n' | PATH="$PATH:/usr/sbin:/sbin" sfdisk -q ${paths.master}`]);
    const error = await failure(Mirror.create({ ...paths, keepData: true }), 'SIGNATURE_FOUND');
    expect(error.message).toMatch(/gpt partition table.*into the label's place/);
  });

  test('devices that changed their names are found by their labels', async () => {
    const paths = devices();
    await Mirror.create({ ...paths, readBack: false });
    // What the kernel does at a reboot: the path that was remembered is another device now.
    const other = makeLoop(IMAGE).path;
    const fileBelow = (path: string): string => run('losetup', '-n', '-O', 'BACK-FILE', path).trim();
    const swapped = fileBelow(paths.master);
    const otherFile = fileBelow(other);
    run('losetup', '--detach', paths.master);
    run('losetup', '--detach', other);
    run('losetup', '--direct-io=on', paths.master, otherFile);
    run('losetup', '--direct-io=on', other, swapped);
    const again = await mirrors.open(paths);
    expect(again.status().images[0]?.path).toBe(other);
    await again.close();
    expect((await inspect(paths.log)).status.images[0]).toMatchObject({ path: other, state: 'synchronized' });
  });
});

describeUnless(noLoopDevices, 'a slave that fails', () => {
  const mirrors = useMirrors();
  const makeLoop = useLoopDevices();
  const makeFailing = useFailingDevices();

  /** @param others slaves that are well, beside one that fails from here on */
  async function broken(others: string[]) {
    const failing = makeFailing(IMAGE);
    const slaves = [failing.path, ...others];
    const paths = { log: makeLoop(LOG).path, master: makeLoop(IMAGE).path, slaves };
    await Mirror.create({ ...paths, readBack: false });
    const mirror = await mirrors.open(paths);
    failing.breakIt();
    return { mirror, paths };
  }

  test('ends a create, also beside one that is well; the same create goes on without further consent', async () => {
    const failing = makeFailing(IMAGE);
    const slaves = [makeLoop(IMAGE).path, failing.path];
    const paths = { log: makeLoop(LOG).path, master: makeLoop(IMAGE).path, slaves };
    failing.breakIt();
    const error = await failure(Mirror.create(paths), 'SLAVE_FAILED');
    expect(error).toMatchObject({ image: 'slave2', path: failing.path });
    expect(error.message).toMatch(/create needs all slaves.*there is no mirror yet/);
    expect((await inspect(paths.log)).status.phase).toBe('creating');
    failing.mendIt();
    const report = await Mirror.create(paths);
    expect(report.images.map(({ state }) => state)).toEqual(['synchronized', 'synchronized', 'synchronized']);
  });

  test('is told by events and status, and the mirror goes on without it', async () => {
    const { mirror, paths } = await broken([makeLoop(IMAGE).path]);
    const states: StateEvent[] = [];
    mirror.on('state', (event) => states.push(event));
    const degraded = new Promise<Status>((resolve) => mirror.once('degraded', resolve));
    const bytes = pattern(65536, 1);
    await expect(mirror.write(bytes, { position: MIB })).resolves.toMatchObject({ bytesWritten: 65536 });
    const status = await degraded;
    expect(states).toEqual([{ image: 'slave1', from: 'in-sync', to: 'failed', reason: 'write-error' }]);
    expect(status.images[1]).toMatchObject({ name: 'slave1', state: 'failed' });
    expect(status.images[1]?.error?.message).toMatch(/EIO|ENOSPC/);
    expect(status.generation.counter).toBe(3);
    await mirror.write(bytes, { position: 2 * MIB });
    await mirror.close();
    expect((await inspect(paths.log)).status.images.map((image) => image.state)).toEqual([
      'synchronized',
      'failed',
      'synchronized',
    ]);
    const again = await mirrors.open(paths);
    expect(again.status().phase).toBe('running');
    expect(bytesOf(paths.slaves[1] as string, MIB, 65536).equals(bytes)).toBe(true);
  });

  test('the last of them: the master goes on alone, and every write of it is taken over later', async () => {
    const { mirror } = await broken([]);
    await mirror.write(pattern(65536, 1), { position: MIB });
    await mirror.write(pattern(512, 1), { position: 9 * MIB });
    await mirror.datasync();
    expect(mirror.status()).toMatchObject({ minInSync: 1, images: [{}, { state: 'failed', debt: 'map' }] });
    await expect(mirror.read(Buffer.alloc(512), { position: 0 })).resolves.toMatchObject({ bytesRead: 512 });
  });
});

describeUnless(noLoopDevices, 'a master that fails', () => {
  const mirrors = useMirrors();
  const makeLoop = useLoopDevices();
  const makeFailing = useFailingDevices();

  test('stops the mirror with a clear error, told by an event and not by an exception', async () => {
    const failing = makeFailing(IMAGE);
    const master = failing.path;
    const paths = { log: makeLoop(LOG).path, master, slaves: [makeLoop(IMAGE).path] };
    await Mirror.create({ ...paths, readBack: false });
    const mirror = await mirrors.open(paths);
    const degraded = new Promise<Status>((resolve) => mirror.once('degraded', resolve));
    failing.breakIt();
    const error = await failure(mirror.write(pattern(65536, 1), { position: MIB }), 'MASTER_FAILED');
    expect(error).toMatchObject({ image: 'master', path: master });
    expect(error.cause).toMatchObject({ syscall: 'write', path: master });
    expect((await degraded).phase).toBe('stopped');
    expect(mirror.status()).toMatchObject({
      stopped: { code: 'ERR_BLOCKMIRROR_MASTER_FAILED' },
      images: [{ state: 'failed', error: { code: 'ERR_BLOCKMIRROR_MASTER_FAILED' } }, { state: 'consistent' }],
    });
    await failure(mirror.write(pattern(512, 1), { position: 0 }), 'MASTER_FAILED');
    // From outside too: while the mirror that stopped is still open, and after it was let go.
    const held = (await inspect(paths.log)).status;
    expect(held).toMatchObject({ phase: 'stopped', stopped: { code: 'ERR_BLOCKMIRROR_MASTER_FAILED' } });
    await mirror.close();
    const { status } = await inspect(paths.log);
    expect(status).toMatchObject({ phase: 'unclean', images: [{ state: 'failed' }, { state: 'consistent' }] });
    expect(status.stopped?.message).toMatch(/EIO|ENOSPC/);
    expect(status.images[0]?.changedAt).not.toBeNull();
    // The device answers again: the next opening takes it back.
    failing.mendIt();
    await recover(paths.log);
    expect((await inspect(paths.log)).status).toMatchObject({ phase: 'closed', stopped: null });
  });
});
