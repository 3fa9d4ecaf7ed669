import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  linkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type Progress, Mirror, findSignatures, inspect } from '../../lib/index';
import { LABEL_MAGIC, SUPERBLOCK_LENGTH, SUPERBLOCK_POSITIONS } from '../../lib/look/layout';
import { loadBinding } from '../../lib/base/load';
import { writeFileInFull } from '../support/temporary_folder';
import {
  KIB,
  MIB,
  MIRROR_SIZE,
  bytesOf,
  describeDeviceKinds,
  failure,
  imagesEqual,
  overwrite,
  useMirrors,
} from './support';

const mirrors = useMirrors();
const IMAGE_SIZE = MIRROR_SIZE + MIB;
const RING_POSITION = 1024 * KIB;
const HISTORY_POSITION = 128 * KIB;
const HISTORY_LENGTH = 512 * KIB;
const EVENT_MAGIC = 'BMEV';

/** Existing images: a master with data, slaves with other data. */
function existing(slaves = 1) {
  const paths = mirrors.paths(slaves);
  writeFileInFull(paths.master, IMAGE_SIZE, 'random');
  for (const slave of paths.slaves) writeFileInFull(slave, IMAGE_SIZE, 'random');
  return paths;
}

describeDeviceKinds('create on', (device) => {
  test('copies the master to every slave, reads it back, and leaves the mirror closed', async () => {
    const paths = existing(2);
    const before = bytesOf(paths.master, 0, MIRROR_SIZE);
    const report = await Mirror.create({ ...paths, overwriteSignature: true, ringRecords: 64, device });
    expect(report).toMatchObject({
      log: paths.log,
      size: MIRROR_SIZE,
      blockSize: 512,
      bytesCopied: 2 * MIRROR_SIZE,
      readBack: true,
    });
    expect(report.images.map(({ name, role, state }) => [name, role, state])).toEqual([
      ['master', 'master', 'synchronized'],
      ['slave1', 'slave', 'synchronized'],
      ['slave2', 'slave', 'synchronized'],
    ]);
    expect(bytesOf(paths.master, 0, MIRROR_SIZE).equals(before)).toBe(true);
    expect(imagesEqual(paths)).toBe(true);
    expect((await inspect(paths.log)).status).toMatchObject({ phase: 'closed', uuid: report.uuid });
  });

  test('assumed identical images are not touched; a verify proves them equal, or says that they are not', async () => {
    const paths = existing();
    const slave = paths.slaves[0] as string;
    const before = bytesOf(slave, 0, MIRROR_SIZE);
    const report = await Mirror.create({ ...paths, ringRecords: 64, device, assumeIdentical: true });
    expect(report).toMatchObject({ bytesCopied: 0, readBack: false });
    expect(report.images[1]?.state).toBe('assumed');
    expect(bytesOf(slave, 0, MIRROR_SIZE).equals(before)).toBe(true);
    const mirror = await mirrors.open(paths, { device });
    expect((await mirror.verify()).identical).toBe(false);
    expect(mirror.status().images[1]?.state).toBe('inconsistent');
    await mirror.close();
    overwrite(slave, 0, bytesOf(paths.master, 0, MIRROR_SIZE));
    const again = await mirrors.open(paths, { device });
    expect(await again.verify()).toMatchObject({ identical: true, differences: [] });
    expect(again.status().images[1]?.state).toBe('synchronized');
    await again.close();
    expect((await inspect(paths.log)).status.images[1]?.state).toBe('synchronized');
  });
});

test('files that do not exist are made, written in full, with room for the label', async () => {
  const paths = await mirrors.create({ size: MIRROR_SIZE + 512 });
  for (const path of [paths.master, ...paths.slaves]) {
    const status = statSync(path);
    expect(status.size).toBe(MIRROR_SIZE + 2 * MIB);
    expect(status.blocks * 512).toBeGreaterThanOrEqual(status.size);
  }
  expect((await inspect(paths.log)).status.size).toBe(MIRROR_SIZE + 512);
  expect(statSync(paths.log).size).toBe(loadBinding().logLength(64, MIRROR_SIZE, 4));
});

test('an image that does not exist needs a size', async () => {
  const error = await failure(Mirror.create(mirrors.paths()), 'IMAGE_NOT_FOUND');
  expect(error.image).toBe('master');
  expect(error.message).toMatch(/Give size/);
  expect(existsSync(mirrors.paths().log)).toBe(false);
});

test('sizes as text, names, and progress through the steps in their order', async () => {
  const paths = mirrors.paths();
  const seen: Progress[] = [];
  const report = await Mirror.create({
    log: paths.log,
    master: { path: paths.master, name: 'left' },
    slaves: [{ path: paths.slaves[0] as string, name: 'right' }],
    size: '8MiB',
    onProgress: (progress) => seen.push(progress),
  });
  expect(report.images.map((image) => image.name)).toEqual(['left', 'right']);
  const steps = [...new Set(seen.map((progress) => progress.step))];
  expect(steps).toEqual(['prepare', 'format', 'copy', 'retire']);
  for (const step of ['prepare', 'copy']) {
    const last = seen.filter((progress) => progress.step === step).at(-1);
    expect(last?.bytesDone).toBe(last?.bytesTotal);
  }
});

test('a log has room for as many images as were asked for, and never for fewer than there are', async () => {
  const MAX_IMAGES = 226; // docs/FORMAT.md
  const { log } = await mirrors.create({ maxImages: 16 });
  expect(bytesOf(log, MAX_IMAGES, 1)[0]).toBe(16);
  expect(statSync(log).size).toBe(loadBinding().logLength(64, MIRROR_SIZE, 16));
  for (const maxImages of [1, 17, 2.5]) await failure(mirrors.create({ maxImages }), 'INVALID_OPTION');
});

test('a size that is no multiple of the block size is refused with the block size', async () => {
  const error = await failure(mirrors.create({ size: MIRROR_SIZE + 100 }), 'INVALID_OPTION');
  expect(error.message).toMatch(/multiple of 512 bytes/);
});

test('an image that is too small is refused with its name and what it needs, before anything is written', async () => {
  const paths = existing();
  truncateSync(paths.slaves[0] as string, MIRROR_SIZE);
  const before = bytesOf(paths.master, MIRROR_SIZE, MIB);
  const error = await failure(Mirror.create({ ...paths, size: MIRROR_SIZE }), 'TOO_SMALL');
  expect(error.image).toBe('slave1');
  expect(error.message).toMatch(/needs 8 MiB and the 1 MiB of the label/);
  expect(existsSync(paths.log)).toBe(false);
  expect(bytesOf(paths.master, MIRROR_SIZE, MIB).equals(before)).toBe(true);
});

test('an image with holes is refused, and the log that was made for it is gone again', async () => {
  const paths = existing();
  writeFileSync(paths.slaves[0] as string, '');
  truncateSync(paths.slaves[0] as string, IMAGE_SIZE);
  const error = await failure(Mirror.create({ ...paths }), 'HOLE');
  expect(error.image).toBe('slave1');
  expect(error.message).toMatch(/fallocate/);
  expect(existsSync(paths.log)).toBe(false);
});

test('an image that holds data and has holes is refused for the data first, then for the holes', async () => {
  const paths = existing();
  const slave = paths.slaves[0] as string;
  writeFileSync(slave, '');
  truncateSync(slave, IMAGE_SIZE);
  execFileSync('mkfs.ext4', ['-q', '-F', slave, '8M']);
  const error = await failure(Mirror.create({ ...paths }), 'SIGNATURE_FOUND');
  expect(error.image).toBe('slave1');
  expect(error.message).toMatch(/ext4 file system/);
  expect(error.message).not.toMatch(/fallocate/);
  expect(existsSync(paths.log)).toBe(false);
  const consented = await failure(Mirror.create({ ...paths, overwriteSignature: true }), 'HOLE');
  expect(consented.image).toBe('slave1');
});

describe('one file under two names', () => {
  test('the same path, a symbolic link, a hard link, and a file that does not exist yet', async () => {
    const paths = existing();
    const link = join(mirrors.folder(), 'link.img');
    const hard = join(mirrors.folder(), 'hard.img');
    symlinkSync(paths.master, link);
    linkSync(paths.master, hard);
    for (const other of [paths.master, link, hard, join(mirrors.folder(), '.', 'master.img')]) {
      const error = await failure(Mirror.create({ ...paths, slaves: [other] }), 'SAME_DEVICE');
      expect(error.message).toMatch(/master/);
      await failure(Mirror.create({ log: other, master: paths.master, slaves: paths.slaves }), 'SAME_DEVICE');
    }
    const ghost = join(mirrors.folder(), 'ghost');
    await failure(Mirror.create({ log: ghost, master: paths.master, slaves: [ghost], size: MIB }), 'SAME_DEVICE');
  });

  test('a file that does not exist yet, in a folder that has two names', async () => {
    const paths = existing();
    const folder = join(mirrors.folder(), 'folder');
    const link = join(mirrors.folder(), 'link');
    mkdirSync(folder);
    symlinkSync('folder', link);
    const one = join(folder, 'ghost');
    const other = join(link, 'ghost');
    for (const wrong of [
      { ...paths, log: one, slaves: [other] },
      { ...paths, master: one, slaves: [other] },
      { ...paths, slaves: [one, other] },
    ]) {
      await failure(Mirror.create({ ...wrong, size: MIB }), 'SAME_DEVICE');
    }
    expect([existsSync(one), existsSync(paths.log)]).toEqual([false, false]);
  });

  test('neither a folder nor a character device is an image', async () => {
    const paths = existing();
    mkdirSync(join(mirrors.folder(), 'folder'));
    for (const wrong of [join(mirrors.folder(), 'folder'), '/dev/null']) {
      const error = await failure(Mirror.create({ ...paths, master: wrong }), 'OPEN_FAILED');
      expect(error.message).toMatch(/neither a block device nor a regular file/);
    }
  });
});

describe('data that is there', () => {
  test('a finished mirror is replaced only with both words', async () => {
    const paths = await mirrors.create();
    const uuid = (await inspect(paths.log)).status.uuid;
    await failure(Mirror.create({ ...paths }), 'SIGNATURE_FOUND');
    await failure(Mirror.create({ ...paths, overwriteSignature: true }), 'SIGNATURE_FOUND');
    await failure(Mirror.create({ ...paths, keepData: true }), 'SIGNATURE_FOUND');
    expect((await inspect(paths.log)).status.uuid).toBe(uuid);
    const report = await Mirror.create({ ...paths, keepData: true, overwriteSignature: true });
    expect(report.uuid).not.toBe(uuid);
  });

  test('blockmirror marks and file systems are found by name', async () => {
    const paths = await mirrors.create();
    expect((await findSignatures(paths.log)).signatures).toMatchObject([{ type: 'blockmirror log' }]);
    expect((await findSignatures(paths.master)).signatures).toMatchObject([
      { type: 'blockmirror image', reaches: MIRROR_SIZE },
    ]);
    const other = writeFileInFull(join(mirrors.folder(), 'other.img'), IMAGE_SIZE);
    expect(await findSignatures(other)).toEqual({ signatures: [], probed: true, problem: null });
    execFileSync('mkfs.ext4', ['-q', '-F', '-L', 'precious', other]);
    expect((await findSignatures(other)).signatures).toMatchObject([
      { type: 'ext4', kind: 'filesystem', label: 'precious', reaches: IMAGE_SIZE },
    ]);
  });

  test('a file system on the master is kept when it ends before the label, and refused when it does not', async () => {
    const paths = existing();
    execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'nodiscard', paths.master, '8M']);
    const error = await failure(Mirror.create({ ...paths }), 'SIGNATURE_FOUND');
    expect(error.message).toMatch(/ext4 file system.*keepData/);
    await Mirror.create({ ...paths, keepData: true, overwriteSignature: true });
    expect(imagesEqual(paths)).toBe(true);
    expect(execFileSync('blkid', ['-p', '-o', 'value', '-s', 'TYPE', paths.slaves[0] as string]).toString()).toBe(
      'ext4\n',
    );
  });

  test('a file system that reaches into the label’s place cannot be kept', async () => {
    const paths = existing();
    execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'nodiscard', paths.master]);
    const error = await failure(Mirror.create({ ...paths, keepData: true }), 'SIGNATURE_FOUND');
    expect(error.message).toMatch(/reaches to byte 9437184, into the label's place from byte 8388608/);
  });

  test('a file system on a slave or the log may go when the caller says so', async () => {
    const paths = existing();
    execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'nodiscard', paths.slaves[0] as string]);
    await failure(Mirror.create({ ...paths }), 'SIGNATURE_FOUND');
    await Mirror.create({ ...paths, overwriteSignature: true });
    expect(imagesEqual(paths)).toBe(true);
  });

  test('a file that is no log is not written over by accident', async () => {
    const paths = existing();
    writeFileSync(paths.log, Buffer.alloc(32 * MIB, 'my diary '));
    const error = await failure(Mirror.create({ ...paths }), 'SIGNATURE_FOUND');
    expect(error.image).toBe('log');
    expect(error.message).toMatch(/overwriteSignature/);
    await Mirror.create({ ...paths, overwriteSignature: true });
  });

  test('a file with data behind its first MiB is not written over either', async () => {
    const paths = existing();
    const content = Buffer.concat([Buffer.alloc(MIB), Buffer.alloc(31 * MIB, 'my diary ')]);
    writeFileSync(paths.log, content);
    const error = await failure(Mirror.create({ ...paths }), 'SIGNATURE_FOUND');
    expect(error.image).toBe('log');
    expect(bytesOf(paths.log, 0, 32 * MIB).equals(content)).toBe(true);
  });

  test('the second copy of a superblock or of a label is a mark too', async () => {
    const paths = await mirrors.create();
    overwrite(paths.log, 0, Buffer.alloc(SUPERBLOCK_LENGTH));
    overwrite(paths.master, MIRROR_SIZE, Buffer.alloc(4096));
    expect((await findSignatures(paths.log)).signatures).toMatchObject([{ type: 'blockmirror log' }]);
    expect((await findSignatures(paths.master)).signatures).toMatchObject([{ type: 'blockmirror image' }]);
  });

  test('a slave file with anything but zeroes in it is not written over by accident, whatever blkid knows', async () => {
    const paths = existing();
    const [slave] = paths.slaves as [string];
    writeFileInFull(slave, IMAGE_SIZE);
    overwrite(slave, 5 * MIB + 4095, Buffer.from('x'));
    const before = readFileSync(slave);
    const error = await failure(Mirror.create(paths), 'SIGNATURE_FOUND');
    expect([error.image, error.path]).toEqual(['slave1', slave]);
    expect(error.message).toMatch(/there is data on it already: data.*overwriteSignature/);
    expect(readFileSync(slave).equals(before)).toBe(true);
    await Mirror.create({ ...paths, overwriteSignature: true });
    expect(imagesEqual(paths)).toBe(true);
  });

  test('of old images and an old log nothing is left in the label’s MiB and in what the log does not use', async () => {
    const paths = existing();
    writeFileInFull(paths.log, loadBinding().logLength(64, MIRROR_SIZE, 4), 'random');
    await Mirror.create({ ...paths, ringRecords: 64, keepData: true, overwriteSignature: true });
    for (const path of [paths.master, ...paths.slaves]) {
      const area = bytesOf(path, MIRROR_SIZE, MIB);
      for (const copy of [0, 512 * KIB]) {
        expect(area.toString('latin1', copy, copy + 8)).toBe(LABEL_MAGIC);
        expect(area.subarray(copy + 4 * KIB, copy + 512 * KIB).every((byte) => byte === 0)).toBe(true);
      }
    }
    // Copies of the superblock, and what lies between them and before the ring (docs/FORMAT.md).
    const log = bytesOf(paths.log, 0, RING_POSITION);
    const [copyA, copyB] = SUPERBLOCK_POSITIONS;
    expect(log.subarray(copyA + SUPERBLOCK_LENGTH, copyB).every((byte) => byte === 0)).toBe(true);
    // The history has its first events; the rest of it is blank.
    for (let at = HISTORY_POSITION; at < HISTORY_POSITION + HISTORY_LENGTH; at += 512) {
      if (log.toString('latin1', at, at + 4) === EVENT_MAGIC) log.fill(0, at, at + 512);
    }
    expect(log.subarray(copyB + SUPERBLOCK_LENGTH).every((byte) => byte === 0)).toBe(true);
    const whole = readFileSync(paths.log);
    const ringEnd = RING_POSITION + 64 * 4 * KIB;
    // Nothing but whole sectors of no map, of which each has its number and its seal in the last 16 bytes.
    for (let at = ringEnd; at < whole.length; at += 512) {
      expect(whole.subarray(at, at + 496).every((byte) => byte === 0)).toBe(true);
    }
  });

  test('an empty or zeroed file becomes the log', async () => {
    const paths = existing();
    writeFileSync(paths.log, '');
    for (const slave of paths.slaves) writeFileInFull(slave, IMAGE_SIZE);
    await Mirror.create({ ...paths, ringRecords: 64 });
    for (const slave of existing().slaves) writeFileInFull(slave, IMAGE_SIZE);
    const next = { ...paths, log: writeFileInFull(join(mirrors.folder(), 'zeroed'), 16 * MIB) };
    await Mirror.create(next);
    expect((await inspect(next.log)).status.logUse.recordCount).toBeLessThan(4096);
  });
});

describe('a create that was interrupted', () => {
  async function interrupted() {
    const paths = existing();
    const controller = new AbortController();
    const onProgress = ({ step, bytesDone }: Progress): void => {
      if (step === 'copy' && bytesDone >= 2 * MIB) controller.abort(new Error('power cut'));
    };
    const { signal } = controller;
    const work = Mirror.create({ ...paths, overwriteSignature: true, ringRecords: 64, onProgress, signal });
    await expect(work).rejects.toThrow('power cut');
    return paths;
  }

  test('is no mirror: open, recover and verify say so, inspect shows it', async () => {
    const paths = await interrupted();
    const error = await failure(mirrors.open(paths), 'CREATE_UNFINISHED');
    expect(error.message).toMatch(/Run the same create again/);
    const inspection = await inspect(paths.log);
    expect(inspection.status.phase).toBe('creating');
    expect(inspection.attachable).toBe(false);
  });

  test('can be run again without any consent, over its own remains only', async () => {
    const paths = await interrupted();
    const foreign = await mirrors
      .create({
        log: join(mirrors.folder(), 'other.log'),
        master: join(mirrors.folder(), 'other.img'),
        slaves: [join(mirrors.folder(), 'other2.img')],
      })
      .then(() => join(mirrors.folder(), 'other2.img'));
    await failure(Mirror.create({ ...paths, slaves: [foreign] }), 'SIGNATURE_FOUND');
    await Mirror.create({ ...paths, ringRecords: 64 });
    expect(imagesEqual(paths)).toBe(true);
    await mirrors.open(paths);
  });
});

test.each([true, false])(
  'files exchanged after an interrupted create are not taken for what it left (%s)',
  async (both) => {
    const paths = existing();
    const slave = paths.slaves[0] as string;
    const before = bytesOf(paths.master, 0, MIRROR_SIZE);
    const controller = new AbortController();
    const onProgress = ({ step, bytesDone }: Progress): void => {
      if (step === 'copy' && bytesDone >= 2 * MIB) controller.abort(new Error('power cut'));
    };
    const options = { ...paths, ringRecords: 64, keepData: true };
    const { signal } = controller;
    const first = Mirror.create({ ...options, overwriteSignature: true, onProgress, signal });
    await expect(first).rejects.toThrow('power cut');
    // The power went before the slave had its label.
    if (!both) overwrite(slave, MIRROR_SIZE, Buffer.alloc(MIB));
    const aside = join(mirrors.folder(), 'aside');
    renameSync(paths.master, aside);
    renameSync(slave, paths.master);
    renameSync(aside, slave);
    await failure(Mirror.create(options), 'SIGNATURE_FOUND');
    await failure(Mirror.create({ ...options, overwriteSignature: true }), 'STALE_MASTER');
    expect(bytesOf(slave, 0, MIRROR_SIZE).equals(before)).toBe(true);
  },
);

test('relative paths are those of the moment of the call', async () => {
  const here = process.cwd();
  const folder = mirrors.folder();
  const elsewhere = join(folder, 'elsewhere');
  mkdirSync(elsewhere);
  try {
    process.chdir(folder);
    const work = Mirror.create({ log: 'l', master: 'a', slaves: ['b'], size: MIRROR_SIZE, ringRecords: 64 });
    process.chdir(elsewhere);
    expect(await work).toMatchObject({ log: 'l', images: [{ path: 'a' }, { path: 'b' }] });
  } finally {
    process.chdir(here);
  }
  expect(readdirSync(elsewhere)).toEqual([]);
  await mirrors.open({ log: join(folder, 'l'), master: join(folder, 'a'), slaves: [join(folder, 'b')] });
});

test('files made before a failure are removed again', async () => {
  const paths = mirrors.paths();
  const controller = new AbortController();
  const onProgress = ({ step, bytesDone }: Progress): void => {
    if (step === 'prepare' && bytesDone > 2 * MIB) controller.abort(new Error('enough'));
  };
  await expect(Mirror.create({ ...paths, size: MIRROR_SIZE, onProgress, signal: controller.signal })).rejects.toThrow(
    'enough',
  );
  for (const path of [paths.log, paths.master, ...paths.slaves]) expect(existsSync(path)).toBe(false);
});

test('a path that is longer than the log has room for is refused, and one that just fits is not', async () => {
  let deep = mirrors.folder();
  while (deep.length < 640) deep = join(deep, 'x'.repeat(Math.min(200, 660 - deep.length)));
  mkdirSync(deep, { recursive: true });
  const at = (length: number): string => join(deep, 'x'.repeat(length - deep.length - 1));
  const options = { ...mirrors.paths(), log: join(mirrors.folder(), 'elsewhere', 'm.log'), size: MIRROR_SIZE };
  mkdirSync(join(mirrors.folder(), 'elsewhere'));
  const error = await failure(Mirror.create({ ...options, master: at(768) }), 'INVALID_OPTION');
  expect(error.message).toMatch(/the path of master is longer than the 767 bytes/);
  expect(existsSync(options.log)).toBe(false);
  await Mirror.create({ ...options, master: at(767) });
});

test('a folder with log and images can be moved as a whole', async () => {
  const paths = await mirrors.create();
  const moved = join(mirrors.folder(), 'moved');
  mkdirSync(moved);
  const at = (path: string): string => join(moved, path.split('/').at(-1) as string);
  for (const path of [paths.log, paths.master, ...paths.slaves]) renameSync(path, at(path));
  const mirror = await mirrors.open({ ...paths, log: at(paths.log) });
  expect(mirror.status().images.map((image) => image.path)).toEqual([at(paths.master), at(paths.slaves[0] as string)]);
});

test('a log in a folder that does not exist fails with the system error as the cause', async () => {
  const paths = existing();
  const error = await failure(Mirror.create({ ...paths, log: '/nowhere/at/all/log' }), 'OPEN_FAILED');
  expect(error.cause).toMatchObject({ code: 'ENOENT', syscall: 'open' });
});
