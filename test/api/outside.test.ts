/** A look from outside says what an opening would: whatever is in its way, on whichever device, and why. */
import { execFileSync } from 'node:child_process';
import { chmodSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { Mirror, inspect, recover, recoveryReportToText, verify, verifyReportToText } from '../../lib/index';
import { runCommand } from '../support/command_line';
import { notRoot, testUnless } from '../support/skip';
import { KIB, MIB, type Paths, overwrite, useMirrors } from './support';

const mirrors = useMirrors();

/** Whether the mirror opens; it is closed again. */
async function opens(paths: Paths): Promise<boolean> {
  const mirror = await Mirror.open(paths.log).catch(() => null);
  await mirror?.close();
  return mirror !== null;
}

const punch = (path: string): unknown => execFileSync('fallocate', ['-p', '-o', '1MiB', '-l', '64KiB', path]);

describe('what is wrong with a device is an obstacle exactly when it keeps the mirror from being opened', () => {
  const wrongs: [string, (paths: Paths) => unknown][] = [
    ['nothing', () => undefined],
    ['a hole in a slave', ({ slaves }) => punch(slaves[0] as string)],
    ['a hole in the master', ({ master }) => punch(master)],
    ['a slave that is gone', ({ slaves }) => rmSync(slaves[0] as string)],
    ['a slave that was cut off', ({ slaves }) => truncateSync(slaves[0] as string, 4 * MIB)],
    ['a slave without a label', ({ slaves }) => overwrite(slaves[0] as string, 8 * MIB, Buffer.alloc(MIB))],
    ['a label with one copy', ({ slaves }) => overwrite(slaves[0] as string, 8 * MIB, Buffer.alloc(4096))],
    ['a log with one copy', ({ log }) => overwrite(log, 64 * KIB, Buffer.alloc(4096))],
  ];
  test.each(wrongs)('%s', async (_name, spoil) => {
    const paths = await mirrors.create({ slaveCount: 2 });
    spoil(paths);
    const { attachable, obstacles, status } = await inspect(paths.log);
    expect(attachable).toBe(obstacles.length === 0);
    expect(status.images[2]).toMatchObject({ state: 'synchronized', error: null });
    expect(attachable).toBe(await opens(paths));
  });
});

testUnless(notRoot, 'a mounted read-only file system is in the way, and the states of the images stand', async () => {
  const paths = await mirrors.create();
  execFileSync('mount', ['--bind', mirrors.folder(), mirrors.folder()]);
  try {
    execFileSync('mount', ['-o', 'remount,bind,ro', mirrors.folder()]);
    const { attachable, obstacles, status } = await inspect(paths.log);
    expect(attachable).toBe(false);
    // A slave alone would be left out.
    expect(obstacles.map(({ code }) => code)).toEqual(Array(2).fill('ERR_BLOCKMIRROR_READ_ONLY_DEVICE'));
    expect(status.images.map(({ state }) => state)).toEqual(['synchronized', 'synchronized']);
    expect(await opens(paths)).toBe(false);
  } finally {
    execFileSync('umount', [mirrors.folder()]);
  }
});

testUnless(
  process.getuid?.() === 0 ? 'root may write to everything' : null,
  'a file that we may not write to',
  async () => {
    const paths = await mirrors.create();
    chmodSync(paths.master, 0o400);
    expect((await inspect(paths.log)).attachable).toBe(false);
  },
);

test('a copy that is lost is told, and which one; while the mirror is open nothing is said of it', async () => {
  const paths = await mirrors.create();
  expect((await inspect(paths.log)).lostCopies).toEqual([]);
  overwrite(paths.log, 64 * KIB + 512, Buffer.alloc(512, 1));
  overwrite(paths.master, 8 * MIB, Buffer.alloc(4096));
  const { lostCopies } = await inspect(paths.log);
  expect(lostCopies).toEqual([
    { where: 'log', copy: 'B', state: 'damaged' },
    { where: 'master', copy: 'A', state: 'absent' },
  ]);
  const mirror = await mirrors.open(paths);
  expect((await inspect(paths.log)).lostCopies).toEqual([]);
  await mirror.close();
  expect((await inspect(paths.log)).lostCopies).toEqual([]);
});

test('an image that was found by its label, and not where it was expected, is told at open and from outside', async () => {
  const paths = await mirrors.create();
  const [slave] = paths.slaves as [string];
  const moved = `${slave}.moved`;
  renameSync(slave, moved);
  expect((await inspect(paths.log)).status.images[1]).toMatchObject({ path: moved, expectedAt: slave, error: null });
  const mirror = await mirrors.open(paths);
  expect(mirror.status().images.map(({ expectedAt }) => expectedAt)).toEqual([null, slave]);
  await mirror.close();
  expect((await inspect(paths.log)).status.images[1]).toMatchObject({ path: moved, expectedAt: null });
});

test('reports name an image that was found elsewhere too, on a screen as well', async () => {
  const paths = await mirrors.create();
  const [slave] = paths.slaves as [string];
  const moved = `${slave}.moved`;
  renameSync(slave, moved);
  const foundElsewhere = [{ name: 'slave1', expectedAt: slave, path: moved }];
  const dryRun = await recover(paths.log, { dryRun: true });
  expect(dryRun).toMatchObject({ foundElsewhere });
  expect(recoveryReportToText(dryRun)).toContain(`slave1 was expected at ${slave}, and found at ${moved}`);
  expect((await runCommand(['log', paths.log])).stdout).toContain(`found at ${moved}`);
  const report = await verify(paths.log);
  expect(report).toMatchObject({ foundElsewhere });
  expect(verifyReportToText(report)).toContain(`found at ${moved}`);
  // That opening remembered it.
  expect(await recover(paths.log)).toMatchObject({ foundElsewhere: [] });
});
