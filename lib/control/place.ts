/**
 * Where the control socket of a mirror is, and whether that place can be trusted.
 *
 * Whoever may write a folder on the way to the socket could put one of his own there, and be asked, or tell lies, in the
 * mirror's name. So the way is looked at before a socket is bound, and before one is connected to.
 *
 * Invariants:
 *  - It is below /run for root and below XDG_RUNTIME_DIR for others; never in a folder that everybody may write, never abstract.
 *  - Its folder is ours, no link, and nobody else may so much as enter it, when a socket is bound or connected to. So there is no
 *    moment at which another user can connect, whatever the umask.
 *  - What is removed is a socket that nobody listens to, by whoever holds the lock of the log. Nothing else is ever removed.
 */
import { lstat, mkdir, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, isAbsolute, join } from 'node:path';
import { BlockmirrorError, type SystemError } from '../base/errors';
import { shellPath } from '../base/shell';
import { shown } from '../base/shown';
import { type PathPart, partsOfPath } from '../system/folders';
import { CLIENT_LIMITS, SOCKET_PATH_BYTES } from './limits';

export interface Place {
  folder: string;
  path: string;
}

interface Who {
  /** Effective. */
  uid: number;
  /** XDG_RUNTIME_DIR. */
  runtimeFolder: string | undefined;
}

const ROOT = 0;

function whoWeAre(): Who {
  return { uid: process.geteuid?.() ?? ROOT, runtimeFolder: process.env['XDG_RUNTIME_DIR'] };
}

/** Pure but for its default. @throws CONTROL_UNAVAILABLE */
export function placeOfControl(uuid: string, { uid, runtimeFolder }: Who = whoWeAre()): Place {
  const base = uid === ROOT ? '/run' : runtimeFolder;
  if (base === undefined || base === '') {
    throw unavailable('this process is not of root, and XDG_RUNTIME_DIR is not set', {
      remedy: 'Set XDG_RUNTIME_DIR to a folder that this user alone may write, as a login session does',
    });
  }
  if (!isAbsolute(base)) {
    throw unavailable(`XDG_RUNTIME_DIR is ${shown(base)}`, { remedy: 'Set it to an absolute path' });
  }
  const folder = join(base, 'blockmirror');
  const path = join(folder, `${uuid}.sock`);
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES) {
    throw unavailable(`its path would be longer than the ${SOCKET_PATH_BYTES} bytes that a socket's may have`, {
      path,
      remedy: 'Set XDG_RUNTIME_DIR to a shorter path',
    });
  }
  return { folder, path };
}

/** A folder as lstat tells it. */
export interface FolderFacts {
  isFolder: boolean;
  isLink: boolean;
  owner: number;
  mode: number;
}

interface UnsafeRow {
  when: (folder: FolderFacts, uid: number) => boolean;
  why: (folder: FolderFacts) => string;
}

const PERMISSIONS = 0o777;
const OTHERS = 0o077;

/** The first row that fits says why the folder of the socket is not to be used. */
export const UNSAFE_FOLDER: readonly UnsafeRow[] = [
  { when: ({ isLink }) => isLink, why: () => 'it is a symbolic link' },
  { when: ({ isFolder }) => !isFolder, why: () => 'it is no folder' },
  { when: ({ owner }, uid) => owner !== uid, why: ({ owner }) => `it belongs to user ${owner}` },
  {
    when: ({ mode }) => (mode & OTHERS) !== 0,
    why: ({ mode }) => `others may enter, read or write it (mode ${(mode & PERMISSIONS).toString(8).padStart(4, '0')})`,
  },
];

/** Pure. null: it can be used. */
export function unsafeFolder(folder: FolderFacts, uid: number): string | null {
  return UNSAFE_FOLDER.find(({ when }) => when(folder, uid))?.why(folder) ?? null;
}

const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

/**
 * Why somebody else could put another folder there; null: nobody could. Pure.
 * @param isBase the folder that ours is made in: a sticky one, such as /tmp, will not do
 */
export function unsafePart({ owner, mode, entry, folder }: PathPart, uid: number, isBase: boolean): string | null {
  const ours = (user: number): boolean => user === ROOT || user === uid;
  if (!ours(owner)) return `${shown(folder)} belongs to user ${owner}`;
  if ((mode & OTHERS_WRITE) === 0) return null;
  if (!isBase && (mode & STICKY) !== 0 && entry !== null && ours(entry.owner)) return null;
  return `others may write ${shown(folder)}`;
}

/** The folder of the socket, made where it is not there. @throws CONTROL_UNAVAILABLE */
export async function makeFolder({ folder }: Place): Promise<void> {
  await refuseUnsafeWay(folder);
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as SystemError).code !== 'EEXIST')
      throw unavailable('its folder cannot be made', { path: folder, cause: error });
  }
  await refuseUnsafeFolder(folder);
}

/** @throws CONTROL_UNAVAILABLE: whoever listens there may be somebody else. false: nobody does */
export async function isThere({ folder, path }: Place): Promise<boolean> {
  if ((await lstat(path).catch(() => null)) === null) return false;
  await refuseUnsafeWay(folder);
  await refuseUnsafeFolder(folder);
  const socket = await lstat(path).catch(() => null);
  if (socket === null) return false;
  if (!socket.isSocket()) throw unavailable('it is no socket', { path });
  if (socket.uid !== whoWeAre().uid) throw unavailable(`it belongs to user ${socket.uid}`, { path });
  return true;
}

/**
 * What a process that ended without closing its mirror left behind. Only whoever holds the lock of the log may call it.
 * @throws CONTROL_UNAVAILABLE: it is no socket, or somebody listens, who has another log of a mirror of this UUID
 */
export async function removeStale(place: Place): Promise<void> {
  if (!(await isThere(place))) return;
  if (await listens(place.path)) {
    throw unavailable('another process listens there, which has a copy of this mirror open', {
      path: place.path,
      remedy: 'Close the other one: two logs have the same UUID, so that one is a copy of the other',
    });
  }
  await unlink(place.path).catch((error: unknown) => {
    if ((error as SystemError).code !== 'ENOENT')
      throw unavailable('it cannot be removed', { path: place.path, cause: error });
  });
}

/** One that is frozen takes a connection too, into its queue. */
function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (answer: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => settle(true), CLIENT_LIMITS.answerMs);
    socket.once('connect', () => settle(true));
    // A full queue (EAGAIN) is somebody's.
    socket.once('error', (error: SystemError) => settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}

async function refuseUnsafeWay(folder: string): Promise<void> {
  const { uid } = whoWeAre();
  const base = dirname(folder);
  if ((await lstat(base).catch(() => null)) === null) throw unavailable(`${shown(base)} is not there`);
  const parts = await partsOfPath(folder);
  for (const [index, part] of parts.entries()) {
    const why = unsafePart(part, uid, index === parts.length - 1);
    if (why !== null) throw unavailable(why, { path: folder });
  }
}

async function refuseUnsafeFolder(folder: string): Promise<void> {
  const { uid } = whoWeAre();
  const status = await lstat(folder).catch((error: unknown) => {
    throw unavailable('its folder cannot be looked at', { path: folder, cause: error });
  });
  const facts = {
    isFolder: status.isDirectory(),
    isLink: status.isSymbolicLink(),
    owner: status.uid,
    mode: status.mode,
  };
  const why = unsafeFolder(facts, uid);
  if (why === null) return;
  const closed = facts.isFolder && facts.owner === uid;
  const remedy = closed
    ? `Close it to others: \`chmod 700 ${shellPath(folder)}\``
    : `See who made ${shown(folder)}, and remove it: the next opening makes it anew`;
  throw unavailable(why, { path: folder, remedy });
}

function unavailable(detail: string, more: { path?: string; remedy?: string; cause?: unknown } = {}): BlockmirrorError {
  const code = (more.cause as SystemError | undefined)?.code;
  return new BlockmirrorError('CONTROL_UNAVAILABLE', {
    ...more,
    detail: code === undefined ? detail : `${detail} (${code})`,
  });
}
