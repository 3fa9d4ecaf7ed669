// SIGKILL at random moments, hundreds of times: after each recovery master and slaves are byte-equal, every write that
// was acknowledged before the kill is there, and before recovery nothing differed that the log did not name.
import { Mirror, openEngines } from '../../lib/index';
import { DEVICE_KINDS, killRounds, type KillTally } from '../support/kill_rounds';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { mirrorFiles } from '../support/mirror_files';
import { describeUnless } from '../support/skip';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

const KILLS_OVER_FILES = 100; // for each device kind
const KILLS_OVER_LOOP_DEVICES = 25;
const KILLS_OF_A_SMALL_RING = 15;

function tell(name: string, tally: KillTally): void {
  console.log(`${name}: ${JSON.stringify(tally)}`);
}

afterAll(() => expect(openEngines()).toBe(0));

describe.each(DEVICE_KINDS)('a writer killed at random, device %s', (device) => {
  const folder = useTemporaryFolder();

  test(`over files, ${KILLS_OVER_FILES} times: equal, and nothing acknowledged is lost`, async () => {
    const { log, master, slave } = mirrorFiles(folder());
    const { size } = await Mirror.create({ log, master, slaves: [slave], size: 16 * MIB, device });
    const tally = await killRounds({ log, images: [master, slave], size }, device, KILLS_OVER_FILES);
    tell(`files, ${device}`, tally);
    expect(tally.kills).toBe(KILLS_OVER_FILES);
  });

  test('while it retires and carries forward all the time (the smallest ring and budget): equal, covered within the budget', async () => {
    const { log, master, slave } = mirrorFiles(folder());
    const third = `${slave}.2`;
    const recoveryBudget = MIB;
    const created = await Mirror.create({
      log,
      master,
      slaves: [slave, third],
      size: 16 * MIB,
      ringRecords: 8,
      device,
    });
    const mirror = { log, images: [master, slave, third], size: created.size, recoveryBudget };
    const tally = await killRounds(mirror, device, KILLS_OF_A_SMALL_RING);
    tell(`small ring, ${device}`, tally);
    expect(tally.largestCoverage).toBeLessThanOrEqual(recoveryBudget);
  });

  describeUnless(noLoopDevices, 'on block devices', () => {
    const makeLoopDevice = useLoopDevices();

    test(`over loop devices, ${KILLS_OVER_LOOP_DEVICES} times: equal, and nothing acknowledged is lost`, async () => {
      const [log, master, slave] = [32, 18, 18].map((length) => makeLoopDevice(length * MIB).path) as [
        string,
        string,
        string,
      ];
      const { size } = await Mirror.create({ log, master, slaves: [slave], device });
      const tally = await killRounds({ log, images: [master, slave], size }, device, KILLS_OVER_LOOP_DEVICES);
      tell(`loop devices, ${device}`, tally);
      expect(tally.kills).toBe(KILLS_OVER_LOOP_DEVICES);
    });
  });
});
