/** A verify that takes what a slave holds for the content of the mirror, of one's own mirror and of one that nobody has open. */
import { type Progress, inspect, verify, verifyFromReportToText } from '../../lib/index';
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
const EXTENT = { position: MIB, length: 8192 };
const overwriteMaster = true;

describeDeviceKinds('the content of a slave,', (device) => {
  test('replaces that of all images in the extent, and nowhere else; what changed is counted', async () => {
    const { mirror, paths } = await mirrors.make({ device }, 2);
    const right = pattern(4096, 3);
    overwrite(paths.slaves[0] as string, MIB + 4096, right);
    overwrite(paths.slaves[0] as string, 3 * MIB, pattern(4096, 4));
    const elsewhere = bytesOf(paths.master, 3 * MIB, 4096);
    const report = await mirror.verify({ from: 'slave1', extent: EXTENT, overwriteMaster });
    const differed = right.filter((byte) => byte !== 0).length;
    expect(report).toMatchObject({ from: 'slave1', ...EXTENT, bytesChanged: differed, bytesUnread: 0 });
    expect(verifyFromReportToText(report)).toContain(`changed: ${differed} bytes of the master`);
    for (const path of [paths.master, ...paths.slaves])
      expect(bytesOf(path, MIB + 4096, 4096).equals(right)).toBe(true);
    expect(bytesOf(paths.master, 3 * MIB, 4096).equals(elsewhere)).toBe(true);
    await mirror.close();
  });

  test('of many regions comes in steps, with its progress, and writes beside it are kept', async () => {
    const { mirror, paths } = await mirrors.make({ device });
    const right = pattern(2 * MIB, 5);
    overwrite(paths.slaves[0] as string, MIB / 2, right);
    const told: Progress[] = [];
    const extent = { position: MIB / 2, length: 2 * MIB };
    const taking = mirror.verify({ from: 'slave1', extent, overwriteMaster, onProgress: (one) => told.push(one) });
    const written = pattern(4096, 9);
    await Promise.all([taking, mirror.write(written, { position: 4 * MIB })]);
    expect(told.length).toBeGreaterThan(3);
    expect(told.at(-1)).toEqual({ step: 'copy', bytesDone: 2 * MIB, bytesTotal: 2 * MIB });
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
    expect(bytesOf(paths.master, MIB / 2, 2 * MIB).equals(right)).toBe(true);
    expect(bytesOf(paths.master, 4 * MIB, 4096).equals(written)).toBe(true);
  });

  test('of a slave that is out is refused, and nothing is written', async () => {
    const { mirror, paths } = await mirrors.make({ device });
    await mirror.fracture(['slave1']);
    overwrite(paths.slaves[0] as string, MIB, pattern(4096, 3));
    const error = await failure(mirror.verify({ from: 'slave1', extent: EXTENT, overwriteMaster }), 'UNUSABLE_SOURCE');
    expect(error).toMatchObject({ image: 'slave1', position: MIB });
    expect(bytesOf(paths.master, MIB, 4096).every((byte) => byte === 0)).toBe(true);
    await mirror.close();
  });
});

test('without consent nothing is opened, and the error holds the command that gives it', async () => {
  const paths = await mirrors.create();
  const work = verify(paths.log, { from: 'slave1', extent: EXTENT, overwriteMaster: false });
  const { message } = await failure(work, 'INVALID_OPTION');
  expect(message).toContain(`verify ${paths.log} --from slave1 --extent ${MIB}+8192 --overwrite-master`);
  expect(message).toContain('8192 bytes');
});

test('what nobody has open is taken too, after a crash as well, and stands in a mirror that is closed cleanly', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.write(pattern(4096, 1), { position: 0 });
  mirrors.crash(mirror);
  const right = pattern(8192, 7);
  overwrite(paths.slaves[0] as string, MIB, right);
  await verify(paths.log, { from: 'slave1', extent: EXTENT, overwriteMaster });
  expect((await inspect(paths.log)).status.phase).toBe('closed');
  expect(bytesOf(paths.master, MIB, 8192).equals(right)).toBe(true);
  expect(imagesEqual(paths)).toBe(true);
});

test('a mirror that waits for its recovery refuses it', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.write(pattern(4096, 1), { position: 0 });
  mirrors.crash(mirror);
  const again = await mirrors.open(paths, { recovery: 'manual' });
  await failure(again.verify({ from: 'slave1', extent: EXTENT, overwriteMaster }), 'NOT_RECOVERED');
  await again.close();
});

test('extents and names that do not fit, and options that do not go together, are refused before anything is written', async () => {
  const { mirror } = await mirrors.make();
  const refused = (options: object, code: Parameters<typeof failure>[1]) =>
    failure(mirror.verify({ from: 'slave1', extent: EXTENT, overwriteMaster, ...options }), code);
  await refused({ extent: { position: 100, length: 4096 } }, 'MISALIGNED');
  await refused({ extent: { position: MIRROR_SIZE - 4096, length: 8192 } }, 'OUT_OF_RANGE');
  await refused({ extent: { position: 0, length: 0 } }, 'INVALID_OPTION');
  await refused({ extent: { position: 0, length: 4096, end: 1 } }, 'INVALID_OPTION');
  await refused({ from: 'master' }, 'INVALID_OPTION');
  await refused({ from: 'nobody' }, 'INVALID_OPTION');
  for (const other of [{ repair: true }, { all: true }, { rate: '1MiB' }, { position: 4096 }])
    await refused(other, 'INVALID_OPTION');
  await expect(mirror.verify({ extent: EXTENT } as never)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
  await expect(mirror.verify({ from: 'slave1', overwriteMaster } as never)).rejects.toThrow(/extent/);
  await mirror.close();
  await failure(mirror.verify({ from: 'slave1', extent: EXTENT, overwriteMaster }), 'CLOSED');
});

test('a signal stops it between two steps', async () => {
  const { mirror } = await mirrors.make();
  const controller = new AbortController();
  const onProgress = ({ bytesDone }: Progress): void => {
    if (bytesDone > 0) controller.abort(new Error('enough'));
  };
  const extent = { position: 0, length: 4 * MIB };
  const work = mirror.verify({ from: 'slave1', extent, overwriteMaster, onProgress, signal: controller.signal });
  await expect(work).rejects.toThrow('enough');
  expect(await mirror.verify()).toMatchObject({ result: 'identical' });
  await mirror.close();
});
