/** Blocks that cannot be read, of real devices: a loop device whose file ends early, btrfs that finds a wrong checksum. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Repair, Mirror, recover, recoveryReportToText } from '../../lib/index';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { run } from '../support/tools';
import { MIB, bytesOf, describeDeviceKinds, failure, pattern, useMirrors } from './support';

const IMAGE = 8 * MIB;
const SIZE = IMAGE - MIB;
const LOG = 32 * MIB;
const BLOCK = 4096;

describeUnless(noLoopDevices, 'a block that the master cannot read', () => {
  const mirrors = useMirrors();
  const makeLoop = useLoopDevices();

  /** The last blocks of the mirror are behind the end of the master's file: EIO until they are written. */
  async function open(device: 'io_uring' | 'threads', unreadable: number, assumeIdentical = false) {
    const master = makeLoop(IMAGE);
    const paths = { log: makeLoop(LOG).path, master: master.path, slaves: [makeLoop(IMAGE).path] };
    await Mirror.create({ ...paths, device, assumeIdentical });
    const mirror = await mirrors.open(paths, { device });
    const bytes = pattern(16 * BLOCK, 1);
    await mirror.write(bytes, { position: SIZE - bytes.length, dsync: true });
    truncateSync(master.backingFile, SIZE - unreadable);
    return { mirror, bytes, paths };
  }

  describeDeviceKinds('over', (device) => {
    test('is served from the slave, mended, counted and told', async () => {
      const { mirror, bytes, paths } = await open(device, 3 * BLOCK);
      const repairs: Repair[] = [];
      const told = new Promise<void>((resolve) => {
        mirror.on('repaired', (repair) => {
          if (repairs.push(repair) === 3) resolve();
        });
      });
      const { buffer } = await mirror.read(Buffer.alloc(bytes.length), { position: SIZE - bytes.length });
      expect(buffer.equals(bytes)).toBe(true);
      await told;
      expect(repairs).toEqual(
        [3, 2, 1].map((blocks) => ({
          image: 'master',
          position: SIZE - blocks * BLOCK,
          length: BLOCK,
          from: 'slave1',
        })),
      );
      expect(mirror.status().counters).toMatchObject({ reads: 1, repairs: 3, repairsFailed: 0 });
      expect(mirror.status().phase).toBe('running');
      expect(bytesOf(paths.master, SIZE - bytes.length, bytes.length).equals(bytes)).toBe(true);
    });

    test('is named by its position when no slave is proven to be equal', async () => {
      const { mirror, bytes, paths } = await open(device, 2 * BLOCK, true);
      const error = await failure(
        mirror.read(Buffer.alloc(bytes.length), { position: SIZE - bytes.length }),
        'READ_FAILED',
      );
      expect(error).toMatchObject({ image: 'master', path: paths.master, position: SIZE - 2 * BLOCK });
      expect(error.cause).toMatchObject({ code: 'EIO', syscall: 'read' });
      expect(mirror.status().counters).toMatchObject({ repairs: 0, repairsFailed: 0 });
    });

    test('is mended by a verify, which finds no difference', async () => {
      const { mirror } = await open(device, BLOCK);
      expect(await mirror.verify()).toMatchObject({ identical: true });
      expect(mirror.status().counters).toMatchObject({ repairs: 1 });
    });
  });
});

const noBtrfs =
  noLoopDevices ??
  (spawnSync('sh', [
    '-c',
    'PATH="$PATH:/usr/sbin:/sbin"; command -v mkfs.btrfs && modprobe -q btrfs; grep -qw btrfs /proc/filesystems',
  ]).status === 0
    ? null
    : 'needs btrfs (package btrfs-progs)');

describeUnless(noBtrfs, 'a block of the debt that cannot be read', () => {
  const mirrors = useMirrors();
  let folder = '';
  let mounted = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'blockmirror-btrfs-'));
    mounted = join(folder, 'mounted');
    mkdirSync(mounted);
    run('truncate', '-s', '160M', join(folder, 'btrfs.img'));
    run('mkfs.btrfs', '-q', '-d', 'single', '-m', 'single', join(folder, 'btrfs.img'));
    run('mount', '-o', 'loop', join(folder, 'btrfs.img'), mounted);
  });
  afterEach(() => {
    run('umount', mounted);
    rmSync(folder, { recursive: true });
  });

  const MARK = 'bytes that will not be read again ';

  /** Killed after writing sixteen blocks at 1 MiB; the fifth of the image on btrfs has rotted since. */
  async function crashed(image: 'master' | 'slave1') {
    const place = (name: string): string => join(name === image ? mounted : folder, `${name}.img`);
    const paths = { log: join(folder, 'log'), master: place('master'), slaves: [place('slave1'), place('slave2')] };
    await Mirror.create({ ...paths, size: SIZE });
    const mirror = await mirrors.open(paths);
    const bytes = Buffer.alloc(16 * BLOCK, MARK);
    bytes.fill(0, 0, 4 * BLOCK);
    bytes.fill(0, 5 * BLOCK);
    await mirror.write(bytes, { position: MIB, dsync: true });
    mirrors.crash(mirror);
    run('umount', mounted);
    rot(join(folder, 'btrfs.img'), bytes.subarray(4 * BLOCK, 5 * BLOCK));
    run('mount', '-o', 'loop', join(folder, 'btrfs.img'), mounted);
    return { paths, bytes };
  }

  function rot(file: string, block: Buffer): void {
    const opened = openSync(file, 'r+');
    const chunk = Buffer.alloc(4 * MIB);
    let rotted = 0;
    for (let at = 0; readSync(opened, chunk, 0, chunk.length, at) > 0; at += chunk.length) {
      for (let found = chunk.indexOf(block); found >= 0; found = chunk.indexOf(block, found + BLOCK)) {
        writeSync(opened, 'rotten', at + found);
        ++rotted;
      }
    }
    closeSync(opened);
    expect(rotted).toBeGreaterThan(0);
  }

  test('by the master is chosen from a slave, and the choice is in the report', async () => {
    const { paths, bytes } = await crashed('master');
    const report = await recover(paths.log);
    expect(report.repairs).toEqual([{ image: 'master', position: MIB + 4 * BLOCK, length: BLOCK, from: 'slave1' }]);
    expect(recoveryReportToText(report)).toContain(
      `master: 4096 bytes from byte ${MIB + 4 * BLOCK} could not be read; they are now what slave1 holds`,
    );
    expect(report.slaves.map((slave) => slave.state)).toEqual(['synchronized', 'synchronized']);
    for (const path of [paths.master, ...paths.slaves]) {
      expect(bytesOf(path, MIB, bytes.length).equals(bytes)).toBe(true);
    }
  });

  test('by a slave is overwritten like any other, fails nobody, and counts as different', async () => {
    const { paths, bytes } = await crashed('slave1');
    const report = await recover(paths.log);
    expect(report.repairs).toEqual([{ image: 'slave1', position: MIB + 4 * BLOCK, length: BLOCK, from: 'master' }]);
    expect(report.slaves).toMatchObject([
      { state: 'synchronized', bytesDiffered: BLOCK },
      { state: 'synchronized', bytesDiffered: 0 },
    ]);
    expect(bytesOf(paths.slaves[0] as string, MIB, bytes.length).equals(bytes)).toBe(true);
  });
});
