/** What a mirror goes by: minInSync at create, open and set, and what status shows of it. */
import { truncateSync } from 'node:fs';
import { Mirror, inspect, resync, set } from '../../lib/index';
import { runCommand } from '../support/command_line';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { useFailingDevices } from '../support/failing_device';
import { describeUnless } from '../support/skip';
import { MIB, MIRROR_SIZE, failure, pattern, useMirrors } from './support';

const mirrors = useMirrors();

test('the default is the master alone, and status shows what create was given', async () => {
  const { mirror, paths } = await mirrors.make();
  expect(mirror.status()).toMatchObject({ minInSync: 1, rejoin: 'auto' });
  await mirror.close();
  await mirrors.create({ minInSync: 2, overwriteSignature: true, keepData: true });
  expect((await mirrors.open(paths)).status().minInSync).toBe(2);
});

test.each([0, 3, 1.5, -1, NaN])('create refuses minInSync %p of two images, by name', async (minInSync) => {
  const paths = mirrors.paths();
  const error = await failure(Mirror.create({ ...paths, size: 4 * MIB, minInSync }), 'INVALID_OPTION');
  expect(error.message).toMatch(/minInSync is \S+\. Give 1 to/);
});

test('an opening may raise it, for itself alone', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.close();
  const raised = await Mirror.open(paths.log, { minInSync: 2 });
  expect(raised.status().minInSync).toBe(2);
  await raised.close();
  const again = await Mirror.open(paths.log);
  expect(again.status().minInSync).toBe(1);
  await again.close();
});

test('an opening that would lower it is refused, with the command that does, and leaves the mirror as it was', async () => {
  const paths = await mirrors.create({ minInSync: 2 });
  const error = await failure(Mirror.open(paths.log, { minInSync: 1 }), 'INVALID_OPTION');
  expect(error.message).toMatch(/minInSync is 1, and the mirror's own is 2/);
  expect(error.remedy).toContain(`\`blockmirror set ${paths.log} minInSync=1\``);
  await failure(Mirror.open(paths.log, { minInSync: 3 }), 'INVALID_OPTION');
  expect((await inspect(paths.log)).status.phase).toBe('closed');
});

test('set changes what is named, keeps the rest, and holds for the next opening', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.close();
  expect(await set(paths.log, { minInSync: 2 })).toMatchObject({
    log: paths.log,
    before: { minInSync: 1, rejoin: 'auto' },
    policies: { minInSync: 2, rejoin: 'auto' },
  });
  expect((await set(paths.log, { rejoin: 'manual' })).policies).toEqual({ minInSync: 2, rejoin: 'manual' });
  const again = await mirrors.open(paths);
  expect(again.status()).toMatchObject({ minInSync: 2, rejoin: 'manual' });
});

test('set refuses what is no value, nothing at all, and an unknown name', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.close();
  expect((await failure(set(paths.log, { minInSync: 3 }), 'INVALID_OPTION')).remedy).toBe(
    'Give 1 to 2, the images of this mirror',
  );
  expect((await failure(set(paths.log, { rejoin: 'never' as 'auto' }), 'INVALID_OPTION')).remedy).toBe(
    'Give auto or manual',
  );
  await failure(set(paths.log, {}), 'INVALID_OPTION');
  await failure(set(paths.log, { minInsync: 2 } as object), 'INVALID_OPTION');
  expect((await inspect(paths.log)).status).toMatchObject({ minInSync: 1, rejoin: 'auto' });
});

test('the command of a remedy that makes a mirror anew keeps minInSync', async () => {
  const paths = await mirrors.create({ minInSync: 2 });
  truncateSync(paths.slaves[0] as string, 2 * MIB);
  const { status } = await inspect(paths.log);
  expect(status.images[1]?.error?.message).toMatch(/`[^`]*blockmirror create [^`]* --min-in-sync 2 [^`]*`/);
});

test('a slave that comes up short keeps a mirror of minInSync 2 shut, until that is lowered', async () => {
  const paths = await mirrors.create({ minInSync: 2 });
  truncateSync(paths.slaves[0] as string, 2 * MIB);
  truncateSync(paths.slaves[0] as string, MIRROR_SIZE + MIB);
  await failure(mirrors.open(paths), 'TOO_FEW_IN_SYNC');
  expect((await inspect(paths.log)).status.phase).toBe('closed');
  await set(paths.log, { minInSync: 1 });
  const mirror = await mirrors.open(paths);
  await mirror.write(pattern(4096, 1), { position: 0 });
  await mirror.close();
});

test('set leaves a mirror alone that somebody has open', async () => {
  const { paths } = await mirrors.make();
  await failure(set(paths.log, { minInSync: 2 }), 'BUSY');
});

test('the command line sets, shows and refuses the same', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.close();
  const done = await runCommand(['set', paths.log, 'minInSync=2', 'rejoin=manual']);
  expect(done).toMatchObject({ exitCode: 0, stdout: 'minInSync: 2 (was 1)\nrejoin: manual (was auto)\n' });
  expect((await runCommand(['status', paths.log])).stdout).toMatch(
    /Policies +minInSync 2, and 2 of 2 images in sync; rejoin manual/,
  );
  const shown = JSON.parse((await runCommand(['status', paths.log, '--json'])).stdout) as object;
  expect(shown).toMatchObject({ minInSync: 2, rejoin: 'manual' });
  for (const wrong of ['minInSync=0', 'minInSync=two', 'minInSync', 'maxInSync=1', 'rejoin=']) {
    const refused = await runCommand(['set', paths.log, wrong]);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toMatch(/minInSync|rejoin/);
  }
  expect((await runCommand(['set', paths.log, 'minInSync=1', 'minInSync=2'])).stderr).toMatch(/given twice/);
});

describeUnless(noLoopDevices, 'a mirror of minInSync 2 whose slave fails', () => {
  const makeLoop = useLoopDevices();
  const makeFailing = useFailingDevices();

  test('refuses writes and datasync until the slave is back, and loses nothing that it acknowledged', async () => {
    const slave = makeFailing(16 * MIB);
    const log = makeLoop(32 * MIB).path;
    const master = makeLoop(16 * MIB).path;
    const created = ['create', '--log', log, '--master', master, '--slave', slave.path, '--min-in-sync', '2'];
    expect((await runCommand(created)).exitCode).toBe(0);
    const mirror = await Mirror.open(log);
    await mirror.write(pattern(4096, 1), { position: 9 * MIB, dsync: true });
    slave.breakIt();
    const error = await failure(mirror.write(pattern(65536, 2), { position: 2 * MIB }), 'TOO_FEW_IN_SYNC');
    expect(error.message).toMatch(/minInSync is 2/);
    await failure(mirror.datasync(), 'TOO_FEW_IN_SYNC');
    await failure(mirror.discard(0, 4096), 'TOO_FEW_IN_SYNC');
    const { buffer } = await mirror.read(Buffer.alloc(4096), { position: 9 * MIB });
    expect(buffer.equals(pattern(4096, 1))).toBe(true);
    await mirror.close();
    expect((await runCommand(['status', log])).stdout).toMatch(
      /Next: writes are refused until 2 images are in sync; `blockmirror resync/,
    );
    slave.mendIt();
    expect((await resync(log)).inSync).toBe(true);
    const again = await Mirror.open(log);
    await again.write(pattern(4096, 3), { position: 2 * MIB, dsync: true });
    await again.close();
  });
});
