/** Slaves that come back to the mirror that lost them, while it runs: attached anew, by resync or by themselves. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, truncateSync } from 'node:fs';
import { Mirror, type Status } from '../../lib/index';
import { RejoinWatch, FAILURES } from '../../lib/life/rejoin';
import { type FailingDevice, useFailingDevices } from '../support/failing_device';
import {
  type LoopDevice,
  comesBackElsewhere,
  noLoopDevices,
  setReadOnly,
  useLoopDevices,
} from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { writeFileInFull } from '../support/temporary_folder';
import { MIB, MIRROR_SIZE, type Paths, bytesOf, imagesEqual, overwrite, pattern, useMirrors } from './support';

const BLOCK = 4096;
const IMAGE = 16 * MIB;
const SIZE = IMAGE - MIB;
const mirrors = useMirrors();
const first = ({ slaves }: Paths): string => slaves[0] as string;

async function until(mirror: Mirror, reached: (status: Status) => boolean, what: string): Promise<void> {
  for (const began = Date.now(); !reached(mirror.status());) {
    if (Date.now() - began > 20_000) throw new Error(`not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
const inSync = ({ images }: Status): boolean => images.every(({ state }) => /^(synchronized|consistent)$/.test(state));

describe('a slave that was absent when the mirror was opened', () => {
  async function openedWithout(
    rejoin: 'auto' | 'manual',
  ): Promise<{ mirror: Mirror; paths: Paths; bring: () => void }> {
    const paths = await mirrors.create({ slaveCount: 2 });
    mkdirSync(mirrors.at('away'));
    const away = mirrors.at('away', 'slave');
    renameSync(first(paths), away);
    const mirror = await mirrors.open(paths, { waitForImages: 0, rejoin });
    await mirror.write(pattern(2 * BLOCK, 1), { position: 0 });
    await mirror.write(pattern(BLOCK, 2), { position: MIB + BLOCK });
    return { mirror, paths, bring: () => renameSync(away, first(paths)) };
  }

  test('is attached by resync once it is there, and costs what it missed', async () => {
    const { mirror, paths, bring } = await openedWithout('manual');
    expect(await mirror.resync()).toMatchObject({
      inSync: false,
      slaves: [{ error: { code: 'ERR_BLOCKMIRROR_IMAGE_MISSING' } }],
    });
    bring();
    expect(await mirror.resync()).toMatchObject({ inSync: true, bytesCopied: 3 * BLOCK });
    await mirror.write(pattern(BLOCK, 3), { position: 3 * MIB });
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
  });

  test('comes back by itself, and costs what it missed', async () => {
    const { mirror, paths, bring } = await openedWithout('auto');
    const told: string[] = [];
    mirror.on('state', ({ image, from, to, reason }) => told.push(`${image} ${from} ${to} ${reason ?? '-'}`));
    bring();
    await until(mirror, inSync, 'slave1 is in sync');
    await mirror.close();
    expect(told.slice(-2)).toEqual(['slave1 behind synchronizing -', 'slave1 synchronizing in-sync -']);
    expect(imagesEqual(paths)).toBe(true);
  });

  test('is not taken for another file that is put in its place, which is let go and never written', async () => {
    const { mirror, paths, bring } = await openedWithout('manual');
    writeFileInFull(first(paths), MIRROR_SIZE + MIB, 'random');
    const before = bytesOf(first(paths), 0, MIRROR_SIZE + MIB);
    expect((await mirror.resync()).inSync).toBe(false);
    expect(bytesOf(first(paths), 0, MIRROR_SIZE + MIB).equals(before)).toBe(true);
    execFileSync('flock', ['--exclusive', '--nonblock', first(paths), 'true']);
    bring();
    expect(await mirror.resync()).toMatchObject({ inSync: true, bytesCopied: 3 * BLOCK });
  });
});

test('one that the operator took out waits for resync', async () => {
  const { mirror } = await mirrors.make({ rejoin: 'auto' }, 2);
  await mirror.fracture(['slave1']);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect(mirror.status().images[1]?.state).toBe('behind');
  expect(await mirror.resync()).toMatchObject({ inSync: true });
});

test('a file that was cut short, and is whole again, gets everything', async () => {
  const { mirror, paths } = await mirrors.make({ rejoin: 'auto' }, 2);
  await mirror.write(pattern(64 * 1024, 1), { position: 0 });
  const label = bytesOf(first(paths), MIRROR_SIZE, MIB);
  truncateSync(first(paths), 2 * MIB);
  await until(mirror, ({ images }) => images[1]?.state === 'failed', 'slave1 is failed');
  expect(mirror.status().images[1]?.fracture?.cause).toBe('lost-allocation');
  writeFileInFull(first(paths), MIRROR_SIZE + MIB);
  overwrite(first(paths), MIRROR_SIZE, label);
  await until(mirror, inSync, 'slave1 is in sync');
  await mirror.close();
  expect(imagesEqual(paths)).toBe(true);
});

describeUnless(noLoopDevices, 'a slave whose device fails', () => {
  const living = useMirrors();
  const makeLoop = useLoopDevices();
  const makeFailing = useFailingDevices();

  async function made(): Promise<{ mirror: Mirror; paths: Paths; slave: FailingDevice }> {
    const slave = makeFailing(IMAGE);
    const paths = {
      log: makeLoop(32 * MIB).path,
      master: makeLoop(IMAGE).path,
      slaves: [slave.path, makeLoop(IMAGE).path],
    };
    await Mirror.create({ ...paths, readBack: false });
    return { mirror: await living.open(paths, { rejoin: 'auto' }), paths, slave };
  }

  test('full, and freed again: it is in sync by itself, under load, for the blocks that were written meanwhile', async () => {
    const { mirror, paths, slave } = await made();
    await mirror.write(pattern(BLOCK, 1), { position: 9 * MIB });
    await mirror.datasync();
    slave.breakIt();
    for (let at = 0; at < 32; at++) await mirror.write(pattern(BLOCK, at), { position: MIB + (at % 16) * 2 * BLOCK });
    await until(mirror, ({ images }) => images[1]?.state !== 'synchronized', 'slave1 is out');
    slave.mendIt();
    await until(mirror, inSync, 'slave1 is in sync');
    expect(mirror.status().counters['fractures']).toBeGreaterThanOrEqual(1);
    await mirror.close();
    expect(imagesEqual(paths, SIZE)).toBe(true);
  });
});

describeUnless(noLoopDevices, 'a slave on a device, while the mirror is written to,', () => {
  const living = useMirrors();
  const makeLoop = useLoopDevices();
  let readOnly: string | null = null;
  afterEach(() => {
    if (readOnly !== null) setReadOnly(readOnly, false);
    readOnly = null;
  });

  async function readOnlyUnderLoad(): Promise<{
    mirror: Mirror;
    paths: Paths;
    slave: LoopDevice;
    end: () => Promise<void>;
  }> {
    const [log, master, slave] = [32 * MIB, IMAGE, IMAGE].map((length) => makeLoop(length)) as [
      LoopDevice,
      LoopDevice,
      LoopDevice,
    ];
    const paths = { log: log.path, master: master.path, slaves: [slave.path] };
    await Mirror.create({ ...paths, readBack: false });
    const mirror = await living.open(paths, { rejoin: 'auto' });
    let ended = false;
    const load = (async () => {
      for (let at = 0; !ended; at = (at + 1) % 64) await mirror.write(pattern(BLOCK, at), { position: at * 4 * BLOCK });
    })();
    readOnly = slave.path;
    setReadOnly(slave.path, true);
    await until(mirror, ({ images }) => images[1]?.state === 'failed', 'slave1 is out');
    const end = async (): Promise<void> => {
      ended = true;
      await load;
    };
    return { mirror, paths, slave, end };
  }

  test('is set read-only, and is in sync by itself once it can be written', async () => {
    const { mirror, paths, slave, end } = await readOnlyUnderLoad();
    expect(mirror.status().images[1]?.error).toMatchObject({ message: expect.stringContaining('EPERM') });
    setReadOnly(slave.path, false);
    await until(mirror, inSync, 'slave1 is in sync');
    await end();
    await mirror.close();
    expect(imagesEqual(paths, SIZE)).toBe(true);
  });

  test('comes back under another name: it is found by its label, by itself', async () => {
    const { mirror, paths, slave, end } = await readOnlyUnderLoad();
    comesBackElsewhere(slave);
    await until(mirror, inSync, 'slave1 is in sync');
    expect(mirror.status().images[1]).toMatchObject({ path: slave.path, expectedAt: paths.slaves[0] });
    await end();
    await mirror.close();
    expect(imagesEqual({ ...paths, slaves: [slave.path] }, SIZE)).toBe(true);
  });
});

describe('the watch over slaves that are out', () => {
  const image = (state: string, cause: string) => ({ state, cause }) as never;

  test('tries not those of the operator, nor one that failed again and again, and waits longer from try to try', async () => {
    let now = 0;
    const asked: number[][] = [];
    const images = [image('in-sync', 'none'), image('behind', 'operator-request'), image('failed', 'write-error')];
    const watch = new RejoinWatch(
      () => images,
      (slaves) => {
        asked.push([...slaves]);
        return Promise.resolve();
      },
      () => now,
    );
    for (let failure = 0; failure < FAILURES - 1; failure++) watch.noteFailure(2);
    expect(watch.isFlapping(2)).toBe(false);
    watch.look();
    await new Promise((resolve) => setTimeout(resolve, 1400));
    expect(asked).toEqual([[2]]);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(asked).toEqual([[2]]);
    watch.noteFailure(2);
    expect(watch.isFlapping(2)).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 1600));
    now = 3_600_001;
    expect(watch.isFlapping(2)).toBe(false);
    watch.noteFailure(2);
    watch.stop();
    const before = asked.length;
    watch.look();
    await new Promise((resolve) => setTimeout(resolve, 1300));
    expect(asked.length).toBe(before);
  });
});
