/** Recovery and verification through the API: what is copied, reported and refused. Kills are tested in test/long. */
import { copyFileSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Progress,
  Mirror,
  inspect,
  recover,
  recoveryReportToText,
  verify,
  verifyReportToText,
} from '../../lib/index';
import {
  MIB,
  MIRROR_SIZE,
  type Paths,
  bytesOf,
  describeDeviceKinds,
  failure,
  imagesEqual,
  overwrite,
  pattern,
  useMirrors,
} from './support';

const mirrors = useMirrors();

/** A mirror that was not closed, with a live intent over the first MiB in which the slaves differ from the master. */
async function crashed(slaveCount = 1): Promise<Paths> {
  const paths = await mirrors.create({ slaveCount });
  const mirror = await mirrors.open(paths);
  await mirror.write(pattern(8192, 1), { position: 64 * 1024 });
  mirrors.crash(mirror);
  for (const [index, slave] of paths.slaves.entries()) overwrite(slave, 64 * 1024, pattern(512 * (index + 1), 77));
  return paths;
}

describeDeviceKinds('recovery on', (device) => {
  test('copies what was covered from the master to every slave, and says so', async () => {
    const paths = await crashed(2);
    const seen: Progress[] = [];
    const report = await recover(paths.log, { device, onProgress: (progress) => seen.push(progress) });
    expect(report).toMatchObject({
      log: paths.log,
      clean: false,
      damaged: false,
      damage: [],
      fullCompare: false,
      readBack: true,
      dryRun: false,
    });
    expect(report.liveIntents).toBeGreaterThan(0);
    expect(report.extents.some(({ position, length }) => position <= 65536 && position + length >= 73728)).toBe(true);
    expect(report.bytesCovered).toBe(report.extents.reduce((sum, { length }) => sum + length, 0));
    expect(report.bytesCopied).toBe(2 * report.bytesCovered);
    expect(report.slaves.map(({ name, path, state }) => ({ name, path, state }))).toEqual([
      { name: 'slave1', path: paths.slaves[0], state: 'synchronized' },
      { name: 'slave2', path: paths.slaves[1], state: 'synchronized' },
    ]);
    expect(report.slaves[0]?.bytesDiffered).toBeGreaterThan(400);
    expect(report.slaves[1]?.bytesDiffered).toBeGreaterThan(800);
    expect(imagesEqual(paths)).toBe(true);
    expect([...new Set(seen.map(({ step }) => step))]).toEqual(['copy', 'retire']);
    const { status } = await inspect(paths.log);
    expect(status.phase).toBe('closed');
    expect(status.lastRecovery).toMatchObject({
      liveIntents: report.liveIntents,
      bytesCovered: report.bytesCovered,
      bytesCopied: report.bytesCopied,
      readBack: true,
      fullCompare: false,
    });
  });

  test('a damaged log has everything compared, and what differs copied', async () => {
    const paths = await crashed();
    const slave = paths.slaves[0] as string;
    overwrite(slave, 5 * MIB, pattern(4096, 9));
    overwrite(paths.log, 1024 * 1024 + 3 * 4096 + 100, pattern(300, 5));
    const planned = await recover(paths.log, { dryRun: true });
    expect(planned).toMatchObject({ damaged: true, fullCompare: true, bytesCovered: MIRROR_SIZE, bytesCopied: 0 });
    expect(planned.damage.join()).toMatch(/slot 3/);
    const report = await recover(paths.log, { device });
    expect(report).toMatchObject({ damaged: true, fullCompare: true, readBack: true });
    expect(report.extents).toEqual([{ position: 0, length: MIRROR_SIZE }]);
    expect(report.bytesCopied).toBeLessThan(MIB);
    expect(imagesEqual(paths)).toBe(true);
    expect(recoveryReportToText(report)).toMatch(/the log is damaged/);
    expect(await recover(paths.log)).toMatchObject({ clean: true, damaged: false });
  });

  test('open recovers by itself, and then takes requests', async () => {
    const paths = await crashed();
    const mirror = await mirrors.open(paths, { device });
    expect(mirror.status()).toMatchObject({ phase: 'running', lastRecovery: { readBack: true } });
    expect(imagesEqual(paths)).toBe(true);
    await mirror.write(pattern(512, 3), { position: 0 });
  });

  test("recovery 'manual' opens a mirror that rejects I/O until recover", async () => {
    const paths = await crashed();
    const mirror = await mirrors.open(paths, { device, recovery: 'manual' });
    const status = mirror.status();
    expect(status.phase).toBe('recovering');
    expect(status.images.map((image) => image.state)).toEqual(['consistent', 'synchronizing']);
    expect(status.coverage.uncertainBytes).toBeGreaterThan(0);
    const bytes = Buffer.alloc(512);
    const error = await failure(mirror.write(bytes, { position: 0 }), 'NOT_RECOVERED');
    expect(error.message).toMatch(/mirror\.recover\(\)/);
    await failure(mirror.read(bytes, { position: 0 }), 'NOT_RECOVERED');
    await failure(mirror.datasync(), 'NOT_RECOVERED');
    await failure(mirror.discard(0, 512), 'NOT_RECOVERED');
    expect((await mirror.verify()).clean).toBe(false);
    const [one, two] = await Promise.all([mirror.recover(), mirror.recover()]);
    expect(one).toBe(two);
    expect(one.clean).toBe(false);
    expect(mirror.status()).toMatchObject({ phase: 'running', coverage: { uncertainBytes: 0 } });
    await mirror.write(bytes, { position: 0 });
    expect(await mirror.recover()).toMatchObject({ clean: true, bytesCopied: 0 });
  });

  test('an abort between two pieces leaves it unclean, and the next one does all of it', async () => {
    const paths = await crashed();
    overwrite(paths.log, 1024 * 1024 + 3 * 4096 + 100, pattern(300, 5));
    const controller = new AbortController();
    const onProgress = ({ step, bytesDone }: Progress): void => {
      if (step === 'copy' && bytesDone >= 2 * MIB) controller.abort(new Error('not now'));
    };
    await expect(recover(paths.log, { device, onProgress, signal: controller.signal })).rejects.toThrow('not now');
    expect((await inspect(paths.log)).status.phase).toBe('unclean');
    await recover(paths.log, { device });
    expect(imagesEqual(paths)).toBe(true);
  });

  test('an abort stops the copying itself, not only what comes after it', async () => {
    const size = 96 * MIB;
    const paths = await mirrors.create({ size });
    const mirror = await mirrors.open(paths);
    await mirror.write(pattern(4096, 1), { position: 0 });
    mirrors.crash(mirror);
    overwrite(paths.log, 1024 * 1024 + 3 * 4096 + 100, pattern(300, 5));
    const controller = new AbortController();
    let copied = 0;
    const onProgress = ({ step, bytesDone }: Progress): void => {
      if (step !== 'copy') return;
      copied = bytesDone;
      controller.abort(new Error('not now'));
    };
    await expect(recover(paths.log, { device, onProgress, signal: controller.signal })).rejects.toThrow('not now');
    expect(copied).toBeLessThan(size / 2);
  });

  test('closing in the middle of it leaves it unclean', async () => {
    const paths = await crashed();
    overwrite(paths.log, 1024 * 1024 + 3 * 4096 + 100, pattern(300, 5));
    const mirror = await mirrors.open(paths, { device, recovery: 'manual' });
    let closing: Promise<void> | undefined;
    const onProgress = (): void => {
      closing ??= mirror.close();
    };
    const recovering = mirror.recover({ onProgress });
    await failure(recovering, 'CLOSED');
    await closing;
    expect((await inspect(paths.log)).status.phase).toBe('unclean');
  });
});

test('a clean mirror is not touched: the log stays byte for byte', async () => {
  const paths = await mirrors.create();
  const copy = join(mirrors.folder(), 'log.before');
  copyFileSync(paths.log, copy);
  const report = await recover(paths.log);
  expect(report).toMatchObject({ clean: true, liveIntents: 0, extents: [], bytesCovered: 0, bytesCopied: 0 });
  expect(recoveryReportToText(report)).toMatch(/nothing to recover/);
  const length = 4 * MIB;
  expect(bytesOf(paths.log, 0, length).equals(bytesOf(copy, 0, length))).toBe(true);
});

test('a dry run of a mirror that recover refuses is refused alike, and plans nothing', async () => {
  const paths = await crashed();
  const log = bytesOf(paths.log, 0, 4 * MIB);
  const elsewhere = join(mirrors.folder(), 'elsewhere');
  mkdirSync(elsewhere);
  renameSync(paths.master, join(elsewhere, 'master.img'));
  const planned = await failure(recover(paths.log, { dryRun: true }), 'IMAGE_MISSING');
  expect(planned.message).toBe((await failure(recover(paths.log), 'IMAGE_MISSING')).message);
  expect(planned.image).toBe('master');
  renameSync(join(elsewhere, 'master.img'), paths.master);
  expect(bytesOf(paths.log, 0, 4 * MIB).equals(log)).toBe(true);
  expect((await recover(paths.log, { dryRun: true })).clean).toBe(false);
});

test('a dry run writes nothing and says what would be copied', async () => {
  const paths = await crashed();
  const before = [paths.log, paths.master, ...paths.slaves].map((path) => bytesOf(path, 0, 16 * MIB));
  const report = await recover(paths.log, { dryRun: true });
  expect(report).toMatchObject({ dryRun: true, clean: false, bytesCopied: 0, readBack: false });
  expect(report.bytesCovered).toBeGreaterThan(0);
  expect(recoveryReportToText(report)).toMatch(/dry run: nothing was written/);
  const after = [paths.log, paths.master, ...paths.slaves].map((path) => bytesOf(path, 0, 16 * MIB));
  for (const [index, bytes] of after.entries()) expect(bytes.equals(before[index] as Buffer)).toBe(true);
});

test('recovery twice, and after an interrupted one, is harmless', async () => {
  const paths = await crashed();
  const mirror = await mirrors.open(paths, { recovery: 'manual' });
  mirrors.crash(mirror);
  await recover(paths.log);
  expect(await recover(paths.log)).toMatchObject({ clean: true });
  expect(imagesEqual(paths)).toBe(true);
});

test('without reading back the report does not claim to have read anything back', async () => {
  const paths = await crashed();
  const report = await recover(paths.log, { readBack: false });
  expect(report.readBack).toBe(false);
  expect(recoveryReportToText(report)).toMatch(/not read back/);
});

describe('compare: false', () => {
  test('copies the same, and does not say how much differed', async () => {
    const paths = await crashed(2);
    const report = await recover(paths.log, { compare: false });
    expect(report).toMatchObject({ fullCompare: false, readBack: true, bytesCopied: 2 * report.bytesCovered });
    expect(report.slaves.map(({ bytesDiffered }) => bytesDiffered)).toEqual([null, null]);
    expect(recoveryReportToText(report)).toMatch(/copied, not compared before/);
    expect(imagesEqual(paths)).toBe(true);
  });

  test('holds for a mirror that is recovered by hand', async () => {
    const paths = await crashed();
    const mirror = await mirrors.open(paths, { recovery: 'manual' });
    expect((await mirror.recover({ compare: false })).slaves[0]?.bytesDiffered).toBeNull();
    expect(imagesEqual(paths)).toBe(true);
  });

  test('is refused, for a mirror that is recovered by hand too, when it is no boolean', async () => {
    const mirror = await mirrors.open(await crashed(), { recovery: 'manual' });
    await expect(mirror.recover({ compare: 'no' as never })).rejects.toThrow(/options\.compare/);
    await expect(mirror.recover({ readBack: 0 as never })).rejects.toThrow(/options\.readBack/);
  });

  test('a full compare compares all the same, and says what differed', async () => {
    const paths = await crashed();
    overwrite(paths.log, 1024 * 1024 + 3 * 4096 + 100, pattern(300, 5));
    const report = await recover(paths.log, { compare: false });
    expect(report.fullCompare).toBe(true);
    expect(report.slaves[0]?.bytesDiffered).toBeGreaterThan(400);
    expect(imagesEqual(paths)).toBe(true);
  });
});

test('what was not compared is not said to be equal', async () => {
  const paths = await crashed();
  expect((await recover(paths.log, { dryRun: true })).slaves[0]?.bytesDiffered).toBeNull();
  await recover(paths.log);
  expect((await recover(paths.log)).slaves[0]?.bytesDiffered).toBeNull();
});

test('the report as text names every slave and what was copied', async () => {
  const paths = await crashed(2);
  const text = recoveryReportToText(await recover(paths.log));
  expect(text).toMatch(/live intents?, merged into 1 extent/);
  expect(text).toMatch(/slave1 .*: synchronized; .* copied, \d+ bytes differed/);
  expect(text).toMatch(/slave2/);
  expect(text).toMatch(/read back and found equal/);
});

describe('verify', () => {
  test('finds a difference nobody logged, and names the place', async () => {
    const paths = await mirrors.create({ slaveCount: 2 });
    overwrite(paths.slaves[1] as string, 3 * MIB + 4096, Buffer.alloc(100, 1));
    const report = await verify(paths.log);
    expect(report).toMatchObject({
      identical: false,
      clean: true,
      bytesCompared: MIRROR_SIZE,
      slaves: [{ bytesDiffered: 0 }, { bytesDiffered: 100 }],
      differences: [{ slave: 'slave2', position: 3 * MIB + 4096, length: 4096 }],
    });
    expect(verifyReportToText(report)).toMatch(/slave2: 4096 bytes from byte 3149824/);
    expect(verifyReportToText(report)).toMatch(/the images differ/);
  });

  test('of an unclean mirror compares without repairing', async () => {
    const paths = await crashed();
    const report = await verify(paths.log);
    expect(report).toMatchObject({ identical: false, clean: false });
    expect(report.extents.length).toBeGreaterThan(0);
    expect(imagesEqual(paths)).toBe(false);
    expect((await inspect(paths.log)).status.phase).toBe('unclean');
  });

  test('runs beside writes without finding differences that are none', async () => {
    const { mirror } = await mirrors.make({}, 2);
    let running = true;
    const load = (async (): Promise<void> => {
      for (let seed = 0; running; seed++) {
        await Promise.all(
          Array.from({ length: 16 }, (_, lane) =>
            mirror.write(Buffer.alloc(4096, seed + lane), { position: 4096 * ((seed * 31 + lane * 127) % 2048) }),
          ),
        );
      }
    })();
    for (let round = 0; round < 3; round++) expect((await mirror.verify()).identical).toBe(true);
    running = false;
    await load;
  });
});

test('several mirrors in one process do not know of each other', async () => {
  const all = await Promise.all(
    [1, 2, 3].map(async (number) => {
      const at = (name: string): string => join(mirrors.folder(), `${name}${number}`);
      const paths = { log: at('log'), master: at('master'), slaves: [at('slave')] };
      await Mirror.create({ ...paths, size: MIRROR_SIZE, ringRecords: 64, readBack: false });
      return { paths, mirror: await mirrors.open(paths), number };
    }),
  );
  await Promise.all(all.map(({ mirror, number }) => mirror.write(Buffer.alloc(4096, number), { position: 0 })));
  for (const { mirror, number, paths } of all) {
    const { buffer } = await mirror.read(Buffer.alloc(4096), { position: 0 });
    expect(buffer.every((byte) => byte === number)).toBe(true);
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
  }
});
