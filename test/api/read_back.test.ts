/** The read-back after a copy: what a slave then holds is compared, all of it and on every slave, before anything is retired. */
import { type Progress, Mirror, inspect, recover } from '../../lib/index';
import { MIB, MIRROR_SIZE, failure, imagesEqual, overwrite, pattern, useMirrors } from './support';

const mirrors = useMirrors();

/** Spoils the image when everything was copied and flushed, and nothing was read back. */
function spoilBeforeReadBack(path: string, position: number): (progress: Progress) => void {
  return ({ step, bytesDone }) => {
    if (step === 'readBack' && bytesDone === 0) overwrite(path, position, Buffer.alloc(512, 0xee));
  };
}

describe('of a recovery', () => {
  test.each([
    [0, 'first', 64 * 1024],
    [1, 'first', 64 * 1024],
    [2, 'first', 64 * 1024],
    [0, 'last', 5 * MIB],
    [2, 'last', 5 * MIB],
  ])(
    'slave %d that differs in the %s extent is READ_BACK_DIFFERS with its name and place, and the mirror stays unclean',
    async (slave, _, position) => {
      const paths = await mirrors.create({ slaveCount: 3 });
      const mirror = await mirrors.open(paths);
      await mirror.write(pattern(8192, 1), { position: 64 * 1024 });
      await mirror.write(pattern(8192, 2), { position: 5 * MIB });
      mirrors.crash(mirror);
      expect((await inspect(paths.log)).extents.length).toBeGreaterThan(1);
      const path = paths.slaves[slave] as string;
      const onProgress = spoilBeforeReadBack(path, position);
      const error = await failure(recover(paths.log, { onProgress }), 'READ_BACK_DIFFERS');
      expect(error).toMatchObject({ image: `slave${slave + 1}`, path, position });
      expect((await inspect(paths.log)).status.phase).toBe('unclean');
      await recover(paths.log);
      expect(imagesEqual(paths)).toBe(true);
    },
  );

  test('is left out where it is not asked for', async () => {
    const { paths, mirror } = await mirrors.make();
    await mirror.write(pattern(8192, 1), { position: 64 * 1024 });
    mirrors.crash(mirror);
    const steps: string[] = [];
    await recover(paths.log, { readBack: false, onProgress: ({ step }) => steps.push(step) });
    expect(steps).not.toContain('readBack');
  });
});

describe('of a create', () => {
  test.each([
    [0, 0],
    [1, 7 * MIB],
    [1, MIRROR_SIZE - 512],
  ])('slave %d that differs at byte %d is READ_BACK_DIFFERS, and there is no mirror', async (slave, position) => {
    const paths = mirrors.paths(2);
    const path = paths.slaves[slave] as string;
    const onProgress = spoilBeforeReadBack(path, position);
    const creating = Mirror.create({ ...paths, size: MIRROR_SIZE, ringRecords: 64, onProgress });
    expect(await failure(creating, 'READ_BACK_DIFFERS')).toMatchObject({ image: `slave${slave + 1}`, path });
    expect((await inspect(paths.log)).status.phase).toBe('creating');
  });
});
