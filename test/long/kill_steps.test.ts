// SIGKILL in the middle of the steps around the write path: create and recovery.
import { setTimeout as sleep } from 'node:timers/promises';
import { Ledger } from '../../lib/cli/demo/acknowledgements';
import { inspect, Mirror, recover } from '../../lib/index';
import { runCommand, startCommand } from '../support/command_line';
import { judgeAndRecover } from '../support/kill_rounds';
import { breakMirror, mirrorFiles, type MirrorFiles } from '../support/mirror_files';
import { MIB, useTemporaryFolder, writeFileInFull } from '../support/temporary_folder';

const SIZE = 64 * MIB;
const folder = useTemporaryFolder();

/** Runs the command line and kills it after `delay_ms`. True when the kill came before its end. */
async function killCommand(args: readonly string[], delay_ms: number): Promise<boolean> {
  const command = startCommand(args);
  await Promise.race([sleep(delay_ms), command.result]);
  command.child.kill('SIGKILL');
  return (await command.result).exitCode === null;
}

/** How long the command takes undisturbed: what random moments are drawn from. */
async function durationOf(args: readonly string[]): Promise<number> {
  const begin = Date.now();
  const { exitCode, stderr } = await runCommand(args);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  return Date.now() - begin;
}

test('create killed at 20 moments: no half-made mirror ever opens, and create again succeeds', async () => {
  const { log, master, slave } = mirrorFiles(folder());
  writeFileInFull(master, SIZE + 2 * MIB, 'random');
  writeFileInFull(slave, SIZE + 2 * MIB, 'random');
  const args = ['create', '--log', log, '--master', master, '--slave', slave, '--keep-data', '--overwrite-signature'];
  const duration = await durationOf(args);
  let kills = 0;
  for (let moment = 1; moment <= 20; moment += 1) {
    kills += (await killCommand(args, (duration * moment) / 20)) ? 1 : 0;
    // Either the old mirror, or none, or a whole new one: opening must say which, and never open a half-made one.
    const opened = await Mirror.open(log).catch((error: unknown) => error as Error);
    if (opened instanceof Mirror) {
      await opened.close();
      expect((await runCommand(['verify', log])).exitCode).toBe(0);
    } else {
      expect(opened).toMatchObject({
        code: expect.stringMatching(
          /^ERR_BLOCKMIRROR_(CREATE_UNFINISHED|NOT_A_LOG|LOG_DAMAGED|FOREIGN_IMAGE|NO_LABEL|TOO_SMALL|HOLE|OPEN_FAILED)$/,
        ),
      });
    }
  }
  expect(kills).toBeGreaterThan(0);
  expect((await runCommand(args)).exitCode).toBe(0);
  expect((await runCommand(['verify', log])).exitCode).toBe(0);
});

test('recovery killed at 20 moments, and run again: equal, nothing acknowledged is lost, the debt kept until it is paid', async () => {
  const files: MirrorFiles = mirrorFiles(folder());
  const { size } = await Mirror.create({ log: files.log, master: files.master, slaves: [files.slave], size: SIZE });
  const mirror = { log: files.log, images: [files.master, files.slave], size };
  const ledger = new Ledger();
  await breakMirror(files, ledger, 3000, 1);
  const duration = await durationOf(['recover', files.log]);
  let kills = 0;
  for (let moment = 1; moment <= 20; moment += 1) {
    await breakMirror(files, ledger, 500, 1 + moment);
    const before = await inspect(files.log);
    kills += (await killCommand(['recover', files.log], (duration * moment) / 20)) ? 1 : 0;
    const after = await inspect(files.log);
    if (!after.clean && after.liveIntents.length > 0) expect(after.extents).toEqual(before.extents);
    await judgeAndRecover(mirror, ledger, 'io_uring');
  }
  expect(kills).toBeGreaterThan(0);
});

test('recovery run twice copies nothing the second time', async () => {
  const files = mirrorFiles(folder());
  await Mirror.create({ log: files.log, master: files.master, slaves: [files.slave], size: 16 * MIB });
  await breakMirror(files);
  await recover(files.log);
  const again = await recover(files.log);
  expect(again).toMatchObject({ clean: true, bytesCopied: 0, extents: [] });
});
