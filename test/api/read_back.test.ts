/** The read-back after a copy: what a slave then holds is compared before it counts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Mirror, inspect, recover } from '../../lib/index';
import { MIB, MIRROR_SIZE, failure, pattern, useMirrors } from './support';
import { type LoopDevice, noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';

const mirrors = useMirrors();

/** Writes a sector of the file below a device over and over, so that whatever is copied there does not stay. */
const SPOILER = `
  const { openSync, writeSync } = require('node:fs');
  const [path, position] = process.argv.slice(1);
  let file = null;
  const spoil = () => {
    try {
      file ??= openSync(path, 'r+');
      for (let i = 0; i < 200; i++) writeSync(file, Buffer.alloc(512, 0xee), 0, 512, Number(position));
    } catch {}
    setImmediate(spoil);
  };
  spoil();
  process.stdout.write('begun');
`;
const spoilers: ChildProcess[] = [];

async function spoil({ backingFile }: LoopDevice, position: number): Promise<void> {
  const spoiler = spawn(process.execPath, ['-e', SPOILER, backingFile, String(position)]);
  spoilers.push(spoiler);
  await once(spoiler.stdout, 'data');
}

async function endSpoiling(): Promise<void> {
  for (const spoiler of spoilers.splice(0)) {
    const ended = once(spoiler, 'exit');
    spoiler.kill('SIGKILL');
    await ended;
  }
}

describeUnless(noLoopDevices, 'what is read back otherwise than it was copied', () => {
  const makeLoopDevice = useLoopDevices();
  afterEach(endSpoiling);
  // Through the page cache, as the spoiler writes.
  const makeSlave = (): LoopDevice => makeLoopDevice(MIRROR_SIZE + MIB, { directIo: false });

  test.each([
    [0, 64 * 1024],
    [1, 64 * 1024],
  ])(
    'of slave %d at byte %d in a recovery is READ_BACK_DIFFERS with its name and place, and the mirror stays unclean',
    async (slave, position) => {
      const device = makeSlave();
      const paths = mirrors.paths(2);
      paths.slaves[slave] = device.path;
      await mirrors.create(paths);
      const mirror = await mirrors.open(paths);
      // More behind it, so that it is spoilt again before it is read back.
      for (let i = 0; i < 12; i++) await mirror.write(pattern(128 * 1024, i), { position: i * 512 * 1024 + 64 * 1024 });
      mirrors.crash(mirror);
      await spoil(device, position);
      const error = await failure(recover(paths.log), 'READ_BACK_DIFFERS');
      expect(error).toMatchObject({ image: `slave${slave + 1}`, path: device.path, position });
      await endSpoiling();
      expect((await inspect(paths.log)).status.phase).toBe('unclean');
      expect((await recover(paths.log)).readBack).toBe(true);
    },
  );

  test('is not seen where it is not asked for', async () => {
    const device = makeSlave();
    const paths = mirrors.paths(1);
    paths.slaves[0] = device.path;
    await mirrors.create(paths);
    const mirror = await mirrors.open(paths);
    await mirror.write(pattern(8192, 1), { position: 64 * 1024 });
    mirrors.crash(mirror);
    await spoil(device, 64 * 1024);
    expect((await recover(paths.log, { readBack: false })).readBack).toBe(false);
  });

  test('in a create is READ_BACK_DIFFERS, and there is no mirror', async () => {
    const device = makeSlave();
    const paths = mirrors.paths(1);
    paths.slaves[0] = device.path;
    await spoil(device, 7 * MIB);
    const creating = Mirror.create({ ...paths, size: MIRROR_SIZE, ringRecords: 64 });
    expect(await failure(creating, 'READ_BACK_DIFFERS')).toMatchObject({ image: 'slave1', path: device.path });
    expect((await inspect(paths.log)).status.phase).toBe('creating');
  });
});
