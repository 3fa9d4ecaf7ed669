/**
 * Room for files that do not exist yet: looked at before the first of them is made, over all that share a file system.
 *
 * It is a friendly look, not the proof: their space is allocated before anything else happens to them, and that is what
 * refuses a full disk.
 */
import { stat, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { BlockmirrorError, isBlockmirrorError, type SystemError } from '../base/errors';
import { shown } from '../base/shown';
import { formatSize } from '../base/size';

export interface WantedFile {
  name: string;
  path: string;
  /** Bytes to be allocated. */
  length: number;
}

export interface FileSystemSpace {
  /** A folder on it. */
  folder: string;
  free: number;
  files: WantedFile[];
}

/** @throws NO_SPACE */
export async function refuseWithoutSpace(wanted: readonly WantedFile[]): Promise<void> {
  const short = shortOfSpace(await spaceOf(wanted));
  if (short.length > 0) throw new BlockmirrorError('NO_SPACE', { detail: short.map(spaceToText).join('; ') });
}

async function spaceOf(wanted: readonly WantedFile[]): Promise<FileSystemSpace[]> {
  const systems = new Map<bigint, FileSystemSpace>();
  for (const file of wanted) {
    const folder = dirname(resolve(file.path));
    // A folder that is not there is told by whoever makes the file.
    const status = await stat(folder, { bigint: true }).catch(() => null);
    if (status === null) continue;
    const known = systems.get(status.dev);
    if (known !== undefined) {
      known.files.push(file);
      continue;
    }
    const system = await statfs(folder).catch(() => null);
    if (system === null) continue;
    // Blocks that are kept for root.
    const blocks = process.geteuid?.() === 0 ? system.bfree : system.bavail;
    systems.set(status.dev, { folder, free: blocks * system.bsize, files: [file] });
  }
  return [...systems.values()];
}

/** Pure. */
export function shortOfSpace(systems: readonly FileSystemSpace[]): FileSystemSpace[] {
  return systems.filter(({ free, files }) => needed(files) > free);
}

function needed(files: readonly WantedFile[]): number {
  return files.reduce((total, { length }) => total + length, 0);
}

function spaceToText({ folder, free, files }: FileSystemSpace): string {
  const each = files.map(({ name, length }) => `${shown(name)} ${formatSize(length)}`).join(', ');
  return `the file system of ${shown(folder)} has ${formatSize(free)} free, and ${formatSize(needed(files))} are needed (${each})`;
}

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** What a file that is being made met at the end of its disk; any other error as it is. */
export function explainFull(error: unknown, wanted: readonly WantedFile[]): unknown {
  if (!isBlockmirrorError(error, 'OPEN_FAILED') && !isBlockmirrorError(error, 'WRITE_FAILED')) return error;
  const system = error.cause as SystemError | undefined;
  const file = wanted.find(({ name }) => name === error.image);
  if (file === undefined || system?.code === undefined || !FULL.has(system.code)) return error;
  return new BlockmirrorError('NO_SPACE', {
    ...(error.image === undefined ? {} : { image: error.image }),
    ...(error.path === undefined ? {} : { path: error.path }),
    detail: `it needs ${formatSize(file.length)}`,
    cause: system,
  });
}
