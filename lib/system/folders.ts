/**
 * The folders on the way to a log or an image: may somebody else than root put another file in its place?
 *
 * Root opens what a path names. Whoever may write one of the folders on the way decides what that is: between any look
 * and the opening, and again after it. So root takes no path through a folder that others may write, unless told
 * (trustFolders). Who is not root can do no more than whoever wrote the folder lets him: nothing is asked of him.
 *
 * Invariants:
 *  - The way is walked as the kernel walks it: each symbolic link is a part of its own (the folder that holds it), and
 *    then the way that it names, up to the root folder.
 *  - The verdict of a part is the first row of UNSAFE that fits; it is pure, and tested as a table.
 *  - In a sticky folder (/tmp) others can make entries, and change their own alone: an entry of root's stays what it is,
 *    and one that is not there has to be made with O_EXCL or under O_NOFOLLOW (native/devices/made_file.h).
 */
import { lstat, readFile, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { BlockmirrorError } from '../base/errors';
import { shellPath } from '../base/shell';
import { shown } from '../base/shown';

/** A folder on the way, and the name that the way takes in it. */
export interface PathPart {
  folder: string;
  name: string;
  owner: number;
  group: number;
  /** st_mode, or its permission bits alone. */
  mode: number;
  /** null: it is not there; the way ends here. */
  entry: { kind: 'folder' | 'link' | 'file'; owner: number; names: number } | null;
}

const ROOT = 0;
const STICKY = 0o1000;
const GROUP_WRITES = 0o020;
const OTHERS_WRITE = 0o002;

const byOthers = ({ mode }: PathPart): boolean => (mode & OTHERS_WRITE) !== 0;
const byGroup = ({ mode, group }: PathPart): boolean => (mode & GROUP_WRITES) !== 0 && group !== ROOT;
const shared = (part: PathPart): boolean => byOthers(part) || byGroup(part);
const sticky = ({ mode }: PathPart): boolean => (mode & STICKY) !== 0;

interface UnsafeRow {
  when: (part: PathPart) => boolean;
  why: (part: PathPart) => string;
}

/** The first row that fits says why the way is not to be taken; none: it is. */
export const UNSAFE: readonly UnsafeRow[] = [
  { when: ({ owner }) => owner !== ROOT, why: ({ owner }) => `it belongs to user ${owner}` },
  { when: (part) => byOthers(part) && !sticky(part), why: () => 'every user may write it' },
  { when: (part) => byGroup(part) && !sticky(part), why: ({ group }) => `group ${group} may write it` },
  {
    when: (part) => shared(part) && part.entry !== null && part.entry.owner !== ROOT,
    why: ({ name, entry }) => `others may write it, and ${shown(name)} in it belongs to user ${entry?.owner ?? ''}`,
  },
  {
    // A hard link that another user made belongs to root, like the file that it leads to.
    when: (part) => shared(part) && part.entry?.kind === 'file' && part.entry.names > 1,
    why: ({ name }) => `others may write it, and ${shown(name)} in it has another name elsewhere (hard link)`,
  },
];

/** Why others can change what the part leads to; null: they cannot. Pure. */
export function unsafeBecause(part: PathPart): string | null {
  return UNSAFE.find((row) => row.when(part))?.why(part) ?? null;
}

/** As the kernel's own limit. */
const LINKS_LIMIT = 40;
const STEPS_LIMIT = 4096;

/** The parts to what the path names; they end where something is not there, which whoever opens it reports. */
export async function partsOfPath(path: string): Promise<PathPart[]> {
  const parts: PathPart[] = [];
  const ahead = `${path.startsWith('/') ? '' : process.cwd()}/${path}`.split('/');
  let here = '/';
  let links = 0;
  while (ahead.length > 0 && parts.length < STEPS_LIMIT) {
    const name = ahead.shift() as string;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      here = resolve(here, '..');
      continue;
    }
    const folder = await lstat(here).catch(() => null);
    if (folder?.isDirectory() !== true) break;
    const at = join(here, name);
    const entry = await lstat(at).catch(() => null);
    const kind = entry?.isSymbolicLink() === true ? 'link' : entry?.isDirectory() === true ? 'folder' : 'file';
    parts.push({
      folder: here,
      name,
      owner: folder.uid,
      group: folder.gid,
      mode: folder.mode & 0o7777,
      entry: entry === null ? null : { kind, owner: entry.uid, names: entry.nlink },
    });
    if (entry === null) break;
    if (kind !== 'link') {
      here = at;
      continue;
    }
    const target = await readlink(at).catch(() => null);
    if (target === null || ++links > LINKS_LIMIT) break;
    if (target.startsWith('/')) here = '/';
    ahead.unshift(...target.split('/'));
  }
  return parts;
}

/** A path with the name by which errors speak of it. */
export interface NamedPath {
  name: string;
  path: string;
}

/**
 * @param trusted the operator's word that nobody hostile may write those folders (trustFolders)
 * @throws UNSAFE_FOLDER
 */
export async function refuseUnsafeFolders(paths: readonly NamedPath[], trusted: boolean): Promise<void> {
  if (trusted || !(await actsAsRoot())) return;
  for (const { name, path } of paths) {
    if (path === '') continue;
    const unsafe = await findUnsafe(path);
    if (unsafe !== null) throw unsafeFolder(name, path, unsafe);
  }
}

/** Where a path has '..' behind a link, the kernel and path.resolve() go two ways; both are looked at. */
async function findUnsafe(path: string): Promise<PathPart | null> {
  const ways = path.split('/').includes('..') ? [path, resolve(path)] : [path];
  for (const way of ways) {
    const unsafe = (await partsOfPath(way)).find((part) => unsafeBecause(part) !== null);
    if (unsafe !== undefined) return unsafe;
  }
  return null;
}

function unsafeFolder(image: string, path: string, part: PathPart): BlockmirrorError {
  const { folder, owner, group, mode } = part;
  const whose = `owner ${owner}, group ${group}, mode ${octal(mode)}`;
  const open = owner === ROOT && (mode & STICKY) === 0;
  const closing = open ? ` (\`chmod go-w ${shellPath(folder)}\` makes it one)` : '';
  return new BlockmirrorError('UNSAFE_FOLDER', {
    image,
    path,
    detail: `${shown(folder)} (${whose}): ${unsafeBecause(part) ?? ''}`,
    remedy:
      `Keep log and images in a folder that root alone may write${closing}; ` +
      'or, if you trust everybody who may write it, say trustFolders (`--trust-folders`)',
  });
}

/** Root of a user namespace with one user in it can do no more than that user. */
export async function actsAsRoot(): Promise<boolean> {
  return process.geteuid?.() === ROOT && !(await isAlone());
}

/** In a user namespace that knows one user: everybody else's files show as of the same one. */
async function isAlone(): Promise<boolean> {
  const map = await readFile('/proc/self/uid_map', 'utf8').catch(() => '');
  return /^\s*\d+\s+\d+\s+1\s*$/.test(map);
}

const OVERFLOW = 65_534;

/**
 * The path with its links followed, for the engine to open through no link at all (`resolved`). What is not there is not
 * followed: the path then names what is to be made.
 * @throws OPEN_FAILED for a link that leads nowhere, and for one that neither root nor we made, in a folder of ours or root's
 */
export async function followPath(path: string, image: string): Promise<string> {
  const absolute = resolve(path);
  const parts = await partsOfPath(absolute);
  const alone = await isAlone();
  const ours = (owner: number): boolean =>
    owner === ROOT || owner === process.geteuid?.() || (alone && owner === OVERFLOW);
  for (const part of parts) {
    if (part.entry?.kind !== 'link' || isOurLink(part, ours)) continue;
    const whose = `made by user ${part.entry.owner}, in a folder of user ${part.owner} (mode ${octal(part.mode)})`;
    await strangeLink(path, image, join(part.folder, part.name), whose);
  }
  const real = await realpath(absolute).catch(() => null);
  if (real !== null) return real;
  const status = await lstat(absolute).catch(() => null);
  if (status?.isSymbolicLink() === true) await strangeLink(path, image, absolute, 'and leads nowhere');
  return join(await realpath(dirname(absolute)).catch(() => dirname(absolute)), basename(absolute));
}

/** Pure. */
export function isOurLink(part: PathPart, ours: (owner: number) => boolean): boolean {
  if (part.entry === null || !ours(part.entry.owner) || !ours(part.owner)) return false;
  return !byOthers(part) || sticky(part);
}

async function strangeLink(path: string, image: string, link: string, what: string): Promise<never> {
  const target = await readlink(link).catch(() => '');
  throw new BlockmirrorError('OPEN_FAILED', {
    image,
    path,
    detail: `${shown(link)} is a symbolic link to ${shown(target)}, ${what}`,
    remedy: 'Name another path; or, if what the link leads to is meant, name that itself',
  });
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}
