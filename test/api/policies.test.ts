/** What a mirror goes by: minInSync at create, open and set, and what status shows of it. */
import { rmSync, truncateSync } from 'node:fs';
import { Mirror, type OpenOptions, inspect, resync, set } from '../../lib/index';
import { runCommand } from '../support/command_line';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { useFailingDevices } from '../support/failing_device';
import { describeUnless } from '../support/skip';
import { MIB, MIRROR_SIZE, failure, pattern, useMirrors } from './support';

const mirrors = useMirrors();

test('the default is the master alone, and status shows what create was given', async () => {
  const { mirror, paths } = await mirrors.make();
  const defaults = { deviceTimeoutMs: 30_000, waitForImagesMs: 10_000, resyncRateBytesPerSecond: null };
  // Of this opening, which was asked for it.
  expect(mirror.status()).toMatchObject({ minInSync: 1, rejoin: 'manual', ...defaults });
  await mirror.close();
  expect((await inspect(paths.log)).status).toMatchObject({ minInSync: 1, rejoin: 'auto', ...defaults });
  const given = { deviceTimeout: Infinity, waitForImages: '1m', resyncRate: '100MiB' } as const;
  await mirrors.create({ minInSync: 2, rejoin: 'manual', ...given, overwriteSignature: true, keepData: true });
  const shown = { deviceTimeoutMs: null, waitForImagesMs: 60_000, resyncRateBytesPerSecond: 100 * MIB };
  expect((await inspect(paths.log)).status).toMatchObject({ minInSync: 2, rejoin: 'manual', ...shown });
  const again = await mirrors.open(paths, { deviceTimeout: '7s' });
  expect(again.status()).toMatchObject({ minInSync: 2, ...shown, deviceTimeoutMs: 7000 });
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
  expect((await set(paths.log, { rejoin: 'manual', waitForImages: Infinity })).policies).toEqual({
    minInSync: 2,
    rejoin: 'manual',
    deviceTimeoutMs: 30_000,
    waitForImagesMs: null,
    resyncRateBytesPerSecond: null,
    recoveryBudget: null,
  });
  await set(paths.log, { deviceTimeout: '5s', waitForImages: 0, resyncRate: 4096 });
  await set(paths.log, { resyncRate: 'auto' });
  const again = await mirrors.open(paths);
  const kept = { deviceTimeoutMs: 5000, waitForImagesMs: 0, resyncRateBytesPerSecond: null };
  expect(again.status()).toMatchObject({ minInSync: 2, rejoin: 'manual', ...kept });
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
  for (const wrong of [
    { deviceTimeout: 0 },
    { deviceTimeout: '5 parsecs' },
    { waitForImages: -1 },
    { resyncRate: 0 },
    { resyncRate: 'fast' },
  ]) {
    const [key] = Object.keys(wrong);
    expect((await failure(set(paths.log, wrong), 'INVALID_OPTION')).message).toContain(key);
  }
  const unstored = await failure(set(paths.log, { recoveryBudget: '64MiB' } as object), 'INVALID_OPTION');
  expect(unstored.message).toMatch(/recoveryBudget is not kept in the log.*Mirror.open\(\)/);
  expect((await inspect(paths.log)).status).toMatchObject({ minInSync: 1, rejoin: 'auto' });
});

test('an opening waits for absent images as long as the mirror says, where it is not told otherwise', async () => {
  const paths = await mirrors.create({ waitForImages: 700 });
  rmSync(paths.slaves[0] as string);
  const took = async (options: OpenOptions): Promise<number> => {
    const began = performance.now();
    await failure(mirrors.open(paths, { requireAll: true, ...options }), 'IMAGE_MISSING');
    return performance.now() - began;
  };
  expect(await took({})).toBeGreaterThan(690);
  expect(await took({ waitForImages: 0 })).toBeLessThan(600);
  await set(paths.log, { waitForImages: 0 });
  expect(await took({})).toBeLessThan(600);
});

test('a resync goes at the rate of the mirror, unless it is given one', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.close();
  await set(paths.log, { resyncRate: '4MiB' });
  const again = await mirrors.open(paths);
  const took = async (rate: object): Promise<number> => {
    await again.fracture(['slave1']);
    const began = performance.now();
    expect((await again.resync(['slave1'], { full: true, ...rate })).inSync).toBe(true);
    return performance.now() - began;
  };
  // 8 MiB at 4 MiB a second, less the rest after the last step.
  expect(await took({})).toBeGreaterThan(1500);
  expect(await took({ rate: 'auto' })).toBeLessThan(1400);
  expect(await took({ rate: '512MiB' })).toBeLessThan(1400);
});

test('the command of a remedy that makes a mirror anew keeps its policies', async () => {
  const paths = await mirrors.create({ minInSync: 2, rejoin: 'manual', deviceTimeout: Infinity, resyncRate: '3MiB' });
  truncateSync(paths.slaves[0] as string, 2 * MIB);
  const { status } = await inspect(paths.log);
  expect(status.images[1]?.error?.message).toMatch(
    /`[^`]*blockmirror create [^`]* --min-in-sync 2 --rejoin manual --device-timeout none --resync-rate 3MiB --size [^`]*`/,
  );
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
  const rest = 'deviceTimeout: 30s\nwaitForImages: 10s\nresyncRate: auto\n';
  expect(done).toMatchObject({ exitCode: 0, stdout: `minInSync: 2 (was 1)\nrejoin: manual (was auto)\n${rest}` });
  const more = await runCommand(['set', paths.log, 'deviceTimeout=none', 'waitForImages=90s', 'resyncRate=1000B']);
  expect(more.stdout).toContain(
    'deviceTimeout: none (was 30s)\nwaitForImages: 90s (was 10s)\nresyncRate: 1000B (was auto)',
  );
  expect((await runCommand(['status', paths.log])).stdout.replace(/\s+/g, ' ')).toContain(
    'Policies minInSync 2, and 2 of 2 images in sync; rejoin manual; deviceTimeout none; waitForImages 90s; resyncRate 1000B',
  );
  await runCommand(['set', paths.log, 'deviceTimeout=30s', 'waitForImages=10s', 'resyncRate=auto']);
  const shown = JSON.parse((await runCommand(['status', paths.log, '--json'])).stdout) as object;
  expect(shown).toMatchObject({ minInSync: 2, rejoin: 'manual' });
  for (const wrong of [
    ...['minInSync=0', 'minInSync=two', 'minInSync', 'maxInSync=1', 'rejoin='],
    ...['deviceTimeout=30', 'waitForImages=', 'resyncRate=none', 'recoveryBudget=64MiB'],
  ]) {
    const refused = await runCommand(['set', paths.log, wrong]);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain(wrong.split('=')[0]?.replace('max', 'min'));
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
