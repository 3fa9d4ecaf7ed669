// The main job on real block devices, by the command line alone: create, kill, look, recover, compare.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Ledger } from '../../lib/cli/demo/acknowledgements';
import { checkAcknowledged, compareFiles } from '../../lib/cli/demo/comparison';
import { startChildWriter } from '../support/child_writer';
import { runCommand } from '../support/command_line';
import { noLoopDevices, useLoopDevices, type LoopDevice } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

const { signal } = new AbortController();

describeUnless(noLoopDevices, 'block devices', () => {
  const folder = useTemporaryFolder();
  const makeLoopDevice = useLoopDevices();

  function createArguments(log: LoopDevice, master: LoopDevice, ...slaves: LoopDevice[]): string[] {
    const slaveOptions = slaves.flatMap(({ path }) => ['--slave', path]);
    return ['create', '--log', log.path, '--master', master.path, ...slaveOptions, '--json'];
  }

  test.each([
    ['io_uring', 512],
    ['threads', 512],
    ['io_uring', 4096],
  ] as const)('by %s, sectors of %d bytes: killed, recovered, equal', async (device, sectorSize) => {
    const log = makeLoopDevice(32 * MIB, { sectorSize });
    const images: [LoopDevice, ...LoopDevice[]] = [makeLoopDevice(24 * MIB, { sectorSize })];
    for (let slaves = 0; slaves < 2; slaves += 1) images.push(makeLoopDevice(24 * MIB, { sectorSize }));
    const created = await runCommand(createArguments(log, ...images));
    expect(created.exitCode).toBe(0);
    const { size } = created.json();
    expect(size).toBe(23 * MIB);

    const ledger = new Ledger();
    const writer = startChildWriter({ log: log.path, run: 1, device }, ledger);
    await writer.acknowledged(300);
    await writer.kill();
    expect((await runCommand(['status', log.path])).exitCode).toBe(3);
    expect((await runCommand(['recover', log.path, '--device', device])).exitCode).toBe(0);

    for (const { path } of images.slice(1))
      expect(await compareFiles(images[0].path, path, size, [], signal)).toMatchObject({ bytesDiffered: 0 });
    for (const { path } of images)
      expect(await checkAcknowledged(path, ledger, signal)).toMatchObject({ unitsLost: 0 });
    expect((await runCommand(['verify', log.path])).exitCode).toBe(0);
  });

  test('create refuses a mounted device, and says where it is mounted', async () => {
    const [log, master, slave] = [32, 16, 16].map((size) => makeLoopDevice(size * MIB)) as [
      LoopDevice,
      LoopDevice,
      LoopDevice,
    ];
    execFileSync('mkfs.ext4', ['-q', slave.path]);
    const place = join(folder(), 'mounted');
    mkdirSync(place);
    execFileSync('mount', [slave.path, place]);
    try {
      const result = await runCommand([...createArguments(log, master, slave), '--overwrite-signature']);
      expect([result.exitCode, result.json().error.code]).toEqual([1, 'ERR_BLOCKMIRROR_MOUNTED']);
      expect(result.json().error.message).toContain(place);
    } finally {
      execFileSync('umount', [place]);
    }
  });

  test('create refuses a file system on a slave until it is told that it may go', async () => {
    const [log, master, slave] = [32, 16, 16].map((size) => makeLoopDevice(size * MIB)) as [
      LoopDevice,
      LoopDevice,
      LoopDevice,
    ];
    execFileSync('mkfs.ext4', ['-q', '-L', 'precious', slave.path]);
    const refused = await runCommand(createArguments(log, master, slave));
    expect([refused.exitCode, refused.json().error.code]).toEqual([1, 'ERR_BLOCKMIRROR_SIGNATURE_FOUND']);
    expect(refused.json().error.message).toMatch(/slave1.*ext4.*precious/);
    const allowed = await runCommand([...createArguments(log, master, slave), '--overwrite-signature']);
    expect(allowed.exitCode).toBe(0);
  });
});
