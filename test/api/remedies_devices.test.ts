/**
 * Remedies of failing devices, each produced by a device that really fails, taken from its message, and run by a shell.
 * Then the mirror must be whole, and hold what it acknowledged.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type ErrorName, Mirror, type Problem, inspect, verify } from '../../lib/index';
import { type FailingDevice, useFailingDevices } from '../support/failing_device';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { commandsOf, operatorShell } from '../support/pasted_command';
import { describeUnless } from '../support/skip';
import { run } from '../support/tools';
import { MIB, type Paths, bytesOf, failure, overwrite, pattern, useMirrors } from './support';

const IMAGE = 16 * MIB;
const LOG = 32 * MIB;
const CONTENT = pattern(64 * 1024, 7);

describeUnless(
  noLoopDevices,
  'what an error of a device says to do can be pasted, and keeps what was acknowledged',
  () => {
    const mirrors = useMirrors();
    const makeLoop = useLoopDevices();
    const makeFailing = useFailingDevices();
    const { runs } = operatorShell(() => mirrors.folder());

    async function made(paths: Partial<Paths & { minInSync: number }>): Promise<{ mirror: Mirror; paths: Paths }> {
      const whole = { log: '', master: '', slaves: [], ...paths };
      whole.log ||= makeLoop(LOG).path;
      whole.master ||= makeLoop(IMAGE).path;
      if (whole.slaves.length === 0) whole.slaves = [makeLoop(IMAGE).path];
      await Mirror.create({ ...whole, readBack: false });
      const mirror = await mirrors.open(whole);
      await mirror.write(CONTENT, { position: 9 * MIB, dsync: true });
      return { mirror, paths: whole };
    }

    /** What a write is refused with while the device fails; then the mirror is closed, and the device answers again. */
    async function failed(name: ErrorName, mirror: Mirror, device: FailingDevice) {
      device.breakIt();
      const error = await failure(mirror.write(CONTENT, { position: MIB }), name);
      await mirror.close().catch(() => undefined);
      device.mendIt();
      return error;
    }

    async function isWhole(log: string, positions: readonly number[]): Promise<void> {
      const { status, attachable } = await inspect(log);
      expect(attachable).toBe(true);
      expect(status.images.map(({ state }) => state)).toEqual(status.images.map(() => 'synchronized'));
      expect((await verify(log)).identical).toBe(true);
      for (const { path } of status.images) {
        for (const position of positions) expect(bytesOf(path, position, CONTENT.length).equals(CONTENT)).toBe(true);
      }
    }

    test('SLAVE_FAILED: the living mirror says the errno and when, and how it is copied again', async () => {
      const slave = makeFailing(IMAGE);
      const { mirror, paths } = await made({ slaves: [slave.path, makeLoop(IMAGE).path] });
      slave.breakIt();
      await mirror.write(CONTENT, { position: MIB });
      const [, failed] = mirror.status().images;
      expect(failed).toMatchObject({ state: 'failed', changedAt: expect.stringMatching(/^20/) });
      const { message } = failed?.error as Problem;
      expect(message).toMatch(new RegExp(`at ${failed?.changedAt} it returned (EIO|ENOSPC)`));
      await mirror.close();
      expect((await inspect(paths.log)).status.images[1]).toMatchObject({ changedAt: failed?.changedAt });
      slave.mendIt();
      const [command] = commandsOf(message);
      expect(command).toMatch(/^blockmirror resync /);
      runs(command as string);
      await isWhole(paths.log, [MIB, 9 * MIB]);
    });

    test('SLAVE_FAILED for good: another device in its place', async () => {
      const slave = makeFailing(IMAGE);
      const { mirror, paths } = await made({ slaves: [slave.path, makeLoop(IMAGE).path] });
      slave.breakIt();
      await mirror.write(CONTENT, { position: MIB });
      const { message } = mirror.status().images[1]?.error as Problem;
      await mirror.close();
      slave.mendIt();
      overwrite(slave.path, 0, Buffer.alloc(IMAGE));
      const [back, anew, ...others] = commandsOf(message);
      expect(operatorShell(() => mirrors.folder()).run(back as string).status).toBe(3);
      expect(others).toEqual([]);
      runs(anew as string);
      await isWhole(paths.log, [MIB, 9 * MIB]);
    });

    test('TOO_FEW_IN_SYNC', async () => {
      const slave = makeFailing(IMAGE);
      const { mirror, paths } = await made({ slaves: [slave.path], minInSync: 2 });
      slave.breakIt();
      await failure(mirror.write(CONTENT, { position: MIB }), 'TOO_FEW_IN_SYNC');
      const error = await failure(mirror.write(CONTENT, { position: 2 * MIB }), 'TOO_FEW_IN_SYNC');
      await mirror.close();
      slave.mendIt();
      const [command] = commandsOf(error.remedy);
      expect(command).toMatch(/^blockmirror resync /);
      runs(command as string);
      await isWhole(paths.log, [MIB, 9 * MIB]);
    });

    test('MASTER_FAILED, and the device answers again', async () => {
      const master = makeFailing(IMAGE);
      const { mirror, paths } = await made({ master: master.path });
      const error = await failed('MASTER_FAILED', mirror, master);
      const [recover] = commandsOf(error.remedy);
      runs(recover as string);
      await isWhole(paths.log, [9 * MIB]);
    });

    test('MASTER_FAILED for good: the slave takes its place, and a new device the place of the master', async () => {
      const master = makeFailing(IMAGE);
      const { mirror, paths } = await made({ master: master.path });
      const error = await failed('MASTER_FAILED', mirror, master);
      // A new disk under the old name.
      overwrite(master.path, 0, Buffer.alloc(IMAGE));
      const [, status] = commandsOf(error.remedy);
      const { output } = operatorShell(() => mirrors.folder()).run(status as string);
      const anew = output.split('\n').find((line) => line.trim().startsWith('blockmirror create'));
      runs(anew as string);
      await isWhole(paths.log, [9 * MIB]);
    });

    test('LOG_FAILED, and the device works again', async () => {
      const log = makeFailing(LOG);
      const { mirror, paths } = await made({ log: log.path });
      const error = await failed('LOG_FAILED', mirror, log);
      const [recover] = commandsOf(error.remedy);
      runs(recover as string);
      await isWhole(paths.log, [9 * MIB]);
    });

    test('LOG_FAILED for good: another device in its place', async () => {
      const log = makeFailing(LOG);
      const { mirror, paths } = await made({ log: log.path });
      const error = await failed('LOG_FAILED', mirror, log);
      overwrite(log.path, 0, Buffer.alloc(LOG));
      const [, anew, ...others] = commandsOf(error.remedy);
      expect(others).toEqual([]);
      runs(anew as string);
      await isWhole(paths.log, [9 * MIB]);
    });

    test('READ_ONLY_DEVICE', async () => {
      const { mirror, paths } = await made({});
      await mirror.close();
      run('blockdev', '--setro', paths.slaves[0] as string);
      const error = await failure(Mirror.open(paths.log, { requireAll: true }), 'READ_ONLY_DEVICE');
      runs(commandsOf(error.remedy)[0] as string);
      await isWhole(paths.log, [9 * MIB]);
    });

    test('MOUNTED and IN_USE: what ends the use is a command, and nothing on the device is lost', async () => {
      const { mirror, paths } = await made({});
      const mountPoint = join(mirrors.folder(), `it's mounted`);
      await mirror.write(CONTENT, { position: 4 * MIB });
      await mirror.close();
      const disk = makeLoop(IMAGE).path;
      run('mkfs.ext4', '-q', '-F', disk);
      run('mkdir', mountPoint);
      run('mount', disk, mountPoint);
      const create = { log: join(mirrors.folder(), 'log'), master: paths.master, slaves: [disk], keepData: true };
      const mounted = await failure(Mirror.create(create), 'MOUNTED');
      runs(commandsOf(mounted.remedy)[0] as string);
      await failure(Mirror.create(create), 'SIGNATURE_FOUND');
      run('mkswap', '-f', disk);
      if (spawnSync('swapon', [disk]).status === 0) {
        const used = await failure(Mirror.create(create), 'IN_USE');
        runs(commandsOf(used.remedy)[0] as string);
        await failure(Mirror.create(create), 'SIGNATURE_FOUND');
      }
      await isWhole(paths.log, [4 * MIB, 9 * MIB]);
    });

    test('an image that is mounted is seen from outside, and its state stands', async () => {
      const disk = makeLoop(IMAGE).path;
      run('mkfs.ext4', '-q', '-F', disk, '12M');
      const paths = { log: makeLoop(LOG).path, master: disk, slaves: [makeLoop(IMAGE).path] };
      await Mirror.create({ ...paths, keepData: true, size: 12 * MIB, readBack: false });
      const mountPoint = join(mirrors.folder(), 'mounted');
      run('mkdir', mountPoint);
      run('mount', '-o', 'ro', disk, mountPoint);
      try {
        const { status, attachable, obstacles } = await inspect(paths.log);
        expect(attachable).toBe(false);
        expect(obstacles.map(({ code }) => code)).toEqual(['ERR_BLOCKMIRROR_MOUNTED']);
        expect(obstacles[0]?.message).toContain(mountPoint);
        expect(status.images[0]).toMatchObject({ state: 'synchronized', error: obstacles[0] });
        await failure(Mirror.open(paths.log), 'MOUNTED');
      } finally {
        run('umount', mountPoint);
      }
      expect((await inspect(paths.log)).attachable).toBe(true);
    });

    test('the old path of a slave that failed is never named in a command once another image is there', async () => {
      const slave = makeFailing(IMAGE);
      const { mirror, paths } = await made({ slaves: [slave.path, makeLoop(IMAGE).path] });
      slave.breakIt();
      await mirror.write(CONTENT, { position: MIB });
      await mirror.close();
      // The slave in sync gets the name of the one that failed.
      const second = paths.slaves[1] as string;
      const below = (path: string): string => run('losetup', '-n', '-O', 'BACK-FILE', path).trim();
      const [ofFailed, ofSecond] = [below(slave.path), below(second)];
      run('losetup', '--detach', slave.path);
      run('losetup', '--detach', second);
      run('losetup', '--direct-io=on', slave.path, ofSecond);
      run('losetup', second, ofFailed);
      const { status } = await inspect(paths.log);
      const again = await mirrors.open(paths);
      const living = again.status();
      await again.close();
      for (const images of [status.images, living.images]) {
        expect(images[2]).toMatchObject({ path: slave.path, state: 'synchronized' });
      }
      const { message } = status.images[1]?.error as Problem;
      expect(message).toMatch(/free/);
      expect(commandsOf(message)).toEqual([`blockmirror resync ${paths.log}`]);
      // The mirror that has it open found the one that failed by its label.
      expect(living.images[1]?.path).toBe(second);
      expect(commandsOf(living.images[1]?.error?.message ?? '')[1]).toContain(`--slave slave1=${second}`);
    });
  },
);
