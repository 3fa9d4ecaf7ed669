/** What a verify says of images whose bytes were changed behind the mirror's back, and what is remembered of it. */
import { renameSync } from 'node:fs';
import { Mirror, type Status, inspect, recover, verify, verifyReportToText } from '../../lib/index';
import { type FailingDevice, useFailingDevices } from '../support/failing_device';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { run } from '../support/tools';
import { MIB, MIRROR_SIZE, bytesOf, failure, overwrite, pattern, useMirrors } from './support';

const mirrors = useMirrors();

function flip(path: string, position: number): void {
  const [byte] = bytesOf(path, position, 1);
  overwrite(path, position, Buffer.from([~(byte as number) & 0xff]));
}

async function states(log: string): Promise<string[]> {
  return (await inspect(log)).status.images.map(({ state }) => state);
}

describe('a difference', () => {
  test('is remembered across openings until the slave is verified equal', async () => {
    const paths = await mirrors.create({ slaveCount: 2 });
    const [slave] = paths.slaves as [string, string];
    flip(slave, 3 * MIB + 5);
    const report = await verify(paths.log);
    expect(report).toMatchObject({ result: 'differs', identical: false });
    expect(report.slaves).toMatchObject([
      { state: 'inconsistent', compared: true, bytesCompared: MIRROR_SIZE, bytesDiffered: 1, error: null },
      { state: 'synchronized', compared: true, bytesDiffered: 0 },
    ]);
    for (let opening = 0; opening < 2; opening++) {
      const { status } = await inspect(paths.log);
      expect(status.images.map(({ state }) => state)).toEqual(['synchronized', 'inconsistent', 'synchronized']);
      expect(status.images[1]).toMatchObject({ bytesDiffered: 1, error: { code: 'ERR_BLOCKMIRROR_SLAVE_DIFFERS' } });
      expect(status.lastVerify).toMatchObject({ bytesCompared: MIRROR_SIZE, bytesDiffered: 1 });
      const mirror = await mirrors.open(paths);
      expect(mirror.status().images[1]).toMatchObject({ state: 'inconsistent', bytesDiffered: 1 });
      // It still receives what is written: else it would differ more and more.
      await mirror.write(pattern(4096, opening), { position: 0 });
      await mirror.close();
      expect(bytesOf(slave, 0, 4096).equals(pattern(4096, opening))).toBe(true);
    }
    flip(slave, 3 * MIB + 5);
    expect(await verify(paths.log)).toMatchObject({ result: 'identical', slaves: [{ state: 'synchronized' }, {}] });
    expect(await states(paths.log)).toEqual(['synchronized', 'synchronized', 'synchronized']);
    expect((await inspect(paths.log)).status.lastVerify).toMatchObject({ bytesDiffered: 0 });
  });

  test('found in an open mirror degrades it, as status says at once', async () => {
    const { mirror, paths } = await mirrors.make();
    const degraded = new Promise<Status>((resolve) => mirror.once('degraded', resolve));
    flip(paths.slaves[0] as string, MIB);
    await mirror.verify();
    expect(mirror.status()).toMatchObject({
      images: [{ state: 'synchronized' }, { state: 'inconsistent' }],
      lastVerify: { bytesDiffered: 1 },
    });
    expect((await degraded).images[1]?.error?.message).toMatch(/slave1.*1 byte, as of .*blockmirror verify/);
  });

  test('that a verify found before it was stopped is remembered', async () => {
    const paths = await mirrors.create({ size: 32 * MIB });
    flip(paths.slaves[0] as string, 0);
    const controller = new AbortController();
    const onProgress = ({ bytesDone }: { bytesDone: number }): void => {
      if (bytesDone > 0) controller.abort(new Error('seen enough'));
    };
    await expect(verify(paths.log, { onProgress, signal: controller.signal })).rejects.toThrow('seen enough');
    const { status } = await inspect(paths.log);
    expect(status.images[1]).toMatchObject({ state: 'inconsistent', bytesDiffered: 1 });
    expect(status.lastVerify).toBeNull();
  });

  test('is not forgotten by a verify that was stopped before it came there', async () => {
    const paths = await mirrors.create({ size: 32 * MIB });
    flip(paths.slaves[0] as string, 31 * MIB);
    await verify(paths.log);
    const controller = new AbortController();
    const onProgress = (): void => controller.abort(new Error('seen enough'));
    await expect(verify(paths.log, { onProgress, signal: controller.signal })).rejects.toThrow('seen enough');
    expect((await inspect(paths.log)).status.images[1]).toMatchObject({ state: 'inconsistent', bytesDiffered: 1 });
  });

  test('that several slaves share is told apart from one of a slave alone', async () => {
    const paths = await mirrors.create({ slaveCount: 3 });
    flip(paths.master, MIB);
    flip(paths.slaves[2] as string, 2 * MIB);
    const report = await verify(paths.log);
    expect(report.slaves).toMatchObject([
      { bytesDiffered: 1, bytesShared: 1 },
      { bytesDiffered: 1, bytesShared: 1 },
      { bytesDiffered: 2, bytesShared: 1 },
    ]);
    expect(report.differences.map(({ slave, agreesWith }) => [slave, agreesWith])).toEqual([
      ['slave1', ['slave2', 'slave3']],
      ['slave2', ['slave1', 'slave3']],
      ['slave3', ['slave1', 'slave2']],
      ['slave3', []],
    ]);
    expect(verifyReportToText(report)).toContain(
      'slave1, slave2 and slave3 agree with each other and differ from the master (first at byte 1048576): ' +
        'the master may be the damaged one',
    );
  });

  test('of an unclean mirror is to be expected inside the live intents, and remembered outside', async () => {
    const { mirror, paths } = await mirrors.make();
    const slave = paths.slaves[0] as string;
    await mirror.write(pattern(4096, 1), { position: MIB });
    mirrors.crash(mirror);
    flip(slave, MIB);
    expect(await verify(paths.log)).toMatchObject({
      result: 'differs',
      clean: false,
      slaves: [{ bytesDiffered: 1, bytesExpected: 1 }],
      differences: [{ expected: true }],
    });
    expect((await inspect(paths.log)).status.images[1]?.bytesDiffered).toBe(0);
    flip(slave, 5 * MIB);
    const report = await verify(paths.log);
    expect(report.slaves).toMatchObject([{ bytesDiffered: 2, bytesExpected: 1 }]);
    expect(report.differences.map(({ expected }) => expected)).toEqual([true, false]);
    expect(verifyReportToText(report)).toMatch(/2 bytes differ, 1 of them inside the live intents/);
    expect((await inspect(paths.log)).status.images[1]).toMatchObject({ state: 'synchronizing', bytesDiffered: 1 });
    await recover(paths.log);
    expect(await states(paths.log)).toEqual(['synchronized', 'inconsistent']);
  });
});

test('verify refuses options that are none', async () => {
  const { mirror, paths } = await mirrors.make();
  await expect(mirror.verify({ all: 1 as never })).rejects.toThrow(/options\.all/);
  await mirror.close();
  await expect(verify(paths.log, { all: 'yes' as never })).rejects.toThrow(/options\.all/);
  await failure(verify(paths.log, { failed: true } as never), 'INVALID_OPTION');
});

describeUnless(noLoopDevices, 'a slave that failed', () => {
  const makeLoop = useLoopDevices();
  const LOG = 32 * MIB;
  const IMAGE = 16 * MIB;
  const makeFailing = useFailingDevices();

  /** A closed mirror whose slave1 failed at a write, and missed it. */
  async function degraded(): Promise<{ log: string; failing: FailingDevice }> {
    const failing = makeFailing(IMAGE);
    const slaves = [failing.path, makeLoop(IMAGE).path];
    const paths = { log: makeLoop(LOG).path, master: makeLoop(IMAGE).path, slaves };
    await Mirror.create({ ...paths, readBack: false });
    const mirror = await mirrors.open(paths);
    failing.breakIt();
    await mirror.write(pattern(65536, 1), { position: MIB });
    expect((await mirror.verify()).slaves[0]).toMatchObject({ compared: false, bytesDiffered: null });
    await mirror.close();
    failing.mendIt();
    return { log: paths.log, failing };
  }

  test('is named as not compared, and nothing is called identical', async () => {
    const { log } = await degraded();
    const report = await verify(log);
    expect(report).toMatchObject({
      result: 'incomplete',
      identical: false,
      slaves: [
        { state: 'failed', compared: false, bytesCompared: 0, bytesDiffered: null },
        { compared: true, bytesDiffered: 0 },
      ],
      differences: [],
    });
    expect(report.slaves[0]?.error?.message).toMatch(/slave1.*not compared.*verify .* --all/);
    expect(verifyReportToText(report)).toMatch(/slave1 .*: failed; NOT compared/);
    expect(verifyReportToText(report)).not.toMatch(/identical/);
  });

  test('is compared on request, and stays failed', async () => {
    const { log } = await degraded();
    const report = await verify(log, { all: true });
    expect(report).toMatchObject({
      result: 'differs',
      slaves: [{ state: 'failed', compared: true, error: null }, { bytesDiffered: 0 }],
    });
    expect(report.slaves[0]?.bytesDiffered).toBeGreaterThan(0);
    expect(report.slaves[0]?.bytesDiffered).toBeLessThanOrEqual(65536);
    expect(report.slaves[0]?.bytesShared).toBe(0);
    const { status } = await inspect(log);
    expect(status.images[1]).toMatchObject({ state: 'failed', bytesDiffered: 0 });
    expect(status.images[2]).toMatchObject({ state: 'synchronized' });
  });

  test('whose device is gone, or holds another image, is named as that', async () => {
    const { log, failing } = await degraded();
    run('losetup', '--detach', failing.path);
    renameSync(failing.file, `${failing.file}.away`);
    run('truncate', '-s', String(IMAGE), failing.file);
    run('losetup', failing.path, failing.file);
    const report = await verify(log, { all: true });
    expect(report).toMatchObject({ result: 'incomplete', slaves: [{ compared: false, bytesDiffered: null }, {}] });
    expect(report.slaves[0]?.error?.message).toMatch(/slave1.*label/);
  });
});
