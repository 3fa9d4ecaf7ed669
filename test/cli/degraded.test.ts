/** What the commands say of a mirror whose slave failed, by their exit codes too: monitoring reads nothing else. */
import { Mirror } from '../../lib/index';
import { runCommand } from '../support/command_line';
import { useFailingDevices } from '../support/failing_device';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { MIB } from '../support/temporary_folder';

const IMAGE = 16 * MIB;

describeUnless(noLoopDevices, 'of a mirror that lost one of two slaves', () => {
  const makeLoop = useLoopDevices();
  const makeFailing = useFailingDevices();

  /** Written to after slave1 failed, and closed, or left as after a crash. */
  async function withoutSlave(end: 'closed' | 'crashed'): Promise<string> {
    const log = makeLoop(32 * MIB).path;
    const failing = makeFailing(IMAGE);
    const slaves = [failing.path, makeLoop(IMAGE).path];
    await Mirror.create({ log, master: makeLoop(IMAGE).path, slaves, readBack: false });
    const mirror = await Mirror.open(log);
    failing.breakIt();
    await mirror.write(Buffer.alloc(65536, 1), { position: MIB });
    await mirror.write(Buffer.alloc(65536, 1), { position: 9 * MIB });
    expect(mirror.status().images[1]?.state).toBe('failed');
    if (end === 'closed') await mirror.close();
    else (mirror as unknown as { engine: { destroy(): void } }).engine.destroy();
    return log;
  }

  test('status ends with 3, and says what the mirror works without', async () => {
    const { exitCode, stdout } = await runCommand(['status', await withoutSlave('closed')]);
    expect(stdout).toMatch(/works without slave1/);
    expect(exitCode).toBe(3);
  });

  test('recover ends with 3, and says which one it left out', async () => {
    const { exitCode, stdout } = await runCommand(['recover', await withoutSlave('crashed')]);
    expect(stdout).toMatch(/slave1 .*failed/);
    expect(exitCode).toBe(3);
  });
});
