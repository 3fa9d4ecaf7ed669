/** I9 by every path: the same bytes through a loop device, another mount namespace, an overlay, a masked /sys. */
import { mkdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Mirror, findUses, inspect } from '../../lib/index';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { commandIn, noNamespaces, runIn } from '../support/namespaces';
import { describeUnless } from '../support/skip';
import { run } from '../support/tools';
import { writeFileInFull } from '../support/temporary_folder';
import { MIB, type Paths, failure, pattern, useMirrors } from './support';

const IMAGE = 16 * MIB;
const LOG = 32 * MIB;

describeUnless(noLoopDevices ?? noNamespaces, 'one opener', () => {
  const undo: (() => void)[] = [];
  afterEach(() => {
    for (const step of undo.splice(0).reverse()) step();
  });
  const mirrors = useMirrors();
  const makeLoop = useLoopDevices();

  function loopOver(path: string): string {
    const device = run('losetup', '--find', '--show', path).trim();
    undo.push(() => run('losetup', '--detach', device));
    return device;
  }

  test('a mirror over files, and the loop devices over them', async () => {
    const { mirror, paths } = await mirrors.make();
    const log = loopOver(paths.log);
    const error = await failure(
      Mirror.open(log, { images: { master: paths.master, slave1: paths.slaves[0] as string } }),
      'BUSY',
    );
    expect(error).toMatchObject({ image: 'log', path: log });
    expect(error.message).toContain(`process ${process.pid}`);
    expect((await inspect(log)).status.phase).toBe('held');
    const slave = loopOver(paths.slaves[0] as string);
    const other = { log: makeLoop(LOG).path, master: makeLoop(IMAGE).path, slaves: [slave] };
    const refused = await failure(Mirror.create({ ...other, overwriteSignature: true, readBack: false }), 'BUSY');
    expect(refused).toMatchObject({ image: 'slave1', path: slave });
    await mirror.write(pattern(4096, 1), { position: 0, dsync: true });
    await mirror.close();
  });

  test('a mirror over loop devices, and the files below them', async () => {
    const devices = [makeLoop(LOG), makeLoop(IMAGE), makeLoop(IMAGE)] as const;
    const [log, master, slave] = devices;
    await Mirror.create({ log: log.path, master: master.path, slaves: [slave.path], readBack: false });
    const mirror = await mirrors.open({ log: log.path, master: master.path, slaves: [slave.path] });
    const images = { master: master.backingFile, slave1: slave.backingFile };
    const error = await failure(Mirror.open(log.backingFile, { images }), 'BUSY');
    expect(error.message).toContain(`process ${process.pid}`);
    await mirror.close();
    await (await Mirror.open(log.backingFile, { images })).close();
  });

  test('an image file whose loop device is mounted in another mount namespace is named with the place', async () => {
    const loop = makeLoop(IMAGE);
    run('mkfs.ext4', '-q', '-F', '-E', 'nodiscard', loop.path, '8M');
    const mountPoint = join(mirrors.folder(), 'mnt');
    mkdirSync(mountPoint);
    const elsewhere = await runIn(
      { flags: '-m', first: `mount --make-rprivate / && mount ${loop.path} '${mountPoint}'` },
      'echo mounted; exec sleep 60',
    );
    try {
      for (const master of [loop.backingFile, loop.path]) {
        const paths = { log: makeLoop(LOG).path, master, slaves: [makeLoop(IMAGE).path], keepData: true };
        const error = await failure(Mirror.create({ ...paths, size: IMAGE - MIB, readBack: false }), 'MOUNTED');
        expect(error.image).toBe('master');
        expect(error.message).toContain(`is mounted on ${mountPoint} in the mount namespace of process`);
      }
      expect(await findUses(loop.backingFile)).toMatchObject([{ kind: 'mounted' }]);
    } finally {
      await elsewhere.kill();
    }
    expect(await findUses(loop.backingFile)).toEqual([]);
  });

  test('the files of an overlay and the real ones below are opened by one', async () => {
    const folder = mirrors.folder();
    const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => join(folder, name));
    for (const path of [lower, upper, work, merged]) mkdirSync(path as string);
    const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    run('mount', '-t', 'overlay', 'overlay', '-o', options, merged as string);
    undo.push(() => run('umount', merged as string));
    const paths = (at: string): Paths => ({
      log: join(at, 'mirror.log'),
      master: join(at, 'master.img'),
      slaves: [join(at, 'slave1.img')],
    });
    const above = paths(merged as string);
    const below = paths(upper as string);
    await Mirror.create({ ...above, size: 8 * MIB, ringRecords: 64, readBack: false });
    for (const [first, second] of [
      [above, below],
      [below, above],
    ] as const) {
      const mirror = await mirrors.open(first);
      const error = await failure(mirrors.open(second), 'BUSY');
      expect(error).toMatchObject({ image: 'log', path: second.log });
      await mirror.close();
    }
    await (await mirrors.open(below)).close();
  });

  test('where /sys is masked, block devices are refused with the reason and files are not', async () => {
    const masked = { flags: '-m', first: 'mount --make-rprivate / && mount -t tmpfs tmpfs /sys' };
    const paths = { log: makeLoop(LOG).path, master: makeLoop(IMAGE).path, slaves: [makeLoop(IMAGE).path] };
    await Mirror.create({ ...paths, readBack: false });
    const refused = await commandIn(masked, ['verify', paths.log]);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toMatch(/\/sys does not say what it lies on/);
    expect(refused.stderr).toMatch(/mount -t sysfs/);
    const files = await mirrors.create();
    expect(await commandIn(masked, ['verify', files.log])).toMatchObject({ exitCode: 0 });
  });

  test('a loop device whose file cannot be reached is refused with the path that is missing', async () => {
    const folder = join(mirrors.folder(), 'hidden');
    mkdirSync(folder);
    const log = writeFileInFull(join(folder, 'log.img'), LOG);
    const paths = { log: loopOver(log), master: makeLoop(IMAGE).path, slaves: [makeLoop(IMAGE).path] };
    await Mirror.create({ ...paths, readBack: false });
    const hidden = { flags: '-m', first: `mount --make-rprivate / && mount -t tmpfs tmpfs '${folder}'` };
    const refused = await commandIn(hidden, ['verify', paths.log]);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain(join(basename(dirname(log)), basename(log)));
    expect(refused.stderr).toMatch(/bind mount of its folder/);
    expect(await commandIn({ flags: '-m' }, ['verify', paths.log])).toMatchObject({ exitCode: 0 });
  });
});
