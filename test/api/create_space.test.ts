import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Mirror } from '../../lib/index';
import { shortOfSpace } from '../../lib/system/free_space';
import { noLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { useTemporaryFolder, writeFileInFull } from '../support/temporary_folder';
import { MIB, MIRROR_SIZE, failure, useMirrors } from './support';

const mirrors = useMirrors();

test('more than is free is refused with what is needed and what is free, before anything is made', async () => {
  const paths = mirrors.paths();
  const { blocks, bsize } = statfsSync(mirrors.folder());
  const error = await failure(
    Mirror.create({ ...paths, size: (Math.ceil((blocks * bsize) / MIB) + 1) * MIB }),
    'NO_SPACE',
  );
  expect(error.message).toMatch(/has .* free, and .* are needed \(log [0-9]+ MiB, master .*, slave1 .*\)/);
  expect(readdirSync(mirrors.folder())).toEqual([]);
  await mirrors.create();
});

test('what is needed is summed over the files of one file system, and judged for each', () => {
  const file = (name: string, length: number) => ({ name, path: `/x/${name}`, length });
  const roomy = { folder: '/x', free: 100, files: [file('log', 40), file('master', 60)] };
  const short = { folder: '/y', free: 99, files: [file('slave1', 40), file('slave2', 60)] };
  expect(shortOfSpace([roomy, short])).toEqual([short]);
});

test('an empty file is filled like one that is not there, and is empty again after a failure', async () => {
  const paths = mirrors.paths();
  for (const path of [paths.log, paths.master]) writeFileSync(path, '');
  const controller = new AbortController();
  const onProgress = (): void => controller.abort(new Error('enough'));
  const work = Mirror.create({ ...paths, size: MIRROR_SIZE, onProgress, signal: controller.signal });
  await expect(work).rejects.toThrow('enough');
  expect([paths.log, paths.master].map((path) => statSync(path).size)).toEqual([0, 0]);
  expect(existsSync(paths.slaves[0] as string)).toBe(false);
  await Mirror.create({ ...paths, size: MIRROR_SIZE });
  expect(statSync(paths.master)).toMatchObject({ size: MIRROR_SIZE + MIB });
  await failure(Mirror.create({ ...mirrors.paths(), master: emptyFile('empty') }), 'TOO_SMALL');
});

test('an empty file is empty again when a later one cannot be held', async () => {
  const paths = mirrors.paths();
  for (const path of [paths.log, paths.master]) writeFileSync(path, '');
  const [sparse] = paths.slaves as [string];
  writeFileSync(sparse, '');
  truncateSync(sparse, MIRROR_SIZE + MIB);
  await failure(Mirror.create({ ...paths, size: MIRROR_SIZE }), 'HOLE');
  expect([paths.log, paths.master].map((path) => statSync(path).blocks)).toEqual([0, 0]);
  expect([paths.log, paths.master].map((path) => statSync(path).size)).toEqual([0, 0]);
});

function emptyFile(name: string): string {
  const path = join(mirrors.folder(), name);
  writeFileSync(path, '');
  return path;
}

test('a size that is no multiple of the block size is refused before any file is made', async () => {
  await failure(mirrors.create({ size: MIRROR_SIZE + 100 }), 'INVALID_OPTION');
  expect(readdirSync(mirrors.folder())).toEqual([]);
});

describeUnless(noLoopDevices, 'on a small file system of its own', () => {
  let mount = '';
  // Registered before the folder's own, which removes what it is mounted in.
  afterEach(() => {
    if (mount !== '') execFileSync('umount', [mount]);
    mount = '';
  });
  const folder = useTemporaryFolder();

  test('where the look was too kind, the disk that is full leaves nothing behind', async () => {
    const image = writeFileInFull(join(folder(), 'file-system'), 64 * MIB);
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
    const small = join(folder(), 'mount');
    mkdirSync(small);
    execFileSync('mount', ['-o', 'loop', image, small]);
    mount = small;
    // To the last whole MiB that statfs calls free: the file system needs a part of it to say where the file lies.
    const { bfree, bsize } = statfsSync(small);
    const free = Math.floor((bfree * bsize) / MIB) * MIB;
    writeFileInFull(join(small, 'odd'), bfree * bsize - free);
    const paths = mirrors.paths();
    const options = { ...paths, master: join(small, 'a.img'), size: free - MIB, readBack: false };
    const error = await failure(Mirror.create(options), 'NO_SPACE');
    expect(error.message).toMatch(/master .*it needs/);
    expect(readdirSync(small).sort()).toEqual(['lost+found', 'odd']);
    expect(readdirSync(mirrors.folder())).toEqual([]);
    await Mirror.create({ ...options, size: 8 * MIB });
  });
});
