/**
 * Block devices as sysfs shows them, each reduced to the bytes it stands for.
 *
 * A partition stands for a range of its disk, a loop device for a range of its backing file, recursively. Two paths
 * share bytes exactly when their grounds overlap: that one rule finds the same device under two names, a partition
 * beside its whole disk, two loop devices over one file, and a file beside a loop device over it.
 */
import type { Stats } from 'node:fs';
import { lstat, readFile, readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface Ground {
  /** Of a disk 'disk MAJOR:MINOR', of a file 'file DEVICE:INODE'. */
  base: string;
  /** Bytes; end is exclusive. */
  start: number;
  end: number;
}

export interface BlockDevice {
  /** 'major:minor'. */
  number: string;
  path: string;
  size: number;
  ground: Ground;
  /** Names of the devices that are built on it (LVM, md, dm-crypt). */
  holders: string[];
}

const SECTOR = 512;
/** Partition in loop device in file …: deeper nesting is not followed. */
const DEPTH_LIMIT = 8;
const DEVICE_LIMIT = 65_536;

export function overlap(one: Ground, other: Ground): boolean {
  return one.base === other.base && one.start < other.end && other.start < one.end;
}

/** st_rdev to 'major:minor', as the kernel prints it (glibc's gnu_dev_major and gnu_dev_minor). */
export function deviceNumber(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

export function fileGround(device: bigint, inode: bigint): Ground {
  return { base: `file ${device}:${inode}`, start: 0, end: Number.MAX_SAFE_INTEGER };
}

export async function readBlockDevices(): Promise<BlockDevice[]> {
  const numbers = await readdir('/sys/dev/block').catch(() => [] as string[]);
  const devices = await Promise.all(numbers.slice(0, DEVICE_LIMIT).map((number) => readBlockDevice(number)));
  return devices.filter((device) => device !== null);
}

/** null when there is no such device, or sysfs is not there. */
export async function readBlockDevice(number: string): Promise<BlockDevice | null> {
  const folder = await realpath(`/sys/dev/block/${number}`).catch(() => null);
  if (folder === null) return null;
  const size = (await readNumber(join(folder, 'size'))) ?? 0;
  return {
    number,
    path: `/dev/${basename(folder).replaceAll('!', '/')}`,
    size: size * SECTOR,
    ground: await groundOf(folder, number, size * SECTOR, 0),
    holders: await readdir(join(folder, 'holders')).catch(() => [] as string[]),
  };
}

async function groundOf(folder: string, number: string, size: number, depth: number): Promise<Ground> {
  const own: Ground = { base: `disk ${number}`, start: 0, end: size };
  if (depth >= DEPTH_LIMIT) return own;
  if ((await readText(join(folder, 'partition'))) !== null) {
    const parent = dirname(folder);
    const parentNumber = (await readText(join(parent, 'dev'))) ?? number;
    const parentSize = ((await readNumber(join(parent, 'size'))) ?? 0) * SECTOR;
    const start = ((await readNumber(join(folder, 'start'))) ?? 0) * SECTOR;
    return shift(await groundOf(parent, parentNumber, parentSize, depth + 1), start, size);
  }
  const backing = await readText(join(folder, 'loop/backing_file'));
  if (backing === null) return own;
  const status = await stat(backing, { bigint: true }).catch(() => null);
  if (status === null) return own;
  const offset = (await readNumber(join(folder, 'loop/offset'))) ?? 0;
  if (!status.isBlockDevice()) return shift(fileGround(status.dev, status.ino), offset, size);
  const below = deviceNumber(status.rdev);
  const belowFolder = await realpath(`/sys/dev/block/${below}`).catch(() => null);
  if (belowFolder === null) return own;
  const belowSize = ((await readNumber(join(belowFolder, 'size'))) ?? 0) * SECTOR;
  return shift(await groundOf(belowFolder, below, belowSize, depth + 1), offset, size);
}

/**
 * What a loop device, or a partition of one, keeps its bytes in; whoever may write that may write the device. null: it is
 * not there under the name that the kernel has. undefined: the device is none of a loop.
 */
export async function keptIn(number: string): Promise<Stats | null | undefined> {
  let found: Stats | undefined;
  for (let below = number, depth = 0; depth < DEPTH_LIMIT; depth++) {
    const folder = await realpath(`/sys/dev/block/${below}`).catch(() => null);
    if (folder === null) return found;
    const disk = (await readText(join(folder, 'partition'))) === null ? folder : dirname(folder);
    const file = await readText(join(disk, 'loop/backing_file'));
    if (file === null) return found;
    const status = await lstat(file).catch(() => null);
    if (status === null || !(status.isFile() || status.isBlockDevice())) return null;
    if (status.isFile()) return status;
    found = status;
    below = deviceNumber(BigInt(status.rdev));
  }
  return null;
}

function shift(ground: Ground, start: number, length: number): Ground {
  return { base: ground.base, start: ground.start + start, end: ground.start + start + length };
}

async function readText(path: string): Promise<string | null> {
  const text = await readFile(path, 'utf8').catch(() => null);
  return text === null ? null : text.replace(/\n$/, '');
}

async function readNumber(path: string): Promise<number | null> {
  const text = await readText(path);
  return text === null || !/^\d+$/.test(text) ? null : Number(text);
}
