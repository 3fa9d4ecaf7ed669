/** I8 and I9 through the API: no stale or foreign image, no second opener, and what the error says. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Mirror, inspect, recover } from '../../lib/index';
import { forgeLabel, forgeLog } from '../support/forge';
import { noLoopDevices } from '../support/loop_device';
import { testUnless } from '../support/skip';
import { writeFileInFull } from '../support/temporary_folder';
import { bytesOfVector } from '../support/vectors';
import {
  MIB,
  MIRROR_SIZE,
  type Paths,
  describeDeviceKinds,
  failure,
  overwrite,
  pattern,
  useMirrors,
  STRICT,
} from './support';

const mirrors = useMirrors();

function copyOf(path: string): string {
  const copy = join(mirrors.folder(), 'copies', basename(path));
  mkdirSync(join(mirrors.folder(), 'copies'), { recursive: true });
  copyFileSync(path, copy);
  return copy;
}

async function writeOnce(paths: Paths, seed: number): Promise<void> {
  const mirror = await mirrors.open(paths);
  await mirror.write(pattern(4096, seed), { position: 0 });
  await mirror.close();
}

describeDeviceKinds('on', (device) => {
  test('a second opener is refused, and told who holds the mirror', async () => {
    const { paths } = await mirrors.make({ device });
    const error = await failure(mirrors.open(paths, { device }), 'BUSY');
    expect(error.message).toContain(`process ${process.pid} (`);
    expect(error.message).toMatch(/since 20\d\d-/);
    expect(error.image).toBe('log');
  });

  test('a mirror that was closed, or whose engine has ended, can be opened at once', async () => {
    const { mirror, paths } = await mirrors.make({ device });
    await mirror.close();
    const again = await mirrors.open(paths, { device });
    mirrors.crash(again);
    await mirrors.open(paths, { device });
  });
});

test('an image that another mirror holds is refused with its name', async () => {
  const { paths } = await mirrors.make();
  const other = { log: join(mirrors.folder(), 'other.log'), master: join(mirrors.folder(), 'other.img') };
  const slave = paths.slaves[0] as string;
  const error = await failure(
    mirrors.create({ ...other, slaves: [slave], overwriteSignature: true }).catch((reason: unknown) => {
      expect(readFileSync(slave).includes('BLKMIRIM')).toBe(true);
      throw reason;
    }),
    'BUSY',
  );
  expect(error.image).toBe('slave1');
  expect(error.message).toContain(String(process.pid));
});

test('random bytes are not a log', async () => {
  const log = writeFileInFull(join(mirrors.folder(), 'noise'), 16 * MIB, 'random');
  const error = await failure(mirrors.open({ ...mirrors.paths(), log }), 'NOT_A_LOG');
  expect(error.path).toBe(log);
  await failure(inspect(log), 'NOT_A_LOG');
  await failure(recover(log), 'NOT_A_LOG');
});

test('a log whose superblocks are both damaged says so; with one whole copy it opens', async () => {
  const paths = await mirrors.create();
  overwrite(paths.log, 200, pattern(64, 1));
  await (await mirrors.open(paths)).close();
  overwrite(paths.log, 200, pattern(64, 2));
  overwrite(paths.log, 64 * 1024 + 200, pattern(64, 3));
  await failure(mirrors.open(paths), 'LOG_DAMAGED');
});

/** As a later version would write it: whole, and of another layout. */
const makeLaterVersion = (block: Buffer): void => {
  block.writeUInt32LE(3, 8);
};

test('a log of a later version of the format is refused by name', async () => {
  const paths = await mirrors.create();
  forgeLog(paths.log, makeLaterVersion);
  const error = await failure(mirrors.open(paths), 'UNKNOWN_VERSION');
  expect(error.path).toBe(paths.log);
  await failure(recover(paths.log), 'UNKNOWN_VERSION');
  await failure(inspect(paths.log), 'UNKNOWN_VERSION');
});

test('a log of format 1 is refused by name, with how the mirror is made anew', async () => {
  const paths = await mirrors.create();
  const superblock = bytesOfVector('version-1-superblock');
  for (const copy of [0, 64 * 1024]) {
    overwrite(paths.log, copy, Buffer.alloc(40_960));
    overwrite(paths.log, copy, superblock);
  }
  const error = await failure(mirrors.open(paths), 'UNKNOWN_VERSION');
  expect(error.message).toContain('version 1 of the format');
  expect(error.remedy).toContain('create --keep-data');
  await Mirror.create({ ...paths, keepData: true, overwriteSignature: true, ringRecords: 64 });
  await (await mirrors.open(paths)).close();
});

test('an image whose label is of a later version of the format is refused by name', async () => {
  const paths = await mirrors.create();
  forgeLabel(paths.slaves[0] as string, MIRROR_SIZE, makeLaterVersion);
  expect((await failure(mirrors.open(paths), 'UNKNOWN_VERSION')).image).toBe('slave1');
});

test('an image is no log', async () => {
  const paths = await mirrors.create();
  await failure(mirrors.open({ ...paths, log: paths.master }), 'NOT_A_LOG');
});

test('an image of another mirror', async () => {
  const paths = await mirrors.create();
  const folder = join(mirrors.folder(), 'other');
  mkdirSync(folder);
  const other = join(folder, 'slave.img');
  await mirrors.create({ log: join(folder, 'log'), master: join(folder, 'master.img'), slaves: [other] });
  const error = await failure(mirrors.open(paths, { ...STRICT, images: { slave1: other } }), 'FOREIGN_IMAGE');
  expect(error.image).toBe('slave1');
  expect(error.path).toBe(other);
  expect(error.message).toContain(`--image slave1=${paths.slaves[0]}`);
});

test('an image without a label', async () => {
  const paths = await mirrors.create();
  const blank = writeFileInFull(join(mirrors.folder(), 'blank.img'), MIRROR_SIZE + MIB);
  const error = await failure(mirrors.open(paths, { ...STRICT, images: { slave1: blank } }), 'NO_LABEL');
  expect(error.image).toBe('slave1');
});

test('master and slave swapped', async () => {
  const paths = await mirrors.create();
  const images = { master: paths.slaves[0] as string, slave1: paths.master };
  await failure(mirrors.open(paths, { images }), 'SWAPPED_IMAGES');
});

test('an image put back from an older copy', async () => {
  const paths = await mirrors.create();
  const slave = paths.slaves[0] as string;
  const old = copyOf(slave);
  await writeOnce(paths, 1);
  copyFileSync(old, slave);
  const error = await failure(mirrors.open(paths, STRICT), 'STALE_IMAGE');
  expect(error.image).toBe('slave1');
});

test('a log put back from an older copy', async () => {
  const paths = await mirrors.create();
  const old = copyOf(paths.log);
  await writeOnce(paths, 1);
  copyFileSync(old, paths.log);
  await failure(mirrors.open(paths), 'STALE_LOG');
});

test('a log and images that both moved on', async () => {
  const paths = await mirrors.create();
  const old = [paths.log, paths.master, ...paths.slaves].map((path) => [copyOf(path), path] as const);
  await writeOnce(paths, 1);
  const moved = readFileSync(paths.slaves[0] as string);
  for (const [copy, path] of old) copyFileSync(copy, path);
  await writeOnce(paths, 2);
  overwrite(paths.slaves[0] as string, 0, moved);
  await failure(mirrors.open(paths), 'DIVERGED');
});

describe('a recovery of an unclean mirror refuses, and leaves as it was,', () => {
  async function unclean(): Promise<{ paths: Paths; slave: string; old: string }> {
    const paths = await mirrors.create();
    const slave = paths.slaves[0] as string;
    const old = copyOf(slave);
    const mirror = await mirrors.open(paths);
    await mirror.write(pattern(4096, 1), { position: 0 });
    mirrors.crash(mirror);
    return { paths, slave, old };
  }

  test('an image put back from an older copy', async () => {
    const { paths, slave, old } = await unclean();
    copyFileSync(old, slave);
    await failure(recover(paths.log, STRICT), 'STALE_IMAGE');
    expect(readFileSync(slave).equals(readFileSync(old))).toBe(true);
  });

  test('an image of another mirror', async () => {
    const { paths } = await unclean();
    const at = (name: string): string => join(mirrors.folder(), 'copies', name);
    await mirrors.create({ log: at('other.log'), master: at('other.img'), slaves: [at('other_slave.img')] });
    const before = readFileSync(at('other_slave.img'));
    await failure(recover(paths.log, { images: { slave1: at('other_slave.img') } }), 'FOREIGN_IMAGE');
    expect(readFileSync(at('other_slave.img')).equals(before)).toBe(true);
  });
});

testUnless(
  noLoopDevices,
  'an image that is a file below a mounted loop device is refused by name at open',
  async () => {
    const paths = await mirrors.create();
    const run = (tool: string, ...args: string[]): string => execFileSync(tool, args, { encoding: 'utf8' }).trim();
    const device = run('losetup', '--find', '--show', '--sizelimit', String(MIRROR_SIZE), paths.slaves[0] as string);
    const mountPoint = join(mirrors.folder(), 'mounted');
    mkdirSync(mountPoint);
    try {
      run('mkfs.ext4', '-q', '-F', device);
      run('mount', device, mountPoint);
      const error = await failure(mirrors.open(paths), 'MOUNTED');
      expect(error.image).toBe('slave1');
      expect(error.message).toContain(mountPoint);
    } finally {
      spawnSync('umount', [mountPoint]);
      run('losetup', '--detach', device);
    }
  },
);

testUnless(
  noLoopDevices,
  'an image that moved is found at the loop device over its file, not undecided between the two',
  async () => {
    const paths = await mirrors.create();
    const moved = join(mirrors.folder(), 'moved.img');
    renameSync(paths.slaves[0] as string, moved);
    const device = execFileSync('losetup', ['--find', '--show', '--direct-io=on', moved], { encoding: 'utf8' }).trim();
    try {
      const mirror = await mirrors.open(paths);
      const { images } = mirror.status();
      await mirror.close();
      expect(images[1]).toMatchObject({ path: device, state: 'synchronized' });
    } finally {
      execFileSync('losetup', ['--detach', device]);
    }
  },
);

describe('where the images are', () => {
  test('a file whose first label is lost is found by the second one', async () => {
    const paths = await mirrors.create();
    const renamed = join(mirrors.folder(), 'renamed.img');
    overwrite(paths.slaves[0] as string, MIRROR_SIZE, Buffer.alloc(4096));
    renameSync(paths.slaves[0] as string, renamed);
    const mirror = await mirrors.open(paths);
    expect(mirror.status().images[1]?.path).toBe(renamed);
  });

  test('a file that was renamed beside the log is found by its label, and remembered', async () => {
    const paths = await mirrors.create();
    const renamed = join(mirrors.folder(), 'renamed.img');
    renameSync(paths.slaves[0] as string, renamed);
    const mirror = await mirrors.open(paths);
    expect(mirror.status().images[1]?.path).toBe(renamed);
    await mirror.close();
    expect((await inspect(paths.log)).status.images[1]).toMatchObject({ path: renamed, state: 'synchronized' });
  });

  test('a file elsewhere is missing until it is named, and remembered from then on', async () => {
    const paths = await mirrors.create();
    const elsewhere = join(mirrors.folder(), 'elsewhere');
    mkdirSync(elsewhere);
    const there = join(elsewhere, 'slave.img');
    renameSync(paths.slaves[0] as string, there);
    const error = await failure(mirrors.open(paths, STRICT), 'IMAGE_MISSING');
    expect(error.message).toMatch(/--image slave1=PATH/);
    expect((await inspect(paths.log)).status.images[1]).toMatchObject({
      state: 'failed',
      error: { code: 'ERR_BLOCKMIRROR_IMAGE_MISSING' },
    });
    await (await mirrors.open(paths, { images: { slave1: there } })).close();
    await mirrors.open(paths);
  });

  test('two copies that both carry the label: neither is chosen', async () => {
    const paths = await mirrors.create();
    const slave = paths.slaves[0] as string;
    copyFileSync(slave, join(mirrors.folder(), 'one.img'));
    copyFileSync(slave, join(mirrors.folder(), 'two.img'));
    rmSync(slave);
    const error = await failure(mirrors.open(paths, STRICT), 'IMAGE_MISSING');
    expect(error.message).toMatch(/one\.img/);
    expect(error.message).toMatch(/two\.img/);
  });

  test('a name the mirror does not have', async () => {
    const paths = await mirrors.create();
    const error = await failure(mirrors.open(paths, { images: { slave7: paths.master } }), 'INVALID_OPTION');
    expect(error.message).toMatch(/The images of this mirror are master, slave1/);
    await failure(inspect(paths.log, { images: { x: '/y' } }), 'INVALID_OPTION');
  });

  test('a path that was given and does not exist', async () => {
    const paths = await mirrors.create();
    await failure(mirrors.open(paths, { ...STRICT, images: { slave1: '/nowhere/at/all' } }), 'IMAGE_MISSING');
  });
});

test('after a refusal nothing is held and nothing was written', async () => {
  const paths = await mirrors.create();
  const slave = paths.slaves[0] as string;
  const before = readFileSync(paths.log);
  renameSync(slave, `${slave}.away`);
  unlinkSync(`${slave}.away`);
  await failure(mirrors.open(paths, STRICT), 'IMAGE_MISSING');
  expect(readFileSync(paths.log).equals(before)).toBe(true);
  expect((await inspect(paths.log)).status.phase).toBe('closed');
});

test('an image whose path is longer than the log has room for is refused by name at open, and nothing is held', async () => {
  const paths = await mirrors.create();
  const folder = join(mirrors.folder(), ...Array.from({ length: 4 }, () => 'f'.repeat(200)));
  mkdirSync(folder, { recursive: true });
  const far = join(folder, 'slave');
  renameSync(paths.slaves[0] as string, far);
  const error = await failure(mirrors.open(paths, { images: { slave1: far } }), 'INVALID_OPTION');
  expect(error.message).toMatch(/the path of slave1 is longer than the 767 bytes/);
  renameSync(far, paths.slaves[0] as string);
  await mirrors.open(paths);
});
