/**
 * Opening what a path from outside names, to read it: the one way for all of lib/.
 *
 * A path of a log, of a caller or of a folder may lead to anything, and to something else by the time it is opened: a FIFO
 * waits for a writer, a tape rewinds, /dev/kmsg and the kernel's own file systems take or show what is not ours.
 *
 * Invariants:
 *  - Nothing but a regular file of an ordinary file system or a block device is opened: what a path leads to is held (O_PATH)
 *    and looked at, and that is what is opened, whatever the path leads to by then. Some devices act when they are opened.
 *  - Nothing is waited for (O_NONBLOCK), and no link is followed that was not there when the path was resolved.
 */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, realpath, stat, statfs } from 'node:fs/promises';
import { BlockmirrorError, isBlockmirrorError } from '../base/errors';

/** Magic numbers (statfs) of file systems that are the kernel's doors; native/devices/open_file.cc has the same. */
const OF_THE_KERNEL: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x62656570, // configfs
  0xcafe4a11, // bpf
  0xde5e81e4, // efivarfs
  0xf97cff8c, // selinuxfs
]);

/** Read-only; to be closed by the caller. @throws OPEN_FAILED */
export async function openToRead(path: string): Promise<FileHandle> {
  return typed(path, async () => {
    const real = await realpath(path);
    return openOrdinary(real, constants.O_NOFOLLOW);
  });
}

/** The same of a descriptor, as /proc/PID/fd has it: that link leads to what is open, whatever its name is by now. */
export async function openDescriptorToRead(path: string): Promise<FileHandle> {
  return typed(path, () => openOrdinary(path, 0));
}

async function openOrdinary(path: string, more: number): Promise<FileHandle> {
  const held = await open(path, O_PATH | more);
  try {
    const here = `/proc/self/fd/${held.fd}`;
    // Where /proc is masked there is the path alone.
    const status = await held.stat();
    const way = (await leadsTo(here, status)) ? here : path;
    if (!isOrdinary(status) || (await isOfTheKernel(way))) throw notRead(path);
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
    const file = await open(way, way === here ? flags : flags | more);
    if (await file.stat().then(isOrdinary, () => false)) return file;
    await file.close();
    throw notRead(path);
  } finally {
    await held.close();
  }
}

/** Of Linux, on all of its architectures that Node.js runs on; node:fs does not name it. */
const O_PATH = 0o10000000;

async function leadsTo(path: string, { dev, ino }: Stats): Promise<boolean> {
  return stat(path).then(
    (there) => there.dev === dev && there.ino === ino,
    () => false,
  );
}

async function typed(path: string, work: () => Promise<FileHandle>): Promise<FileHandle> {
  return work().catch((error: unknown) => {
    throw isBlockmirrorError(error) ? error : new BlockmirrorError('OPEN_FAILED', { path, cause: error });
  });
}

function notRead(path: string): BlockmirrorError {
  return new BlockmirrorError('OPEN_FAILED', {
    path,
    detail: 'it is neither a block device nor a file of an ordinary file system',
    remedy: 'Name a block device or a file',
  });
}

function isOrdinary(status: Stats): boolean {
  return status.isFile() || status.isBlockDevice();
}

/** The node of a device lies where /dev is, whatever that is. */
async function isOfTheKernel(path: string): Promise<boolean> {
  const where = await statfs(path).catch(() => null);
  return where !== null && OF_THE_KERNEL.has(where.type >>> 0);
}
