/** A path, resolved: block device or regular file, and the bytes it stands for. */
import { type FileHandle, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { NativeDeviceFacts } from '../base/binding';
import { BlockmirrorError, type SystemError } from '../base/errors';
import { type Ground, deviceNumber, fileGround, readBlockDevice } from './block_devices';
import { openDescriptorToRead, openToRead } from './files';

export interface Place {
  /** As it was given. */
  path: string;
  realPath: string;
  /** By which its bytes are read: realPath, or the descriptor by which the engine holds it (see throughHeld). */
  through: string;
  kind: 'block' | 'file';
  /** 'major:minor' of a block device; null of a file. */
  number: string | null;
  size: number;
  ground: Ground;
  /** Of the inode itself, for /proc/locks: 'major:minor' and inode. */
  inodeDevice: string;
  inode: string;
  /** Owner of the file, or of the node of the device, when it was looked at. */
  uid: number;
}

/** null when the path does not exist. @throws OPEN_FAILED when it is neither a block device nor a regular file */
export async function findPlace(path: string, image: string): Promise<Place | null> {
  const absolute = resolve(path);
  let status;
  let realPath;
  try {
    realPath = await realpath(absolute);
    status = await stat(realPath, { bigint: true });
  } catch (error) {
    const system = error as SystemError;
    if (system.code === 'ENOENT' || system.code === 'ENOTDIR') return null;
    throw new BlockmirrorError('OPEN_FAILED', { image, path, cause: error, detail: system.code });
  }
  const inodeDevice = deviceNumber(status.dev);
  const inode = String(status.ino);
  const uid = Number(status.uid);
  if (status.isFile()) {
    const ground = fileGround(status.dev, status.ino);
    const through = realPath;
    return {
      path,
      realPath,
      through,
      kind: 'file',
      number: null,
      size: Number(status.size),
      ground,
      inodeDevice,
      inode,
      uid,
    };
  }
  if (!status.isBlockDevice()) {
    throw new BlockmirrorError('OPEN_FAILED', {
      image,
      path,
      detail: 'it is neither a block device nor a regular file',
      remedy: 'Name a block device or a file',
    });
  }
  const number = deviceNumber(status.rdev);
  const device = await readBlockDevice(number);
  // Without sysfs the device can only be told apart by its number.
  const ground = device?.ground ?? { base: `disk ${number}`, start: 0, end: Number.MAX_SAFE_INTEGER };
  return {
    path,
    realPath,
    through: realPath,
    kind: 'block',
    number,
    size: device?.size ?? 0,
    ground,
    inodeDevice,
    inode,
    uid,
  };
}

type HeldFacts = Pick<NativeDeviceFacts, 'device' | 'inode' | 'descriptor'>;

/** Whether that path led, when it was looked at, to what the engine holds. */
export function isHeld(place: Place, { device, inode }: HeldFacts): boolean {
  return (place.number ?? place.inodeDevice) === device && (place.number === null ? place.inode : '0') === inode;
}

/**
 * The same place, its bytes read by the descriptor that holds it: nothing that happens to the path is of weight any more.
 * It is a path for other processes too (blkid). Where /proc is masked there is the path alone.
 * @param place which isHeld
 */
export async function throughHeld(place: Place, facts: HeldFacts): Promise<Place> {
  // Not process.pid: that is our number in our own pid namespace, and this /proc may be of another.
  const self = await readlink('/proc/self').catch(() => '');
  const through = `/proc/${self}/fd/${facts.descriptor}`;
  const status = await stat(through, { bigint: true }).catch(() => null);
  if (status === null) return place;
  const same = String(status.ino) === place.inode && deviceNumber(status.dev) === place.inodeDevice;
  return same ? { ...place, through } : place;
}

/** Its bytes, to be read. @throws OPEN_FAILED */
export function openPlace({ realPath, through }: Place): Promise<FileHandle> {
  return through === realPath ? openToRead(realPath) : openDescriptorToRead(through);
}

/** @throws OPEN_FAILED when a path leads elsewhere by now than to what the engine holds by it */
export function refuseReplaced(name: string, path: string, place: Place | null, facts: HeldFacts): void {
  if (place !== null && isHeld(place, facts)) return;
  throw new BlockmirrorError('OPEN_FAILED', {
    image: name,
    path,
    detail: 'another file was put in its place meanwhile',
    remedy: 'Try again when nobody else works on these paths',
  });
}

export interface StoredPath {
  path: string;
  pathKind: 'absolute' | 'relative';
}

const LINKS = '/dev/disk/by-id';
/** Names that stay with the hardware come first; names of a slot or of a partition's content are not used. */
const LINK_PREFERENCE = [/^wwn-/, /^nvme-eui\./, /^nvme-/, /^scsi-/, /^ata-/, /^virtio-/, /^dm-uuid-/, /^md-uuid-/];

/**
 * The path to remember: of a block device a stable link, of a file below the log's folder the way from there (so that
 * the folder can be moved), else the absolute path.
 */
export async function pathToStore(
  place: Pick<Place, 'path' | 'realPath' | 'kind'>,
  logFolder: string,
): Promise<StoredPath> {
  if (place.kind === 'block') {
    return { path: (await stableLink(place.realPath)) ?? resolve(place.path), pathKind: 'absolute' };
  }
  const way = relative(logFolder, place.realPath);
  if (way !== '' && !way.startsWith('..') && !isAbsolute(way)) return { path: way, pathKind: 'relative' };
  return { path: place.realPath, pathKind: 'absolute' };
}

/** Whether a path of the log that starts from its folder ends elsewhere, links followed. Both are resolved. */
export function leadsOutside(stored: StoredPath, realPath: string, logFolder: string): boolean {
  return stored.pathKind === 'relative' && !realPath.startsWith(logFolder === '/' ? '/' : `${logFolder}/`);
}

export function storedPathToPath(stored: StoredPath, logFolder: string): string {
  if (stored.path === '') return '';
  return stored.pathKind === 'relative' ? resolve(logFolder, stored.path) : stored.path;
}

/** The folder that relative paths in the log start from: that of the log itself, not of a link to it. */
export async function folderOfLog(logPath: string): Promise<string> {
  return dirname(await realpath(resolve(logPath)).catch(() => resolve(logPath)));
}

export async function stableLink(devicePath: string, folder = LINKS): Promise<string | null> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const links: string[] = [];
  for (const name of names) {
    if ((await realpath(join(folder, name)).catch(() => null)) === devicePath) links.push(name);
  }
  return chooseLink(links) === null ? null : join(folder, chooseLink(links) as string);
}

/** Pure. */
export function chooseLink(names: readonly string[]): string | null {
  const sorted = [...names].sort();
  for (const pattern of LINK_PREFERENCE) {
    const found = sorted.find((name) => pattern.test(name));
    if (found !== undefined) return found;
  }
  return null;
}
