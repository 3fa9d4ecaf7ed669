/** A mirror that takes requests at once after a crash, and pays what the crash left beside them. */
import { inspect } from '../../lib/index';
import { MIB, imagesEqual, pattern, useMirrors } from './support';

const mirrors = useMirrors();

/** A mirror of two slaves that crashed behind some writes, which slaves may have or not. */
async function crashed(device: 'io_uring' | 'threads') {
  const paths = await mirrors.create({ slaveCount: 2 });
  const mirror = await mirrors.open(paths, { device });
  for (let block = 0; block < 6; block++) await mirror.write(pattern(8192, block), { position: block * MIB });
  mirrors.crash(mirror);
  return paths;
}

describe.each(['io_uring', 'threads'] as const)('recovery in the background on %s', (device) => {
  test('takes writes at once, says that the slaves are synchronizing, and ends with equal images', async () => {
    const paths = await crashed(device);
    const mirror = await mirrors.open(paths, { device, recovery: 'background' });
    await mirror.write(pattern(4096, 9), { position: 7 * MIB });
    const report = await mirror.recover();
    expect(report).toMatchObject({ clean: false, fullCompare: false });
    expect(report.bytesCovered).toBeGreaterThan(0);
    expect(mirror.status().images.map(({ state }) => state)).not.toContain('synchronizing');
    expect(mirror.status().coverage.uncertainBytes).toBe(0);
    expect((await mirror.read(Buffer.alloc(4096), { position: 7 * MIB })).buffer).toEqual(pattern(4096, 9));
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
    expect((await inspect(paths.log)).status.lastRecovery).toMatchObject({ bytesCovered: report.bytesCovered });
  });

  test('a crash and a close in its middle forget nothing', async () => {
    const paths = await crashed(device);
    for (let life = 0; life < 3; life++) {
      const mirror = await mirrors.open(paths, { device, recovery: 'background' });
      await mirror.write(pattern(4096, life), { position: (life + 1) * MIB + 64 * 1024 });
      if (life === 1) await mirror.close();
      else mirrors.crash(mirror);
    }
    const mirror = await mirrors.open(paths, { device });
    expect(mirror.status().coverage.uncertainBytes).toBe(0);
    await mirror.close();
    expect(imagesEqual(paths)).toBe(true);
  });

  test('of a mirror that was closed cleanly it is nothing', async () => {
    const { paths, mirror } = await mirrors.make();
    await mirror.close();
    const again = await mirrors.open(paths, { device, recovery: 'background' });
    expect(await again.recover()).toMatchObject({ clean: true, bytesCopied: 0 });
  });
});
