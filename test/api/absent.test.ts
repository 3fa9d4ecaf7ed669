/**
 * A mirror opens with what is there: each thing that may be found of a slave, what the mirror remembers of it, that nothing is
 * written to what is not its own, and what the slave costs when it is back.
 */
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { basename } from 'node:path';
import { Mirror, type StateEvent, type Status, inspect, recover, resync, verify } from '../../lib/index';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { writeFileInFull } from '../support/temporary_folder';
import {
  MIB,
  MIRROR_SIZE,
  type Paths,
  STRICT,
  bytesOf,
  failure,
  imagesEqual,
  overwrite,
  pattern,
  useMirrors,
} from './support';

const AT_ONCE = { waitForImages: 0 } as const;
const mirrors = useMirrors();
/** Where nobody looks for an image: beside the log it would be found by its label. */
const away = (path: string): string => {
  mkdirSync(mirrors.at('away'), { recursive: true });
  return mirrors.at('away', basename(path));
};
const first = ({ slaves }: Paths): string => slaves[0] as string;
const states = ({ images }: Status): string[] => images.map(({ state }) => state);

/** Opens it without its first slave, writes 4 KiB, and closes it; what the log says of that slave then. */
async function runsWithout(paths: Paths, cause: string): Promise<void> {
  const mirror = await mirrors.open(paths, AT_ONCE);
  const told: StateEvent[] = [];
  const degraded = new Promise<Status>((resolve) => mirror.once('degraded', resolve));
  mirror.on('state', (event) => told.push(event));
  await degraded;
  expect(told).toMatchObject([{ image: 'slave1', from: 'in-sync', reason: cause }]);
  expect(mirror.status().images[1]).toMatchObject({
    fracture: { cause },
    error: { code: 'ERR_BLOCKMIRROR_SLAVE_FAILED' },
  });
  await mirror.write(pattern(4096, 5), { position: MIB });
  await mirror.close();
  const { status } = await inspect(paths.log);
  expect(status.images[1]).toMatchObject({ fracture: { cause } });
  expect(status.images[2]?.state).toBe('synchronized');
}

describe('a mirror with two slaves opens without one that', () => {
  interface Loss {
    what: string;
    cause: string;
    spoil: (paths: Paths) => void;
    /** Puts the right one back; none: it is there still. */
    restore?: (paths: Paths) => void;
    /** Bytes that it costs. */
    copied: number;
  }
  const blank = (paths: Paths): void => {
    renameSync(first(paths), away(first(paths)));
    writeFileInFull(first(paths), MIRROR_SIZE + MIB, 'random');
  };
  const putBack = (paths: Paths): void => renameSync(away(first(paths)), first(paths));
  const labels = [0, MIB / 2].map((copy) => MIRROR_SIZE + copy + 512);
  const losses: Loss[] = [
    {
      what: 'is absent',
      cause: 'absent',
      spoil: (p) => renameSync(first(p), away(first(p))),
      restore: putBack,
      copied: 4096,
    },
    {
      what: 'is a folder',
      cause: 'absent',
      spoil: (p) => {
        renameSync(first(p), away(first(p)));
        mkdirSync(first(p));
      },
      restore: (p) => {
        rmSync(first(p), { recursive: true });
        putBack(p);
      },
      copied: 4096,
    },
    { what: 'is blank', cause: 'blank', spoil: blank, restore: putBack, copied: 4096 },
    {
      what: 'has a damaged label',
      cause: 'unreadable',
      spoil: (p) => labels.forEach((at) => overwrite(first(p), at, pattern(512, 3))),
      copied: 0,
    },
    {
      what: 'has grown',
      cause: 'grown',
      spoil: (p) => truncateSync(first(p), MIRROR_SIZE + 4 * MIB),
      restore: (p) => truncateSync(first(p), MIRROR_SIZE + MIB),
      copied: 4096,
    },
  ];

  test.each(losses)('$what', async ({ cause, spoil, restore, copied }) => {
    const paths = await mirrors.create({ slaveCount: 2 });
    await (await mirrors.open(paths)).close();
    spoil(paths);
    await expect(mirrors.open(paths, STRICT)).rejects.toHaveProperty('image', 'slave1');
    await runsWithout(paths, cause);
    if (restore === undefined) return;
    restore(paths);
    expect(await resync(paths.log)).toMatchObject({ inSync: true, bytesCopied: copied });
    expect(imagesEqual(paths)).toBe(true);
  });

  test('was restored from an older copy, and gets everything', async () => {
    const paths = await mirrors.create({ slaveCount: 2 });
    copyFileSync(first(paths), `${first(paths)}.older`);
    const mirror = await mirrors.open(paths);
    await mirror.write(pattern(4096, 1), { position: 0 });
    await mirror.close();
    renameSync(`${first(paths)}.older`, first(paths));
    await runsWithout(paths, 'stale');
    expect(await resync(paths.log)).toMatchObject({ inSync: true, bytesCopied: MIRROR_SIZE });
    expect(imagesEqual(paths)).toBe(true);
  });

  test('belongs to another mirror, which is not written to, and can be opened meanwhile', async () => {
    const paths = await mirrors.create({ slaveCount: 2 });
    const folder = mirrors.at('other');
    mkdirSync(folder);
    const other = { log: `${folder}/log`, master: `${folder}/master`, slaves: [`${folder}/slave`] };
    await mirrors.create(other);
    const before = readFileSync(`${folder}/slave`);
    const images = { slave1: `${folder}/slave` };
    const mirror = await mirrors.open(paths, { ...AT_ONCE, images });
    expect(mirror.status().images[1]).toMatchObject({ state: 'behind', fracture: { cause: 'foreign' } });
    await mirror.write(pattern(4096, 1), { position: 0 });
    expect(readFileSync(`${folder}/slave`).equals(before)).toBe(true);
    await (await mirrors.open(other)).close();
    await mirror.close();
    // The log has not taken that path for its own.
    expect((await inspect(paths.log)).status.images[1]?.path).toBe(first(paths));
    await failure(recover(paths.log, { images }), 'FOREIGN_IMAGE');
  });
});

test('without both slaves: each is named, and comes back for what it missed', async () => {
  const paths = await mirrors.create({ slaveCount: 3 });
  for (const slave of paths.slaves.slice(0, 2)) renameSync(slave, away(slave));
  const mirror = await mirrors.open(paths, AT_ONCE);
  expect(states(mirror.status())).toEqual(['synchronized', 'behind', 'behind', 'synchronized']);
  await mirror.write(pattern(8192, 1), { position: 0 });
  await mirror.close();
  for (const slave of paths.slaves.slice(0, 2)) renameSync(away(slave), slave);
  expect(await resync(paths.log)).toMatchObject({ inSync: true, bytesCopied: 2 * 8192 });
  expect(imagesEqual(paths)).toBe(true);
});

test('a slave that was being resynced, and is absent, keeps no mirror shut', async () => {
  const paths = await mirrors.create({ slaveCount: 2 });
  const slave = first(paths);
  renameSync(slave, away(slave));
  const mirror = await mirrors.open(paths, AT_ONCE);
  await mirror.write(pattern(6 * MIB, 1), { position: 0 });
  await mirror.close();
  renameSync(away(slave), slave);
  const again = await mirrors.open(paths);
  const stop = new AbortController();
  const work = again.resync(null, { rate: '2MiB', signal: stop.signal });
  while (again.status().images[1]?.state !== 'synchronizing') await new Promise((resolve) => setTimeout(resolve, 5));
  stop.abort();
  await expect(work).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
  await again.close();
  renameSync(slave, away(slave));
  const third = await mirrors.open(paths, AT_ONCE);
  expect(third.status().images[1]).toMatchObject({ state: 'inconsistent' });
});

describe('the wait for images', () => {
  test('ends when the image comes, and nothing is fractured', async () => {
    const paths = await mirrors.create();
    const slave = first(paths);
    renameSync(slave, away(slave));
    const steps = new Set<string>();
    const opening = mirrors.open(paths, { waitForImages: '60s', onProgress: ({ step }) => steps.add(step) });
    await new Promise((resolve) => setTimeout(resolve, 400));
    renameSync(away(slave), slave);
    expect(states((await opening).status())).toEqual(['synchronized', 'synchronized']);
    expect([...steps]).toContain('waitForImages');
  });

  test('is for the master too, without which no mirror opens', async () => {
    const paths = await mirrors.create();
    renameSync(paths.master, away(paths.master));
    const began = performance.now();
    await failure(mirrors.open(paths, { waitForImages: 300 }), 'IMAGE_MISSING');
    expect(performance.now() - began).toBeGreaterThanOrEqual(300);
    const opening = mirrors.open(paths, { waitForImages: Infinity });
    await new Promise((resolve) => setTimeout(resolve, 300));
    renameSync(away(paths.master), paths.master);
    await opening;
  });

  test('is not for a slave that is out already, nor for one of which two copies are found', async () => {
    const paths = await mirrors.create({ slaveCount: 2 });
    const slave = first(paths);
    copyFileSync(slave, mirrors.at('one.img'));
    copyFileSync(slave, mirrors.at('two.img'));
    rmSync(slave);
    for (let turn = 0; turn < 2; turn++) await (await mirrors.open(paths, { waitForImages: Infinity })).close();
    expect((await inspect(paths.log)).status.images[1]?.state).toBe('behind');
  });

  test('ends with the reason of a signal, and leaves everything as it was', async () => {
    const paths = await mirrors.create();
    rmSync(first(paths));
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 100);
    const opening = mirrors.open(paths, { waitForImages: Infinity, signal: stop.signal });
    await expect(opening).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
    expect((await inspect(paths.log)).status.images[1]?.fracture).toBeNull();
  });

  test('has a duration or none', async () => {
    const paths = await mirrors.create();
    await failure(mirrors.open(paths, { waitForImages: 'soon' }), 'INVALID_OPTION');
    await failure(verify(paths.log, { waitForImages: -1 }), 'INVALID_OPTION');
  });
});

test('recover, verify and resync open with what is there, and refuse it with requireAll', async () => {
  const paths = await mirrors.create({ slaveCount: 2 });
  rmSync(first(paths));
  await failure(verify(paths.log, STRICT), 'IMAGE_MISSING');
  await failure(recover(paths.log, STRICT), 'IMAGE_MISSING');
  await failure(resync(paths.log, STRICT), 'IMAGE_MISSING');
  expect((await inspect(paths.log)).status.images[1]?.fracture).toBeNull();
  const recovered = await recover(paths.log, AT_ONCE);
  expect(recovered.slaves).toMatchObject([{ state: 'behind' }, { state: 'synchronized' }]);
  expect(await verify(paths.log, AT_ONCE)).toMatchObject({
    result: 'incomplete',
    slaves: [{ compared: false }, { compared: true, bytesDiffered: 0 }],
  });
  expect(await resync(paths.log, AT_ONCE)).toMatchObject({ inSync: false });
});

test('after a crash the absent slave owes what the crash left, and the others are recovered', async () => {
  const { mirror, paths } = await mirrors.make({}, 2);
  await mirror.write(pattern(64 * 1024, 1), { position: 2 * MIB });
  mirrors.crash(mirror);
  const slave = first(paths);
  renameSync(slave, away(slave));
  const again = await mirrors.open(paths, AT_ONCE);
  expect(states(again.status())).toEqual(['synchronized', 'behind', 'synchronized']);
  await again.close();
  renameSync(away(slave), slave);
  const { bytesCopied } = await resync(paths.log);
  expect(bytesCopied).toBeGreaterThanOrEqual(64 * 1024);
  expect(imagesEqual(paths)).toBe(true);
});

test('a slave that is there, and is held by somebody, refuses the opening: only a person knows who may use it', async () => {
  const paths = await mirrors.create({ slaveCount: 2 });
  const holder = spawn('flock', ['--exclusive', first(paths), 'sh', '-c', 'echo held; read line']);
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  try {
    expect((await failure(mirrors.open(paths, AT_ONCE), 'BUSY')).image).toBe('slave1');
  } finally {
    holder.stdin.end();
    await new Promise((resolve) => holder.once('exit', resolve));
  }
  expect(states((await mirrors.open(paths)).status())).toEqual(Array(3).fill('synchronized'));
});

describeUnless(noLoopDevices, 'a slave on a device', () => {
  const makeLoop = useLoopDevices();
  const IMAGE = 16 * MIB;

  async function made(): Promise<Paths> {
    const paths = {
      log: makeLoop(32 * MIB).path,
      master: makeLoop(IMAGE).path,
      slaves: [makeLoop(IMAGE).path, makeLoop(IMAGE).path],
    };
    await Mirror.create({ ...paths, readBack: false });
    return paths;
  }

  test('that came back as another disk, in use by somebody, is left alone; the mirror runs without the slave', async () => {
    const paths = await made();
    const slave = first(paths);
    const label = bytesOf(slave, IMAGE - MIB, MIB);
    overwrite(slave, IMAGE - MIB, Buffer.alloc(MIB));
    execFileSync('mkfs.ext4', ['-q', '-F', slave]);
    const mountPoint = mirrors.at('mounted');
    mkdirSync(mountPoint);
    execFileSync('mount', [slave, mountPoint]);
    try {
      const mirror = await mirrors.open(paths, AT_ONCE);
      expect(mirror.status().images[1]).toMatchObject({ state: 'behind', fracture: { cause: 'absent' } });
      await mirror.write(pattern(65536, 1), { position: MIB });
      await mirror.close();
    } finally {
      execFileSync('umount', [mountPoint]);
    }
    execFileSync('fsck.ext4', ['-n', '-f', slave]);
    overwrite(slave, IMAGE - MIB, label);
    expect(await resync(paths.log, { full: true })).toMatchObject({ inSync: true });
  });

  test('that is read-only is fractured, and says so', async () => {
    const paths = await made();
    execFileSync('blockdev', ['--setro', first(paths)]);
    await runsWithout(paths, 'label-error');
    execFileSync('blockdev', ['--setrw', first(paths)]);
    expect(await resync(paths.log)).toMatchObject({ inSync: true, bytesCopied: 4096 });
  });

  test('whose name another image of the mirror has by now is absent', async () => {
    const paths = await made();
    const [one, two] = paths.slaves as [string, string];
    // What slave2 was is at the path of slave1; nothing carries the label of slave1.
    const label = bytesOf(two, IMAGE - MIB, MIB);
    overwrite(one, IMAGE - MIB, label);
    overwrite(two, IMAGE - MIB, Buffer.alloc(MIB));
    const mirror = await mirrors.open(paths, AT_ONCE);
    expect(states(mirror.status())).toEqual(['synchronized', 'behind', 'synchronized']);
    expect(mirror.status().images[2]?.path).toBe(one);
    await mirror.close();
    await (await mirrors.open(paths)).close();
  });
});
