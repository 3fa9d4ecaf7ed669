/** The pure parts: parsers of what the system says, sizes, pieces, paths. */
import { BlockmirrorError, formatDuration, formatSize, parseDuration, parseSize } from '../../lib/index';
import { chooseRing } from '../../lib/life/create';
import { parseLabelHead } from '../../lib/life/find_images';
import { labelPosition } from '../../lib/look/layout';
import { batchesOf, cutExtents, forEachPiece } from '../../lib/base/pieces';
import { refuseSignatures } from '../../lib/look/signatures';
import { type Surroundings, refuseOverlaps, usesOf } from '../../lib/system/uses';
import { parseExport, parseExtSize, parsePartitionsEnd, signatureOf } from '../../lib/system/blkid';
import { deviceNumber, overlap } from '../../lib/system/block_devices';
import { parseLocks } from '../../lib/system/locks';
import { parseMountInfo } from '../../lib/system/mounts';
import { type Place, chooseLink, storedPathToPath } from '../../lib/system/places';
import { parseSwaps } from '../../lib/system/swaps';
import type { Signature } from '../../lib/index';
import { MIB } from './support';

test('sizes are bytes or have a binary unit, and are written with the largest that fits', () => {
  expect(['4096', '512KiB', '64 MiB', '1.5GiB', '2tib', 7].map((size) => parseSize(size))).toEqual([
    4096,
    512 * 1024,
    64 * MIB,
    1.5 * 1024 ** 3,
    2 * 1024 ** 4,
    7,
  ]);
  for (const wrong of ['', '4GB', '4K', '-1', '1e3', '0.3', NaN, -1, 1.5]) {
    expect(() => parseSize(wrong, 'size')).toThrow(BlockmirrorError);
  }
  expect([0, 1023, 1024, 1536, 64 * MIB, 5 * 1024 ** 4].map(formatSize)).toEqual([
    '0 B',
    '1023 B',
    '1 KiB',
    '1.5 KiB',
    '64 MiB',
    '5 TiB',
  ]);
});

test('what is neither a number nor a text is no size', () => {
  for (const wrong of [null, undefined, {}, [], 7n, Symbol('size')]) {
    expect(() => parseSize(wrong as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
    expect(() => formatSize(wrong as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
  }
});

test('durations are milliseconds or have a unit, and are written with the largest that leaves them whole', () => {
  const texts = ['500ms', '30s', '1.5 s', '5m', '1h', '2d', 7, 0, Infinity];
  expect(texts.map((text) => parseDuration(text))).toEqual([
    500,
    30_000,
    1500,
    300_000,
    3_600_000,
    172_800_000,
    7,
    0,
    Infinity,
  ]);
  for (const wrong of ['', '30', 's', '-1s', '1e3ms', '0.3ms', '1w', NaN, -1, 1.5, -Infinity, 1e15]) {
    expect(() => parseDuration(wrong, 'waitForImages')).toThrow(
      expect.objectContaining({ code: 'ERR_BLOCKMIRROR_INVALID_OPTION' }),
    );
  }
  for (const wrong of [null, undefined, {}, 7n]) {
    expect(() => parseDuration(wrong as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
  }
  expect([0, 1500, 30_000, 300_000, 86_400_000, Infinity, null].map(formatDuration)).toEqual([
    '0ms',
    '1500ms',
    '30s',
    '5m',
    '1d',
    'none',
    'none',
  ]);
});

test('mountinfo: optional fields before the dash, and blanks written in octal', () => {
  const text =
    '36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n' +
    '40 35 0:44 / /srv rw - btrfs /dev/sdb1 rw\n' +
    'nonsense\n';
  expect(parseMountInfo(text)).toEqual([
    { device: '98:0', mountPoint: '/mnt 2', fileSystem: 'ext3', source: '/dev/root' },
    { device: '0:44', mountPoint: '/srv', fileSystem: 'btrfs', source: '/dev/sdb1' },
  ]);
});

test('swaps: the heading is skipped', () => {
  const text =
    'Filename\t\t\t\tType\t\tSize\n/dev/zram0                              partition\t1024\n/a\\040b file\t4\n';
  expect(parseSwaps(text)).toEqual([
    { path: '/dev/zram0', kind: 'partition' },
    { path: '/a b', kind: 'file' },
  ]);
  expect(parseSwaps('')).toEqual([]);
});

test('locks: device numbers are hexadecimal, and a waiter holds nothing', () => {
  const text =
    '1: FLOCK  ADVISORY  WRITE 706 08:1f:1234 0 EOF\n' +
    '1: -> FLOCK  ADVISORY  WRITE 707 08:1f:1234 0 EOF\n' +
    '2: POSIX  ADVISORY  READ 5 00:16:9 128 128\n';
  expect(parseLocks(text)).toEqual([
    { kind: 'FLOCK', write: true, process: 706, device: '8:31', inode: '1234' },
    { kind: 'POSIX', write: false, process: 5, device: '0:22', inode: '9' },
  ]);
});

test('device numbers are taken apart as the C library does', () => {
  expect(deviceNumber(0x0801n)).toBe('8:1');
  expect(deviceNumber((259n << 8n) | 7n)).toBe('259:7');
  expect(deviceNumber(0x1000_0700n | 0x05n)).toBe('7:65541');
});

describe('blkid', () => {
  test('a file system, a RAID member, a partition table', () => {
    const filesystem = parseExport('DEVNAME=/dev/x\nLABEL=my\\ disk\nTYPE=ext4\nUSAGE=filesystem\nFSSIZE=4096\n');
    expect(signatureOf(filesystem)).toEqual({ type: 'ext4', kind: 'filesystem', label: 'my disk', reaches: 4096 });
    expect(signatureOf(parseExport('TYPE=linux_raid_member\nUSAGE=raid\n'))).toMatchObject({ kind: 'raid' });
    expect(signatureOf(parseExport('PTUUID=abc\nPTTYPE=gpt\n'))).toMatchObject({
      type: 'gpt',
      kind: 'partition-table',
    });
    expect(signatureOf(parseExport('DEVNAME=/dev/x\n'))).toBeNull();
  });

  test('how far partitions and file systems reach', () => {
    expect(parsePartitionsEnd('2048 10485760\n24576 5242880\n')).toBe(24576 * 512 + 5242880);
    expect(parsePartitionsEnd('')).toBeNull();
    expect(parseExtSize('Block count:              65536\nBlock size:               1024\n')).toBe(64 * MIB);
    expect(parseExtSize('nothing')).toBeNull();
  });
});

test('stable links: what names the hardware goes first', () => {
  expect(chooseLink(['ata-DISK_1', 'wwn-0x5', 'lvm-pv-uuid-x'])).toBe('wwn-0x5');
  expect(chooseLink(['nvme-MODEL_1', 'nvme-eui.00'])).toBe('nvme-eui.00');
  expect(chooseLink(['lvm-pv-uuid-x'])).toBeNull();
  expect(storedPathToPath({ path: 'a/b', pathKind: 'relative' }, '/srv/mirror')).toBe('/srv/mirror/a/b');
  expect(storedPathToPath({ path: '/dev/x', pathKind: 'absolute' }, '/srv/mirror')).toBe('/dev/x');
});

test('the head of a label names mirror and image', () => {
  const head = Buffer.alloc(88);
  head.write('BLKMIRIM', 'latin1');
  Buffer.from('00112233445566778899aabbccddeeff', 'hex').copy(head, 40);
  Buffer.from('ffeeddccbbaa99887766554433221100', 'hex').copy(head, 72);
  expect(parseLabelHead(head)).toEqual({
    mirrorUuid: '00112233-4455-6677-8899-aabbccddeeff',
    imageUuid: 'ffeeddcc-bbaa-9988-7766-554433221100',
  });
  expect(parseLabelHead(Buffer.alloc(88))).toBeNull();
});

describe('pieces', () => {
  test('never reach over a multiple of their length', () => {
    expect([
      ...cutExtents(
        [
          { position: 3, length: 10 },
          { position: 20, length: 4 },
        ],
        8,
      ),
    ]).toEqual([
      { position: 3, length: 5 },
      { position: 8, length: 5 },
      { position: 20, length: 4 },
    ]);
    expect([...cutExtents([], 8)]).toEqual([]);
  });

  test('after an error nothing more is started, and everything started has ended', async () => {
    let running = 0;
    let started = 0;
    const work = async (piece: number): Promise<void> => {
      started += 1;
      running += 1;
      await new Promise((resolve) => setTimeout(resolve, piece));
      running -= 1;
      if (piece === 2) throw new Error('piece 2');
    };
    const pieces = [20, 2, 20, 20, 20, 20];
    await expect(forEachPiece(pieces, 3, () => undefined, work)).rejects.toThrow('piece 2');
    expect(running).toBe(0);
    expect(started).toBe(3);
  });

  test('are given out in batches, in their order: as many as the limits allow, one always', () => {
    const extents = [4, 4, 4, 50, 1, 1, 1, 1].map((length, index) => ({ position: index * 100, length }));
    const batches = [...batchesOf(extents, { extents: 3, bytes: 10 })];
    expect(batches.map(({ extents: numbers }) => [...numbers])).toEqual([
      [0, 4, 100, 4],
      [200, 4],
      [300, 50],
      [400, 1, 500, 1, 600, 1],
      [700, 1],
    ]);
    expect(batches.map(({ bytes }) => bytes)).toEqual([8, 4, 50, 3, 1]);
    expect(batches[3]?.first).toEqual({ position: 400, length: 1 });
    expect([...batchesOf([], { extents: 3, bytes: 10 })]).toEqual([]);
  });

  test('the checkpoint stops before the next piece', async () => {
    let done = 0;
    const checkpoint = (): void => {
      if (done === 2) throw new Error('stop');
    };
    const count = async (): Promise<void> => {
      done += 1;
      await Promise.resolve();
    };
    await expect(forEachPiece([1, 2, 3, 4], 1, checkpoint, count)).rejects.toThrow('stop');
    expect(done).toBe(2);
  });
});

function place(base: string, start: number, end: number, kind: Place['kind'] = 'block'): Place {
  const size = end - start;
  const number = kind === 'block' ? '8:1' : null;
  return {
    path: `/${base}`,
    realPath: `/${base}`,
    through: `/${base}`,
    kind,
    number,
    size,
    ground: { base, start, end },
    inodeDevice: '',
    inode: '',
    uid: 0,
  };
}

describe('what must not be written to', () => {
  test('places overlap when they share a byte of one base', () => {
    const a = { base: 'disk 8:0', start: 0, end: 10 };
    expect(overlap(a, { base: 'disk 8:0', start: 9, end: 20 })).toBe(true);
    expect(overlap(a, { base: 'disk 8:0', start: 10, end: 20 })).toBe(false);
    expect(overlap(a, { base: 'disk 8:16', start: 0, end: 10 })).toBe(false);
  });

  test('the same range is the same device; ranges that share bytes overlap; neighbours are fine', () => {
    const refuse = (one: Place, other: Place) => () =>
      refuseOverlaps([
        { name: 'master', place: one },
        { name: 'slave1', place: other },
      ]);
    expect(refuse(place('d', 0, 10), place('d', 0, 10))).toThrow(/same device/);
    expect(refuse(place('d', 0, 100), place('d', 10, 20))).toThrow(/overlap/);
    expect(refuse(place('d', 0, 10), place('d', 10, 20))).not.toThrow();
    expect(refuse(place('f', 0, 10, 'file'), place('f', 0, 10))).toThrow(/same device/);
  });

  test('uses are found through partitions, swap files and holders', () => {
    const device = (number: string, start: number, end: number, holders: string[] = []) => ({
      number,
      path: `/dev/${number}`,
      size: end - start,
      ground: { base: 'disk 8:0', start, end },
      holders,
    });
    const surroundings: Surroundings = {
      devices: [device('8:0', 0, 100), device('8:1', 0, 50), device('8:2', 50, 100, ['dm-0'])],
      mounts: [{ number: '8:1', mountPoint: '/home', source: '/dev/8:1' }],
      swaps: [{ path: '/swap', ground: { base: 'file 1:2', start: 0, end: 1 } }],
    };
    const whole = { ...place('x', 0, 0), number: '8:0', ground: { base: 'disk 8:0', start: 0, end: 100 } };
    expect(usesOf(whole, surroundings).map((use) => use.kind)).toEqual(['mounted', 'holder']);
    const second = { ...whole, number: '8:2', ground: { base: 'disk 8:0', start: 50, end: 100 } };
    expect(usesOf(second, surroundings)).toEqual([{ kind: 'holder', detail: 'it is part of dm-0', release: null }]);
    const file = { ...whole, number: null, ground: { base: 'file 1:2', start: 0, end: 9 } };
    expect(usesOf(file, surroundings)).toEqual([
      { kind: 'swap', detail: '/swap is in use as swap', release: 'swapoff /swap' },
    ]);
  });
});

describe('consent to write over data', () => {
  const image = { name: 'master', place: place('d', 0, 64 * MIB) };
  const ext4 = (reaches: number | null): Signature => ({ type: 'ext4', kind: 'filesystem', label: null, reaches });
  const none = { keepData: false, overwriteSignature: false, size: null };
  const check =
    (signatures: Signature[], role: 'master' | 'slave' | 'log', consent: object, probed = true, mayReplace = false) =>
    () =>
      refuseSignatures(
        image,
        role,
        { signatures, probed, problem: probed ? null : 'no blkid' },
        { ...none, ...consent },
        mayReplace,
      );

  test('nothing found needs no consent; not having looked does', () => {
    expect(check([], 'master', {})).not.toThrow();
    expect(check([], 'slave', {}, false)).toThrow(/no blkid.*install blkid/);
    expect(check([], 'slave', { overwriteSignature: true }, false)).not.toThrow();
    expect(check([], 'master', { keepData: true }, false)).toThrow(/Install blkid/);
  });

  test('each role has its own word', () => {
    expect(check([ext4(MIB)], 'slave', { keepData: true })).toThrow(/overwriteSignature/);
    expect(check([ext4(MIB)], 'log', {})).toThrow(/overwriteSignature/);
    expect(check([ext4(MIB)], 'slave', { overwriteSignature: true })).not.toThrow();
    expect(check([ext4(MIB)], 'master', { overwriteSignature: true })).toThrow(/keepData/);
    expect(check([ext4(MIB)], 'master', { keepData: true })).not.toThrow();
  });

  test('data that reaches into the place of the label is never kept', () => {
    expect(check([ext4(63 * MIB)], 'master', { keepData: true })).not.toThrow();
    expect(check([ext4(63 * MIB + 1)], 'master', { keepData: true })).toThrow(/Shrink it/);
    expect(check([ext4(null)], 'master', { keepData: true })).toThrow(/not known how far/);
    expect(check([ext4(null)], 'master', { keepData: true, size: 32 * MIB })).not.toThrow();
  });

  test('the remains of this very create are no data, those of another mirror are', () => {
    const label: Signature = { type: 'blockmirror image', kind: 'blockmirror', label: null, reaches: 63 * MIB };
    const log: Signature = { type: 'blockmirror log', kind: 'blockmirror', label: null, reaches: 64 * MIB };
    expect(check([label], 'slave', {}, true, true)).not.toThrow();
    expect(check([label], 'slave', {})).toThrow(/blockmirror image/);
    expect(check([log], 'log', {}, true, true)).not.toThrow();
    expect(check([log], 'slave', {}, true, true)).toThrow(/blockmirror log/);
    expect(check([label], 'master', { keepData: true })).not.toThrow();
  });
});

test('the label stands in the last whole MiB', () => {
  expect([0, MIB, 2 * MIB - 1, 2 * MIB, 2 * MIB + 5, 64 * MIB + 4096].map(labelPosition)).toEqual([
    0,
    0,
    0,
    MIB,
    MIB,
    63 * MIB,
  ]);
});

test('the ring is what fits the log, and never less than was asked for', () => {
  const binding = {
    limits: { defaultRingRecords: 4096, minimumRingRecords: 8 },
    logLength: (records: number, size: number, maxImages: number) => 1000 + records + size + maxImages,
  } as never;
  const log = (size: number, physicalBlockSize = 4096) => ({ path: '/log', size, physicalBlockSize }) as never;
  const wanted = (asked: number | null) => ({ asked, size: 0, maxImages: 0 });
  expect(chooseRing(binding, log(1_000_000), wanted(null))).toBe(4096);
  expect(chooseRing(binding, log(3100), wanted(null))).toBe(2048);
  expect(chooseRing(binding, log(1_000_000, 16384), wanted(100))).toBe(100);
  expect(() => chooseRing(binding, log(1300, 16384), wanted(100))).toThrow(/too small/);
  expect(() => chooseRing(binding, log(1007), wanted(null))).toThrow(/too small/);
});
