/**
 * Slaves that come back: over devices that really fail, files that really lose blocks, and processes that are killed. What
 * was copied is counted against what was written; whether the images are equal is asked of their bytes, read plainly.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { Mirror, type ResyncReport, type StateEvent, inspect, recover, resync, verify } from '../../lib/index';
import { startCommand } from '../support/command_line';
import { type FailingDevice, useFailingDevices } from '../support/failing_device';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import {
  KIB,
  MIB,
  MIRROR_SIZE,
  type Paths,
  bytesOf,
  failure,
  imagesEqual,
  overwrite,
  pattern,
  useMirrors,
} from './support';

const IMAGE = 16 * MIB;
const LOG = 32 * MIB;
const SIZE = IMAGE - MIB;
/** Of the first write that a slave misses, where its device fails. */
const MISSED = 64 * KIB;

describeUnless(noLoopDevices, 'a slave whose device failed, and works again', () => {
  const mirrors = useMirrors();
  const makeLoop = useLoopDevices();
  const makeFailing = useFailingDevices();

  interface Degraded {
    mirror: Mirror;
    paths: Paths;
    slave: FailingDevice;
  }

  /** Of two slaves the first is out since a write of 64 KiB at 1 MiB. */
  async function degraded(
    before: (slave: FailingDevice, paths: Paths) => Promise<void> = async () => {},
  ): Promise<Degraded> {
    const slave = makeFailing(IMAGE);
    const slaves = [slave.path, makeLoop(IMAGE).path];
    const paths = { log: makeLoop(LOG).path, master: makeLoop(IMAGE).path, slaves };
    await Mirror.create({ ...paths, readBack: false });
    await before(slave, paths);
    const mirror = await mirrors.open(paths);
    await mirror.write(pattern(64 * KIB, 7), { position: 9 * MIB });
    await mirror.datasync();
    slave.breakIt();
    await mirror.write(pattern(MISSED, 8), { position: MIB });
    expect(mirror.status().images[1]?.state).toBe('failed');
    return { mirror, paths, slave };
  }

  async function expectEqual(mirror: Mirror, paths: Paths): Promise<void> {
    await mirror.close();
    expect(imagesEqual(paths, SIZE)).toBe(true);
    expect((await inspect(paths.log)).status.images.map(({ state }) => state)).toEqual(
      Array(paths.slaves.length + 1).fill('synchronized'),
    );
  }

  test('gets exactly the blocks that it missed, and status says until then since when it is out, why, and how much it owes', async () => {
    const { mirror, paths, slave } = await degraded();
    await mirror.write(pattern(4096, 9), { position: 10 * MIB });
    await mirror.write(pattern(4096, 10), { position: 12 * MIB + 8192, dsync: true });
    const owed = MISSED + 2 * 4096;
    const [, living] = mirror.status().images;
    expect(living).toMatchObject({ debt: 'map', bytesOwed: owed, resync: 'none' });
    expect(living?.fracture).toEqual({ at: living?.changedAt, cause: 'write-error' });
    await mirror.close();
    const [, closed] = (await inspect(paths.log)).status.images;
    expect(closed).toMatchObject({ debt: 'map', bytesOwed: owed, fracture: living?.fracture });
    expect(closed?.error?.message).toMatch(/it misses at most 72 KiB/);
    slave.mendIt();

    const again = await mirrors.open(paths);
    const states: StateEvent[] = [];
    again.on('state', (event) => states.push(event));
    const report = await again.resync();
    expect(report).toMatchObject({ inSync: true, bytesCopied: owed, bytesUnreadable: 0 });
    expect(report.slaves).toMatchObject([{ name: 'slave1', bytesCopied: owed, bytesLeft: 0, error: null }]);
    expect(states.map(({ image, from, to }) => [image, from, to])).toEqual([
      ['slave1', 'failed', 'synchronizing'],
      ['slave1', 'synchronizing', 'in-sync'],
    ]);
    expect(again.status().images[1]).toMatchObject({ debt: 'none', bytesOwed: 0, fracture: null, error: null });
    await expectEqual(again, paths);
  });

  test('comes back to the mirror that lost it, while that is written to', async () => {
    const { mirror, paths, slave } = await degraded();
    await mirror.write(pattern(4 * MIB, 9), { position: 10 * MIB });
    slave.mendIt();
    let writing = true;
    const writes = (async () => {
      for (let turn = 0; writing; turn++) {
        await mirror.write(pattern(16 * KIB, turn), { position: 10 * MIB + (turn % 128) * 32 * KIB });
      }
    })();
    const report = await mirror.resync(['slave1']);
    writing = false;
    await writes;
    expect(report).toMatchObject({
      inSync: true,
      slaves: [{ state: expect.stringMatching(/synchronized|consistent/) }],
    });
    await expectEqual(mirror, paths);
  });

  test('stays out, and the report says why, while its device fails; the other slaves go on', async () => {
    const { mirror } = await degraded();
    const report = await mirror.resync();
    expect(report.inSync).toBe(false);
    expect(report.slaves).toMatchObject([{ name: 'slave1', error: { code: 'ERR_BLOCKMIRROR_SLAVE_FAILED' } }]);
    expect(mirror.status().images[2]?.state).toBe('synchronized');
    await mirror.write(pattern(4096, 1), { position: 0 });
  });

  test('restored from an older copy it gets everything', async () => {
    let older = Buffer.alloc(0);
    const { mirror, paths, slave } = await degraded(async (device) => {
      older = readFileSync(device.path);
    });
    await mirror.close();
    slave.mendIt();
    overwrite(slave.path, 0, older);
    const report = await resync(paths.log);
    expect(report).toMatchObject({ inSync: true, bytesCopied: SIZE });
    expect(imagesEqual(paths, SIZE)).toBe(true);
  });

  test('with full it gets everything', async () => {
    const { mirror, paths, slave } = await degraded();
    slave.mendIt();
    expect(await mirror.resync(null, { full: true })).toMatchObject({ inSync: true, bytesCopied: SIZE });
    await expectEqual(mirror, paths);
  });

  test('paused it waits after the step, and goes on when it is resumed', async () => {
    const { mirror, paths, slave } = await degraded();
    slave.mendIt();
    await mirror.pauseResync();
    const states: string[] = [];
    const began = new Promise<void>((resolve) => {
      mirror.on('state', ({ to }) => {
        states.push(to);
        if (to === 'synchronizing') resolve();
      });
    });
    const under = mirror.resync();
    await began;
    await mirror.datasync();
    await mirror.datasync();
    expect(mirror.status().images[1]).toMatchObject({ state: 'synchronizing', bytesOwed: MISSED, resync: 'debt' });
    await mirror.resumeResync();
    expect((await under).inSync).toBe(true);
    // That it failed may have been told before.
    expect(states.slice(-2)).toEqual(['synchronizing', 'in-sync']);
    await expectEqual(mirror, paths);
  });

  test.each(['a signal', 'close'])(
    'stopped by %s it is synchronizing, and the next resync copies the rest',
    async (by) => {
      const { mirror, paths, slave } = await degraded();
      await mirror.write(pattern(4 * MIB, 9), { position: 10 * MIB, dsync: true });
      slave.mendIt();
      const controller = new AbortController();
      const reason = new Error('enough');
      const closings: Promise<void>[] = [];
      let done = 0;
      const work = mirror.resync(null, {
        rate: '8MiB',
        signal: controller.signal,
        onProgress: ({ bytesDone }) => {
          done = bytesDone;
          if (bytesDone === 0) return;
          if (by === 'close') closings.push(mirror.close());
          else controller.abort(reason);
        },
      });
      await expect(work).rejects.toMatchObject(
        by === 'close' ? { code: 'ERR_BLOCKMIRROR_CLOSED' } : { message: 'enough' },
      );
      await Promise.all(closings);
      await mirror.close();
      const [, cut] = (await inspect(paths.log)).status.images;
      const owed = MISSED + 4 * MIB;
      expect(done).toBeGreaterThan(0);
      expect(done).toBeLessThan(owed);
      expect(cut).toMatchObject({ state: 'synchronizing', resync: 'debt', bytesOwed: owed - done });
      expect(await resync(paths.log)).toMatchObject({ inSync: true, bytesCopied: owed - done });
      expect(imagesEqual(paths, SIZE)).toBe(true);
    },
  );

  test('killed in its middle it is resumed, and ends equal', async () => {
    const { mirror, paths, slave } = await degraded();
    await mirror.write(pattern(5 * MIB, 9), { position: 9 * MIB + 64 * KIB, dsync: true });
    await mirror.close();
    slave.mendIt();
    for (let round = 0; round < 3; round++) {
      const { child, result } = startCommand(['resync', paths.log, '--rate', '2MiB']);
      for (;;) {
        const [, seen] = (await inspect(paths.log)).status.images;
        if (seen?.state === 'synchronizing') break;
      }
      child.kill('SIGKILL');
      expect((await result).exitCode).toBeNull();
      expect((await inspect(paths.log)).status.images[1]?.state).toBe('synchronizing');
    }
    const report = await resync(paths.log);
    expect(report).toMatchObject({ inSync: true });
    expect(report.bytesCopied).toBeLessThanOrEqual(MISSED + 5 * MIB);
    expect(imagesEqual(paths, SIZE)).toBe(true);
    expect((await verify(paths.log)).identical).toBe(true);
  });

  test('whose place another disk has is not written to, and the reason is told', async () => {
    const { mirror, paths, slave } = await degraded();
    await mirror.close();
    slave.mendIt();
    overwrite(slave.path, 0, pattern(IMAGE, 3));
    const report = await resync(paths.log);
    expect(report.inSync).toBe(false);
    expect(report.slaves).toMatchObject([{ state: 'failed', bytesCopied: 0 }]);
    expect(report.slaves[0]?.error).not.toBeNull();
    expect(bytesOf(slave.path, 0, IMAGE).equals(pattern(IMAGE, 3))).toBe(true);
  });

  test('two of them come back in one pass, each with what it missed', async () => {
    const devices = [makeFailing(IMAGE), makeFailing(IMAGE)] as const;
    const slaves = [...devices.map(({ path }) => path), makeLoop(IMAGE).path];
    const paths = { log: makeLoop(LOG).path, master: makeLoop(IMAGE).path, slaves };
    await Mirror.create({ ...paths, readBack: false });
    const mirror = await mirrors.open(paths);
    devices[0].breakIt();
    await mirror.write(pattern(MISSED, 8), { position: MIB });
    await mirror.datasync();
    devices[1].breakIt();
    await mirror.write(pattern(MISSED, 9), { position: 2 * MIB, dsync: true });
    for (const device of devices) device.mendIt();
    // What the second had is gone for the way in which it was made to fail, and no mirror could know.
    overwrite(devices[1].path, MIB, pattern(MISSED, 8));
    const report = await mirror.resync();
    expect(report.slaves.map(({ bytesCopied }) => bytesCopied)).toEqual([2 * MISSED, MISSED]);
    expect(report.bytesCopied).toBe(3 * MISSED);
    await expectEqual(mirror, paths);
  });
});

describe('a slave whose file lost blocks', () => {
  const mirrors = useMirrors();

  async function punched(): Promise<Paths> {
    const { mirror, paths } = await mirrors.make({}, 2);
    await mirror.write(pattern(MIB, 7), { position: 2 * MIB, dsync: true });
    await mirror.close();
    execFileSync('fallocate', [
      '--punch-hole',
      '--offset',
      String(2 * MIB),
      '--length',
      '8192',
      paths.slaves[0] as string,
    ]);
    await recover(paths.log);
    return paths;
  }

  test('is not taken back as it is; filled it gets everything, for what the hole held is nowhere noted', async () => {
    const paths = await punched();
    const refused = await resync(paths.log);
    expect(refused.slaves).toMatchObject([{ state: 'failed', error: { code: 'ERR_BLOCKMIRROR_LOST_ALLOCATION' } }]);
    expect(bytesOf(paths.slaves[0] as string, 2 * MIB, 8192).equals(Buffer.alloc(8192))).toBe(true);
    execFileSync('fallocate', ['--length', String(MIRROR_SIZE + MIB), paths.slaves[0] as string]);
    expect(await resync(paths.log)).toMatchObject({ inSync: true, bytesCopied: MIRROR_SIZE });
    expect(imagesEqual(paths)).toBe(true);
  });

  test('is refused by the mirror that found it at its opening, too', async () => {
    const { mirror, paths } = await mirrors.make({}, 2);
    await mirror.close();
    execFileSync('fallocate', ['--punch-hole', '--offset', '0', '--length', '8192', paths.slaves[0] as string]);
    const again = await mirrors.open(paths);
    expect((await again.resync()).slaves).toMatchObject([{ error: { code: 'ERR_BLOCKMIRROR_LOST_ALLOCATION' } }]);
  });

  test('and that is gone stays out, until it is there again', async () => {
    const paths = await punched();
    const [slave] = paths.slaves as [string];
    execFileSync('fallocate', ['--length', String(MIRROR_SIZE + MIB), slave]);
    const away = mirrors.at('away');
    const elsewhere = mirrors.at('elsewhere');
    mkdirSync(elsewhere);
    renameSync(slave, `${elsewhere}/image`);
    const report = await resync(paths.log);
    expect(report.slaves).toMatchObject([{ error: { code: 'ERR_BLOCKMIRROR_IMAGE_MISSING' } }]);
    renameSync(`${elsewhere}/image`, away);
    const found = await resync(paths.log);
    expect(found).toMatchObject({ inSync: true, foundElsewhere: [{ name: 'slave1', path: away }] });
    expect(imagesEqual({ ...paths, slaves: [away, paths.slaves[1] as string] })).toBe(true);
  });
});

describe('what is asked of resync', () => {
  const mirrors = useMirrors();

  test('with nothing to do it says so', async () => {
    const { mirror, paths } = await mirrors.make();
    const nothing: Partial<ResyncReport> = { inSync: true, slaves: [], bytesCopied: 0 };
    expect(await mirror.resync()).toMatchObject(nothing);
    expect(await mirror.resync(['slave1'])).toMatchObject({ inSync: true, slaves: [{ bytesCopied: 0, error: null }] });
    await mirror.close();
    expect(await resync(paths.log)).toMatchObject(nothing);
  });

  test('names that are no slaves, and options that are none, are refused', async () => {
    const { mirror, paths } = await mirrors.make();
    await failure(mirror.resync(['master']), 'INVALID_OPTION');
    expect((await failure(mirror.resync(['slave9']), 'INVALID_OPTION')).remedy).toContain('slave1');
    await failure(mirror.resync(null, { rate: 0 }), 'INVALID_OPTION');
    await failure(mirror.resync(null, { rate: '10GB' }), 'INVALID_OPTION');
    await failure(mirror.resync(null, { speed: '1MiB' } as never), 'INVALID_OPTION');
    await expect(mirror.resync('slave1' as never)).rejects.toThrow(/images/);
    await mirror.close();
    await failure(mirror.resync(), 'CLOSED');
    await failure(resync(paths.log, { slaves: ['slave9'] }), 'INVALID_OPTION');
    expect((await inspect(paths.log)).status.phase).toBe('closed');
  });
});
