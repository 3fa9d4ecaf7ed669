/** `blockmirror resync`, and what the other commands say of a slave that it takes back. */
import { readFileSync } from 'node:fs';
import { Mirror } from '../../lib/index';
import { runCommand } from '../support/command_line';
import { type FailingDevice, useFailingDevices } from '../support/failing_device';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { MIB } from '../support/temporary_folder';

const IMAGE = 16 * MIB;
const SIZE = IMAGE - MIB;

describeUnless(noLoopDevices, 'resync', () => {
  const makeLoop = useLoopDevices();
  const makeFailing = useFailingDevices();

  interface Degraded {
    log: string;
    master: string;
    slave: FailingDevice;
  }

  /** Of two slaves the first missed 128 KiB. */
  async function degraded(end: 'closed' | 'crashed' = 'closed'): Promise<Degraded> {
    const log = makeLoop(32 * MIB).path;
    const master = makeLoop(IMAGE).path;
    const slave = makeFailing(IMAGE);
    await Mirror.create({ log, master, slaves: [slave.path, makeLoop(IMAGE).path], readBack: false });
    const mirror = await Mirror.open(log);
    slave.breakIt();
    await mirror.write(Buffer.alloc(65536, 1), { position: MIB });
    await mirror.write(Buffer.alloc(65536, 2), { position: 9 * MIB });
    if (end === 'closed') await mirror.close();
    else (mirror as unknown as { engine: { destroy(): void } }).engine.destroy();
    return { log, master, slave };
  }

  function equal({ master, slave }: Degraded): boolean {
    return readFileSync(master).subarray(0, SIZE).equals(readFileSync(slave.path).subarray(0, SIZE));
  }

  test('copies what the slave missed; status names the command before, and has nothing to do after', async () => {
    const made = await degraded();
    const { log, slave } = made;
    const before = await runCommand(['status', log]);
    expect(before.stdout).toMatch(/slave1.*it misses at most 128 KiB/s);
    expect(before.stdout).toMatch(/Next: .*works without slave1; `blockmirror resync \S+` takes slave1 back/s);
    expect((await runCommand(['verify', log])).stdout).toMatch(/slave1/);
    slave.mendIt();
    const { exitCode, stdout } = await runCommand(['resync', log]);
    expect(stdout).toMatch(
      /slave1 \(\S+\): synchronized; 128 KiB copied\ncopied: 128 KiB in .*\n\nNext: nothing to do\./,
    );
    expect(exitCode).toBe(0);
    expect(equal(made)).toBe(true);
    expect((await runCommand(['status', log])).exitCode).toBe(0);
  });

  test('recovers first what was not closed, and recover names it', async () => {
    const made = await degraded('crashed');
    const recovered = await runCommand(['recover', made.log]);
    expect(recovered.stdout).toMatch(/Next: blockmirror resync \S+ takes slave1 back/);
    made.slave.mendIt();
    const result = await runCommand(['resync', made.log, 'slave1', '--rate', '64MiB', '--json']);
    expect(result.exitCode).toBe(0);
    expect(result.json()).toMatchObject({ inSync: true, slaves: [{ name: 'slave1', state: 'synchronized' }] });
    expect(equal(made)).toBe(true);
  });

  test('of a mirror that was not closed it recovers and takes back in one', async () => {
    const made = await degraded('crashed');
    made.slave.mendIt();
    expect((await runCommand(['resync', made.log, '--full'])).stdout).toMatch(/15 MiB copied/);
    expect(equal(made)).toBe(true);
  });

  test('ends with 3 and the reason, where the slave cannot come back', async () => {
    const { log } = await degraded();
    const { exitCode, stdout } = await runCommand(['resync', log]);
    expect(stdout).toMatch(/Next: see to slave1/);
    expect(exitCode).toBe(3);
  });

  test('a name that no slave has is wrong usage of it, and nothing is done', async () => {
    const { log } = await degraded();
    const { exitCode, stderr } = await runCommand(['resync', log, 'slave7']);
    expect(stderr).toMatch(/Its slaves are slave1, slave2/);
    expect(exitCode).not.toBe(0);
    expect((await runCommand(['resync', log, '--rate', '0'])).exitCode).toBe(2);
  });
});
