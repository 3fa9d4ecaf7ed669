/** A slave that is taken out and whose device is let go: it can be pulled, and comes back by resync(). */
import { Mirror, verify } from '../../lib/index';
import { runCommand } from '../support/command_line';
import { noLoopDevices, pull, putBack, useLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { MIB, describeDeviceKinds, failure, pattern, useMirrors } from './support';

const mirrors = useMirrors();

describeUnless(noLoopDevices, 'a slave on a loop device', () => {
  const makeLoop = useLoopDevices();

  describeDeviceKinds('over', (device) => {
    test('can be pulled after fracture with detach, while the mirror is written, and comes back with what it missed', async () => {
      const slave = makeLoop(16 * MIB);
      const paths = { log: makeLoop(32 * MIB).path, master: makeLoop(16 * MIB).path, slaves: [slave.path] };
      await Mirror.create({ ...paths, device });
      const mirror = await Mirror.open(paths.log, { device });
      try {
        await mirror.write(pattern(MIB, 1), { position: 0 });
        await mirror.fracture(['slave1']);
        expect(() => pull(slave)).toThrow('is still held');
        const report = await mirror.fracture(['slave1'], { detach: true });
        expect(report.slaves).toMatchObject([{ name: 'slave1', state: 'behind', detached: true }]);
        expect(mirror.status().images.map((image) => image.device)).toEqual([device, null]);
        await mirror.write(pattern(64 * 1024, 2), { position: 4 * MIB });
        putBack(slave);
        pull(slave);
        putBack(slave);
        const back = await mirror.resync(['slave1']);
        expect(back.inSync).toBe(true);
        expect(back.bytesCopied).toBeLessThanOrEqual(MIB + 64 * 1024);
        expect(mirror.status().images.map((image) => image.device)).toEqual([device, device]);
      } finally {
        await mirror.close();
      }
      expect((await verify(paths.log)).result).toBe('identical');
    });
  });
});

test('without detach the device stays held, and what is asked for is a boolean', async () => {
  const { mirror } = await mirrors.make();
  await failure(mirror.fracture(['slave1'], { detached: true } as object), 'INVALID_OPTION');
  expect((await mirror.fracture(['slave1'])).slaves).toMatchObject([{ detached: false }]);
  expect(mirror.status().images[1]?.device).not.toBeNull();
  expect((await mirror.resync(['slave1'])).inSync).toBe(true);
});

test('one that was out by a fault and is detached comes back by hand alone', async () => {
  const paths = await mirrors.create();
  const nowhere = { slave1: mirrors.at('nowhere') };
  const mirror = await mirrors.open(paths, { rejoin: 'auto', waitForImages: 0, images: nowhere });
  expect((await mirror.fracture(['slave1'], { detach: true })).slaves).toMatchObject([{ detached: true }]);
  // An automatic rejoin tries after a second.
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect(mirror.status().images[1]?.state).toBe('behind');
  expect((await mirror.resync(['slave1'])).inSync).toBe(true);
});

test('the command line says so too', async () => {
  const paths = await mirrors.create();
  const done = await runCommand(['fracture', paths.log, 'slave1', '--detach']);
  expect(done.exitCode).toBe(0);
  expect(done.stdout.replace(/\s+/g, ' ')).toContain('behind, its device let go');
});
