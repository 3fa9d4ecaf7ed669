/** A resync that compares before it writes, and what a resync tells while it goes on. */
import { type Mirror, type ResyncEvent, resync, resyncReportToText } from '../../lib/index';
import { ResyncTelling } from '../../lib/life/resync_telling';
import { MIB, MIRROR_SIZE, bytesOf, imagesEqual, overwrite, pattern, useMirrors } from './support';

const mirrors = useMirrors();

/** A mirror of which slave1 was taken out, and misses two writes. */
async function parted(): Promise<{ mirror: Mirror; paths: Awaited<ReturnType<typeof mirrors.create>> }> {
  const { mirror, paths } = await mirrors.make({}, 2);
  await mirror.write(pattern(65536, 1), { position: MIB });
  await mirror.fracture(['slave1']);
  await mirror.write(pattern(65536, 2), { position: MIB });
  await mirror.write(pattern(65536, 3), { position: 5 * MIB });
  return { mirror, paths };
}

test('what a slave holds already is not written again', async () => {
  const { mirror, paths } = await parted();
  overwrite(paths.slaves[0] as string, 5 * MIB, pattern(65536, 3));
  const report = await mirror.resync(['slave1'], { compare: true });
  expect(report).toMatchObject({
    inSync: true,
    slaves: [{ name: 'slave1', bytesCopied: 65536, bytesCompared: 131072, error: null }],
  });
  expect(report.slaves[0]?.bytesDiffered).toBeGreaterThan(60000);
  expect(resyncReportToText(report)).toMatch(/128 KiB compared, 64 KiB copied/);
  await mirror.close();
  expect(imagesEqual(paths)).toBe(true);
});

test('a slave that is equal all over is back after everything was compared, and nothing written', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.fracture(['slave1']);
  await mirror.close();
  const report = await resync(paths.log, { full: true, compare: true });
  expect(report).toMatchObject({
    inSync: true,
    bytesCopied: 0,
    slaves: [{ bytesCopied: 0, bytesCompared: MIRROR_SIZE, bytesDiffered: 0 }],
  });
});

test('without compare nothing is said of what differed', async () => {
  const { mirror } = await parted();
  expect(await mirror.resync()).toMatchObject({
    slaves: [{ bytesCopied: 131072, bytesCompared: null, bytesDiffered: null }],
  });
});

test('beside a load it ends with equal images', async () => {
  const { mirror, paths } = await parted();
  const resyncing = mirror.resync(['slave1'], { full: true, compare: true });
  for (let index = 0; index < 200; index++) {
    await mirror.write(pattern(8192, index), { position: ((index * 37) % 1000) * 8192 });
  }
  expect(await resyncing).toMatchObject({ inSync: true });
  await mirror.close();
  expect(imagesEqual(paths)).toBe(true);
  expect(bytesOf(paths.master, 0, 8192)).toHaveLength(8192);
});

test('it tells its beginning and its end, with the reason', async () => {
  const { mirror } = await parted();
  const events: ResyncEvent[] = [];
  mirror.on('resync', (event) => events.push(event));
  await mirror.resync();
  expect(events.map(({ step, reason }) => [step, reason])).toEqual([
    ['begun', null],
    ['ended', 'in-sync'],
  ]);
  expect(events[0]).toMatchObject({ images: ['slave1'], bytesDone: 0, bytesTotal: 131072, timeLeftMs: null });
  expect(events[1]).toMatchObject({ bytesDone: 131072 });
  await mirror.resync();
  expect(events).toHaveLength(2);
});

test('one that is stopped says that', async () => {
  const { mirror } = await parted();
  const reasons: (string | null)[] = [];
  const controller = new AbortController();
  mirror.on('resync', ({ reason }) => {
    reasons.push(reason);
    controller.abort(new Error('enough'));
  });
  await expect(mirror.resync(null, { rate: '64KiB', signal: controller.signal })).rejects.toThrow('enough');
  expect(reasons).toEqual([null, 'stopped']);
});

describe('the telling', () => {
  function rig(): { telling: ResyncTelling; events: ResyncEvent[]; at: (ms: number) => void } {
    const events: ResyncEvent[] = [];
    let now = 0;
    const telling = new ResyncTelling(
      ['slave1'],
      (event) => events.push(event),
      () => now,
    );
    return { telling, events, at: (ms) => (now = ms) };
  }

  test('comes at most once a second', () => {
    const { telling, events, at } = rig();
    for (let ms = 0; ms <= 5000; ms += 100) {
      at(ms);
      telling.progress(ms, 10_000);
    }
    expect(events.map(({ bytesDone }) => bytesDone)).toEqual([0, 1000, 2000, 3000, 4000, 5000]);
  });

  test('takes the time left from the last ten seconds, and says nothing where nothing moves', () => {
    const { telling, events, at } = rig();
    for (let seconds = 0; seconds <= 60; seconds++) {
      at(seconds * 1000);
      telling.progress(Math.min(seconds, 20) * 100 + Math.max(0, Math.min(seconds, 40) - 20) * 10, 10_000);
    }
    expect(events[15]).toMatchObject({ bytesDone: 1500, bytesPerSecond: 100, timeLeftMs: 85_000 });
    expect(events[35]).toMatchObject({ bytesDone: 2150, bytesPerSecond: 10, timeLeftMs: 785_000 });
    expect(events[60]).toMatchObject({ bytesPerSecond: 0, timeLeftMs: null });
  });
});
