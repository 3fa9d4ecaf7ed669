/**
 * Who holds a log or an image: said in every BUSY error, and by inspect. Best effort; never throws.
 *
 * Invariant: a process is named only when it is certain to be the one: the lock table of this kernel says so, or it has
 * the number, the pid namespace and the start that the owner record says, or the very device open.
 */
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { BlockmirrorError, type SystemError, isBlockmirrorError } from '../base/errors';
import type { NativeSuperblock } from '../base/binding';
import { shown } from '../base/shown';
import { type BlockDevice, deviceNumber, overlap, readBlockDevice } from '../system/block_devices';
import { findPlace, type Place } from '../system/places';
import { userToText } from '../system/accounts';
import { type FileLock, parseLocks } from '../system/locks';
import {
  findOwnProcess,
  openDescriptors,
  processName,
  processState,
  processUser,
  sameProcess,
  thisHost,
  visibleProcesses,
} from '../system/processes';
import { shellPath } from '../base/shell';
import { findUses, readSurroundings, usedError } from '../system/uses';
import { shownOwner } from './status';
import type { Holder, Owner } from '../base/types';

/**
 * The lock on the file or device node, as /proc/locks tells; null when nobody seems to hold one. Its process is 0 or
 * negative where it is not visible in our pid namespace.
 */
export async function heldLock(place: Pick<Place, 'inode' | 'inodeDevice'>): Promise<FileLock | null> {
  const locks = parseLocks(await readFile('/proc/locks', 'utf8').catch(() => ''));
  const held = locks.find(
    (lock) => lock.kind === 'FLOCK' && lock.inode === place.inode && lock.device === place.inodeDevice,
  );
  return held ?? null;
}

/** Who holds the log's lock now, and whether that process runs at all; null when nobody seems to hold it. */
export async function findHolder(place: Place): Promise<Holder | null> {
  const lock = await heldLock(place);
  if (lock === null) return null;
  if (lock.process <= 0) return { process: null, processName: null, uid: null, isOwner: null, state: null };
  const { process } = lock;
  const [name, uid, state] = [await processName(process), await processUser(process), await processState(process)];
  return { process, processName: name, uid, isOwner: null, state };
}

/** The same, held against the log's own record of who opened it. */
export async function withOwner(holder: Holder | null, owner: NativeSuperblock['owner']): Promise<Holder | null> {
  if (holder === null || holder.process === null) return holder;
  return { ...holder, isOwner: await isRecorded(holder.process, owner) };
}

/** null: whether it is that process cannot be told from here. */
async function isRecorded(process: number, owner: NativeSuperblock['owner'] | null): Promise<boolean | null> {
  if (owner === null || owner.process === 0) return false;
  const recorded = await describeOwner(owner);
  if (recorded?.pidNamespace === 'same') return owner.process === process && recorded.processName !== null;
  const here = await findOwnProcess(owner);
  return here === null ? null : here === process;
}

/** The owner record, with the name of the process if it lives and can be seen here. */
export async function describeOwner(owner: NativeSuperblock['owner']): Promise<Owner | null> {
  if (owner.process === 0) return null;
  const here = await thisHost();
  if (owner.bootId !== here.bootId) return shownOwner(owner, null, 'other');
  if (owner.pidNamespace === 0 || here.pidNamespace === 0) return shownOwner(owner, null, 'unknown');
  if (owner.pidNamespace !== here.pidNamespace) return shownOwner(owner, null, 'other');
  const lives = owner.processStarted !== 0 && (await sameProcess(owner.process, owner.processStarted)) === 'lives';
  return shownOwner(owner, lives ? await processName(owner.process) : null, 'same');
}

export function ownerToText(owner: Owner): string {
  const name = owner.processName === null ? '' : ` (${shown(owner.processName)})`;
  // Whoever reads it may be about to kill it: here that number is another process.
  const elsewhere = owner.pidNamespace === 'other' ? ' of another pid namespace' : '';
  return `process ${owner.process}${name}${elsewhere} on ${shown(owner.host)} since ${owner.startedAt}`;
}

/** The BUSY error with the holder's name in it; MOUNTED or IN_USE where the system itself is the holder. */
export async function explainBusy(
  image: string,
  path: string,
  recorded: NativeSuperblock['owner'] | null,
  cause: unknown,
): Promise<BlockmirrorError> {
  const owner = recorded === null ? null : await describeOwner(recorded);
  const uses = await findUses(path).catch(() => []);
  if (uses.length > 0) {
    return usedError(image, path, uses, cause);
  }
  const stranger = await strangerHolding(path, recorded, owner).catch(() => null);
  const found = stranger ?? (await holderOf(path, owner).catch(() => NOT_KNOWN));
  return new BlockmirrorError('BUSY', { image, path, ...found, cause });
}

/** What BUSY says of a holder. No remedy: what the table says. */
interface HolderFound {
  detail: string;
  remedy?: string;
}

/** Of a holder that the mirror's own record names, or that nothing speaks against. */
async function holderFound(process: number, held: string): Promise<HolderFound> {
  const frozen = await frozenHolder(process);
  return frozen === null ? { detail: held } : { ...frozen, detail: `${held}; ${frozen.detail}` };
}

/**
 * What to say of a mirror's process that gets no turn, so that it can close nothing; null: it runs, or that is not known.
 * A signal other than KILL and CONT waits until it is woken.
 */
export async function frozenHolder(process: number): Promise<Required<HolderFound> | null> {
  if ((await processState(process)) !== 'frozen') return null;
  return {
    detail: FROZEN,
    remedy:
      `Wake it (\`kill -CONT ${process}\`, or thaw its control group), and close it there; ` +
      `or end it (\`kill -KILL ${process}\`): then the next opening recovers the mirror`,
  };
}

const FROZEN = 'it is frozen (by a signal, a debugger or a freezer), and answers nobody';

/** A process that locked it, and is not the one that the log records: anybody who may read it can. null: none is seen. */
async function strangerHolding(
  path: string,
  record: NativeSuperblock['owner'] | null,
  owner: Owner | null,
): Promise<HolderFound | null> {
  const place = await findPlace(path, path);
  const lock = place === null ? null : await heldLock(place);
  if (place === null || lock === null || lock.process <= 0) return null;
  if ((await isRecorded(lock.process, record)) !== false) return null;
  const uid = await processUser(lock.process);
  const whose = uid === null ? '' : ` of ${await userToText(uid)}`;
  const recorded =
    owner === null
      ? 'the mirror records no owner'
      : `it is not the owner that the log records, which is ${ownerToText(owner)}`;
  const lets = uid !== null && uid !== ROOT && uid !== place.uid;
  const shut = lets ? `, and let nobody open it who need not: \`chmod go-rwx ${shellPath(path)}\`` : '';
  const frozen = (await processState(lock.process)) === 'frozen';
  const [close, end] = frozen
    ? [`Wake it (\`kill -CONT ${lock.process}\`), and close it there`, `kill -KILL ${lock.process}`]
    : ['Close it there first', `kill ${lock.process}`];
  return {
    detail:
      `held by ${await processToText(lock.process)}${whose}, ` +
      `by ${lock.write ? 'an exclusive' : 'a shared'} lock (flock); ${frozen ? `${FROZEN}; ` : ''}${recorded}`,
    remedy:
      `${close}; \`ps -fp ${lock.process}\` shows what it is. ` +
      `When it has no business with it, end it: \`${end}\`${shut}`,
  };
}

const ROOT = 0;

const NOT_KNOWN: HolderFound = { detail: 'the holder is not known' };

async function holderOf(path: string, owner: Owner | null): Promise<HolderFound> {
  const place = await findPlace(path, path);
  if (place === null) return NOT_KNOWN;
  const related = await relatedDevices(place);
  let unseen = false;
  for (const candidate of [place, ...(await nodesOf(related))]) {
    const holder = (await heldLock(candidate))?.process;
    if (holder === undefined) continue;
    if (holder <= 0) {
      unseen = true;
      continue;
    }
    const isOwner = owner?.process === holder && owner.pidNamespace === 'same';
    return holderFound(holder, `held by ${isOwner ? ownerToText(owner) : await processToText(holder)}`);
  }
  if (owner !== null) return { detail: `held by ${ownerToText(owner)}` };
  if (unseen) return { detail: 'held by a process of another pid namespace' };
  const processes = await processesHolding(place, related);
  if (processes.length === 0) return NOT_KNOWN;
  return { detail: `held open by ${(await Promise.all(processes.slice(0, 8).map(processToText))).join(', ')}` };
}

async function processToText(process: number): Promise<string> {
  const name = await processName(process);
  return `process ${process}${name === null ? '' : ` (${shown(name)})`}`;
}

/** Other devices that stand for the same bytes. */
async function relatedDevices(place: Place): Promise<BlockDevice[]> {
  const { devices } = await readSurroundings();
  return devices.filter((device) => device.number !== place.number && overlap(device.ground, place.ground));
}

async function nodesOf(devices: readonly BlockDevice[]): Promise<Place[]> {
  const places = await Promise.all(devices.map((device) => findPlace(device.path, device.path).catch(() => null)));
  return places.filter((place) => place !== null);
}

/** Processes that have the place, or another device of the same bytes, open, as far as we may look. */
async function processesHolding(place: Place, related: readonly BlockDevice[]): Promise<number[]> {
  const numbers = new Set([place.number, ...related.map((device) => device.number)]);
  const isIt = async (path: string): Promise<boolean> => {
    const status = await stat(path, { bigint: true }).catch(() => null);
    if (status === null) return false;
    if (status.isBlockDevice()) return numbers.has(deviceNumber(status.rdev));
    return (
      place.kind === 'file' && String(status.ino) === place.inode && deviceNumber(status.dev) === place.inodeDevice
    );
  };
  const mayBeIt = (name: string): boolean => name.startsWith('/dev/') || basename(name) === basename(place.realPath);
  const holders: number[] = [];
  for (const process of await visibleProcesses()) {
    for (const { path, name } of (await openDescriptors(process)) ?? []) {
      // To ask for a file of a server that does not answer would wait for it.
      if (!mayBeIt(name) || !(await isIt(path))) continue;
      holders.push(process);
      break;
    }
  }
  return holders;
}

// --- what cannot be found out

/** What the engine would answer with USE_UNKNOWN, told without holding the place. */
export async function unknownUse(image: string, place: Place): Promise<BlockmirrorError | null> {
  if (place.number === null) return null;
  const error = (code: string): Promise<BlockmirrorError> => unknownError(image, place.path, code, undefined);
  if ((await readBlockDevice(place.number)) === null) return error('ENOSYS');
  const backing = await backingFile(place.number);
  const gone = backing !== null && (await stat(backing).catch(() => null)) === null;
  return gone && !backing.endsWith(' (deleted)') ? error('ENOENT') : null;
}

/** USE_UNKNOWN with the reason, and with what would let us find out; any other error as it is. */
export async function explainUnknown(error: unknown): Promise<unknown> {
  if (!isBlockmirrorError(error, 'USE_UNKNOWN')) return error;
  const cause = error.cause as SystemError | undefined;
  return unknownError(error.image, error.path ?? '', cause?.code ?? '', cause);
}

async function unknownError(
  image: string | undefined,
  path: string,
  code: string,
  cause: unknown,
): Promise<BlockmirrorError> {
  const why = await whyUnknown(path, code).catch(() => ({}));
  return new BlockmirrorError('USE_UNKNOWN', { path, cause, ...(image === undefined ? {} : { image }), ...why });
}

async function whyUnknown(path: string, code: string): Promise<{ detail: string; remedy: string }> {
  if (code === 'ENOSYS') {
    return {
      detail: '/sys does not say what it lies on, or which loop devices lie on it',
      remedy: 'Make sysfs visible here (`mount -t sysfs sysfs /sys`), or open it where it is',
    };
  }
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const place = await findPlace(path, path);
    const backing = place === null || place.number === null ? null : await backingFile(place.number);
    return {
      detail: `the file below it${backing === null ? '' : ` (${backing})`} is not there under that path here, so that it cannot be locked`,
      remedy: 'Make that file visible here under the same path (a bind mount of its folder), or open it where it is',
    };
  }
  return {
    detail: 'there is a loop device that may lie on it, and it cannot be opened to ask it',
    remedy: 'Run it as root, or where the nodes of the loop devices (/dev/loop*) are visible',
  };
}

async function backingFile(number: string): Promise<string | null> {
  for (const folder of [`/sys/dev/block/${number}`, `/sys/dev/block/${number}/..`]) {
    const text = await readFile(`${folder}/loop/backing_file`, 'utf8').catch(() => null);
    if (text !== null) return text.trimEnd();
  }
  return null;
}
