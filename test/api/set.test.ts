/** What a mirror goes by, changed while it is open: mirror.set(). */
import { type Mirror, inspect } from '../../lib/index';
import { noFreezing } from '../support/freezable_folder';
import { describeUnless } from '../support/skip';
import { until, withHanging } from './hanging';
import { KIB, MIB, describeDeviceKinds, failure, imagesEqual, pattern, useMirrors } from './support';

const mirrors = useMirrors();

/** Writes one block after the other until it is stopped; rejects with what a write rejects. */
function keepWriting(mirror: Mirror): { stop: () => Promise<number> } {
  let stopped = false;
  let written = 0;
  const streams = Array.from({ length: 16 }, async (_, index) => {
    for (let turn = 0; !stopped; turn++) {
      const position = ((index * 37 + turn * 11) % 2000) * 4 * KIB;
      await mirror.write(pattern(4 * KIB, turn), { position });
      written += 1;
    }
  });
  return {
    stop: async () => {
      stopped = true;
      await Promise.all(streams);
      return written;
    },
  };
}

test('it is durable when it resolves, what is not named stays, and the report says what it was', async () => {
  const { mirror, paths } = await mirrors.make();
  const report = await mirror.set({ deviceTimeout: '5s', resyncRate: '100MiB' });
  const before = { minInSync: 1, rejoin: 'manual', deviceTimeoutMs: 30_000, resyncRateBytesPerSecond: null };
  expect(report).toMatchObject({ log: paths.log, before });
  const after = { ...before, deviceTimeoutMs: 5000, resyncRateBytesPerSecond: 100 * MIB };
  expect(report.policies).toMatchObject(after);
  expect(mirror.status()).toMatchObject(after);
  // What the opening alone was asked for is not in the log.
  mirrors.crash(mirror);
  expect((await inspect(paths.log)).status).toMatchObject({ ...after, rejoin: 'auto' });
});

test('what it changes holds in place of what the opening was given', async () => {
  const { mirror } = await mirrors.make({ minInSync: 2, deviceTimeout: '7s' });
  await failure(mirror.fracture(['slave1']), 'TOO_FEW_IN_SYNC');
  await mirror.set({ minInSync: 1 });
  expect(mirror.status()).toMatchObject({ minInSync: 1, deviceTimeoutMs: 7000 });
  await mirror.fracture(['slave1']);
  await mirror.write(pattern(4096, 1), { position: 0 });
});

test('minInSync raised refuses writes at once, lowered lets them through, and errors name the number that holds', async () => {
  const { mirror } = await mirrors.make({}, 2);
  await mirror.fracture(['slave1']);
  await mirror.set({ minInSync: 3 });
  const error = await failure(mirror.write(pattern(4096, 1), { position: 0 }), 'TOO_FEW_IN_SYNC');
  expect(error.message).toContain('minInSync is 3');
  expect(error.remedy).toContain('mirror.set({ minInSync: 1 })');
  await mirror.set({ minInSync: 2 });
  await mirror.write(pattern(4096, 1), { position: 0 });
});

test('it refuses what is no value, nothing at all, and a closed mirror, and changes nothing then', async () => {
  const { mirror } = await mirrors.make();
  const before = mirror.status();
  expect((await failure(mirror.set({ minInSync: 3 }), 'INVALID_OPTION')).remedy).toContain('1 to 2');
  await failure(mirror.set({}), 'INVALID_OPTION');
  await failure(mirror.set({ recoveryBudget: 4096 }), 'INVALID_OPTION');
  await failure(mirror.set({ deviceTimeout: 0, rejoin: 'auto' }), 'INVALID_OPTION');
  await failure(mirror.set({ readPolicy: 'master' } as object), 'INVALID_OPTION');
  expect(mirror.status()).toMatchObject({ minInSync: before.minInSync, rejoin: before.rejoin });
  await mirror.close();
  await failure(mirror.set({ minInSync: 2 }), 'CLOSED');
});

describeDeviceKinds('over', (device) => {
  test('policies change beside writes, again and again, and the images stay equal', async () => {
    const { mirror, paths } = await mirrors.make({ device });
    const writing = keepWriting(mirror);
    for (let turn = 0; turn < 40; turn++) {
      await mirror.set({ minInSync: 1 + (turn % 2), deviceTimeout: 20_000 + turn });
    }
    expect(await writing.stop()).toBeGreaterThan(100);
    expect(mirror.status()).toMatchObject({ minInSync: 2, deviceTimeoutMs: 20_039 });
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
  });

  test('a recovery budget is lowered and raised beside writes: it holds when set() resolves', async () => {
    const { mirror, paths } = await mirrors.make({ device });
    const writing = keepWriting(mirror);
    await until(() => mirror.status().coverage.bytes > 2 * MIB);
    const report = await mirror.set({ recoveryBudget: '1MiB' });
    expect(report).toMatchObject({ before: { recoveryBudget: 64 * MIB }, policies: { recoveryBudget: MIB } });
    for (let looks = 0; looks < 50; looks++) {
      const { bytes, budget } = mirror.status().coverage;
      expect(budget).toBe(MIB);
      expect(bytes).toBeLessThanOrEqual(MIB);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await mirror.set({ recoveryBudget: '64MiB' });
    await until(() => mirror.status().coverage.bytes > MIB);
    await writing.stop();
    mirrors.crash(mirror);
    const again = await mirrors.open(paths);
    expect(again.status().coverage.budget).toBe(64 * MIB);
    await again.close();
    expect(imagesEqual(paths)).toBe(true);
  });
});

test('rejoin set to auto takes back at once what went out by a fault', async () => {
  const { mirror, paths } = await mirrors.make({}, 2);
  await mirror.close();
  const again = await mirrors.open(paths, { waitForImages: 0, images: { slave1: mirrors.at('nowhere') } });
  expect(again.status().images[1]?.state).toBe('behind');
  await again.set({ rejoin: 'auto' });
  await until(() => again.status().images[1]?.state === 'synchronized');
});

describeUnless(noFreezing, 'a device that hangs', () => {
  test('a shorter deadline takes a slave out that hangs already', async () => {
    await withHanging(mirrors, 'slave1', { device: 'threads', deviceTimeout: Infinity }, async ({ mirror, freeze }) => {
      freeze();
      const write = mirror.write(pattern(4096, 1), { position: 0 });
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(mirror.status().images[1]?.state).toBe('consistent');
      await mirror.set({ deviceTimeout: 200 });
      await write;
      expect(mirror.status().images[1]).toMatchObject({ state: 'failed', fracture: { cause: 'deadline' } });
    });
  });
});
