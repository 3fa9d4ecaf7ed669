/** A verify that repairs, of one's own mirror under load and of one that nobody has open; its rate, and how it goes on. */
import { type Mirror, type Progress, type Repair, inspect, verify, verifyReportToText } from '../../lib/index';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import {
  MIB,
  MIRROR_SIZE,
  bytesOf,
  describeDeviceKinds,
  failure,
  imagesEqual,
  overwrite,
  pattern,
  useMirrors,
} from './support';

const mirrors = useMirrors();

function flip(path: string, position: number): void {
  const [byte] = bytesOf(path, position, 1);
  overwrite(path, position, Buffer.from([~(byte as number) & 0xff]));
}

/** Writes here and there, one after the other, until it is told to end. */
function load(mirror: Mirror): () => Promise<number> {
  let ended = false;
  let writes = 0;
  const work = (async () => {
    for (; !ended; writes++) {
      await mirror.write(pattern(4096 * (1 + (writes % 8)), writes), { position: ((writes * 37) % 1500) * 4096 });
    }
  })();
  return async () => {
    ended = true;
    await work;
    return writes;
  };
}

describeDeviceKinds('repair beside a load,', (device) => {
  test('what differs is copied from the master, told by events, and remembered as repaired', async () => {
    const { mirror, paths } = await mirrors.make({ device }, 2);
    const repaired: Repair[] = [];
    const states: string[] = [];
    mirror.on('repaired', (repair) => repaired.push(repair));
    mirror.on('state', ({ image, to }) => states.push(`${image} ${to}`));
    const end = load(mirror);
    // Behind what the load writes, so that nothing else mends it.
    flip(paths.slaves[0] as string, 7 * MIB);
    flip(paths.slaves[1] as string, 7 * MIB + 65536);
    const report = await mirror.verify({ repair: true });
    expect(await end()).toBeGreaterThan(0);
    expect(report).toMatchObject({
      result: 'repaired',
      bytesRepaired: 2,
      slaves: [
        { state: expect.stringMatching(/synchronized|consistent/) as string, bytesDiffered: 1, bytesRepaired: 1 },
        { bytesDiffered: 1, bytesRepaired: 1 },
      ],
    });
    expect(repaired).toEqual([
      { image: 'slave1', position: 7 * MIB, length: 4096, from: 'master' },
      { image: 'slave2', position: 7 * MIB + 65536, length: 4096, from: 'master' },
    ]);
    expect(states).toEqual(expect.arrayContaining(['slave1 synchronizing', 'slave1 in-sync']));
    expect(mirror.status()).toMatchObject({
      images: [{}, { bytesDiffered: 0 }, { bytesDiffered: 0 }],
      lastVerify: { bytesDiffered: 2, bytesRepaired: 2, result: 'repaired' },
    });
    expect(await mirror.verify()).toMatchObject({ result: 'identical' });
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
  });

  test('without a difference nothing changes, and nothing is called one', async () => {
    const { mirror, paths } = await mirrors.make({ device });
    const end = load(mirror);
    for (let round = 0; round < 5; round++) {
      expect(await mirror.verify({ repair: true })).toMatchObject({ result: 'identical', differences: [] });
    }
    await end();
    expect(mirror.status().images[1]?.changedAt).toBeNull();
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
  });
});

describe('a mirror that nobody has open', () => {
  test('is repaired, many places at once, and what was remembered of it is forgotten', async () => {
    const paths = await mirrors.create({ slaveCount: 2 });
    for (let at = 0; at < MIRROR_SIZE; at += 16384) flip(paths.slaves[0] as string, at);
    expect(await verify(paths.log)).toMatchObject({ result: 'differs', slaves: [{ bytesRepaired: 0 }, {}] });
    expect((await inspect(paths.log)).status.images[1]).toMatchObject({ state: 'inconsistent', bytesDiffered: 512 });
    const report = await verify(paths.log, { repair: true });
    expect(report).toMatchObject({ result: 'repaired', identical: false, bytesRepaired: 512 });
    expect(verifyReportToText(report)).toMatch(/512 bytes differed, and were copied from the master/);
    expect(imagesEqual(paths)).toBe(true);
    const { status } = await inspect(paths.log);
    expect(status.images[1]).toMatchObject({ state: 'synchronized', bytesDiffered: 0, debt: 'none' });
    expect(status.lastVerify).toMatchObject({ bytesDiffered: 512, bytesRepaired: 512, result: 'repaired' });
  });

  test('that was not closed cleanly is recovered first', async () => {
    const { mirror, paths } = await mirrors.make();
    await mirror.write(pattern(65536, 1), { position: MIB });
    mirrors.crash(mirror);
    flip(paths.slaves[0] as string, MIB);
    flip(paths.slaves[0] as string, 5 * MIB);
    expect(await verify(paths.log, { repair: true })).toMatchObject({
      result: 'repaired',
      clean: true,
      bytesRepaired: 1,
    });
    expect(imagesEqual(paths)).toBe(true);
  });

  test('stopped in the middle owes what was found, and the next one pays that too', async () => {
    const paths = await mirrors.create({ size: 32 * MIB });
    flip(paths.slaves[0] as string, 31 * MIB);
    for (let at = 0; at < 24 * MIB; at += MIB) flip(paths.slaves[0] as string, at);
    const controller = new AbortController();
    const onProgress = ({ step, position = 0 }: Progress): void => {
      if (step === 'compare' && position >= 8 * MIB) controller.abort(new Error('seen enough'));
    };
    await expect(verify(paths.log, { repair: true, onProgress, signal: controller.signal })).rejects.toThrow(
      'seen enough',
    );
    const report = await verify(paths.log, { repair: true, position: 8 * MIB });
    expect(report).toMatchObject({ result: 'incomplete', position: 8 * MIB, slaves: [{ error: null }] });
    expect(imagesEqual(paths, 32 * MIB)).toBe(true);
  });
});

describe('where it begins', () => {
  test('what lies before was not compared, and nothing is called identical', async () => {
    const paths = await mirrors.create();
    flip(paths.slaves[0] as string, 0);
    const report = await verify(paths.log, { position: 5 * MIB + 17 });
    expect(report).toMatchObject({
      result: 'incomplete',
      identical: false,
      position: 5 * MIB,
      bytesCompared: 3 * MIB,
      slaves: [{ compared: false, bytesCompared: 3 * MIB, bytesDiffered: 0, error: null }],
    });
    expect((await inspect(paths.log)).status.lastVerify).toBeNull();
  });

  test('the position of its progress has no gap before it, and reaches the end', async () => {
    const { mirror } = await mirrors.make();
    const positions: number[] = [];
    await mirror.verify({ onProgress: ({ position = -1 }) => positions.push(position) });
    expect(positions[0]).toBe(0);
    expect(positions.at(-1)).toBe(MIRROR_SIZE);
    expect([...positions].sort((one, other) => one - other)).toEqual(positions);
    expect(await mirror.verify({ position: MIRROR_SIZE })).toMatchObject({ result: 'incomplete', bytesCompared: 0 });
  });

  test('beyond the mirror it is refused', async () => {
    const { mirror } = await mirrors.make();
    await failure(mirror.verify({ position: MIRROR_SIZE + 1 }), 'OUT_OF_RANGE');
    await failure(mirror.verify({ position: -1 }), 'INVALID_OPTION');
  });
});

test('a rate bounds how much is compared in a second', async () => {
  const { mirror } = await mirrors.make();
  const began = performance.now();
  await mirror.verify({ rate: '16MiB' });
  const seconds = (performance.now() - began) / 1000;
  expect(seconds).toBeGreaterThan((MIRROR_SIZE / (16 * MIB)) * 0.8);
  expect(await mirror.verify({ rate: '1GiB' })).toMatchObject({ result: 'identical' });
});

test('while it is repaired a slave does not count for minInSync; afterwards writes go on', async () => {
  const paths = await mirrors.create({ minInSync: 2 });
  const mirror = await mirrors.open(paths);
  flip(paths.slaves[0] as string, MIB);
  expect(await mirror.verify({ repair: true })).toMatchObject({ result: 'repaired' });
  await mirror.write(pattern(4096, 1), { position: 0 });
});

test('the image that stands alone is named, of three images or more', async () => {
  const paths = await mirrors.create({ slaveCount: 2 });
  flip(paths.slaves[1] as string, MIB);
  flip(paths.master, 2 * MIB);
  const report = await verify(paths.log);
  expect(report.differences.map(({ slave, standsAlone }) => [slave, standsAlone])).toEqual([
    ['slave2', 'slave2'],
    ['slave1', 'master'],
    ['slave2', 'master'],
  ]);
  expect(verifyReportToText(report)).toMatch(/slave2: 4096 bytes from byte 1048576; slave2 stands alone there/);
});

test('a mirror that has to be recovered yet is not repaired', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.write(pattern(4096, 1), { position: 0 });
  mirrors.crash(mirror);
  const opened = await mirrors.open(paths, { recovery: 'manual' });
  await failure(opened.verify({ repair: true }), 'NOT_RECOVERED');
});

describeUnless(noLoopDevices, 'over loop devices', () => {
  const makeLoop = useLoopDevices();

  test('what was written on a slave behind the mirror is repaired beside a load', async () => {
    const slave = makeLoop(16 * MIB);
    const paths = { log: makeLoop(32 * MIB).path, master: makeLoop(16 * MIB).path, slaves: [slave.path] };
    await mirrors.create({ ...paths, readBack: false, size: MIRROR_SIZE });
    overwrite(slave.path, 7 * MIB, pattern(65536, 3));
    const mirror = await mirrors.open(paths);
    const end = load(mirror);
    const report = await mirror.verify({ repair: true });
    await end();
    expect(report).toMatchObject({ result: 'repaired' });
    expect(await mirror.verify()).toMatchObject({ result: 'identical' });
  });
});
