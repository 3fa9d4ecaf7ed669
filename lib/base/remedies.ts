/**
 * What to do about an error of a mirror that is known: whole commands, built from facts, that can be pasted into a shell
 * as they are. They stand between backticks.
 *
 * Invariants:
 *  - No command loses what the mirror acknowledged, and none is named that cannot work in the situation it is named for.
 *  - Every path is quoted; names and size of the mirror stay; all consent that the command will need is in it. Consent is
 *    given only for what belongs to this mirror already.
 *  - A member is never filled where it lost bytes: it is put aside and copied again.
 * Pure.
 */
import type { ErrorName } from './errors';
import { ownOf } from './intrinsics';
import { settingsToText } from './policies';
import { shellPath, shellQuote } from './shell';
import { shown } from './shown';
import type { Policies } from './types';

/** Policies: as the log has them. */
export interface MirrorFacts extends Partial<Policies> {
  log: string;
  /** Bytes of the mirror. */
  size: number;
  /** The master first. */
  images: readonly ImageFact[];
}

export interface ImageFact {
  name: string;
  path: string;
  /** A slave that failed earlier: its path may be another device's by now, so that no command may name it. */
  doubtful?: boolean;
}

/** As the command line has a name: 'minInSync' is --min-in-sync. */
function dashed(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

type ImagePaths = Readonly<Record<string, string>>;

/** A command line of ours. */
export function command(verb: string, log: string, images: ImagePaths = {}, ...flags: string[]): string {
  const moved = Object.entries(images).map(([name, path]) => `--image ${shellQuote(`${name}=${path}`)}`);
  return ['blockmirror', verb, shellPath(log), ...flags, ...moved].join(' ');
}

/** The mirror made anew over the image of that name, which is the truth then: everything is copied to all the others. */
export function recreate(mirror: MirrorFacts, master = mirror.images[0]?.name ?? 'master'): string {
  const image = (option: string, { name, path }: ImageFact): string => `--${option} ${shellQuote(`${name}=${path}`)}`;
  const first = mirror.images.find(({ name }) => name === master);
  const slaves = mirror.images.filter(({ name }) => name !== master).map((slave) => image('slave', slave));
  const policies = settingsToText(mirror).map(({ key, text }) => `--${dashed(key)} ${text}`);
  return [
    `blockmirror create --log ${shellPath(mirror.log)}`,
    ...(first === undefined ? [] : [image('master', first)]),
    ...slaves,
    ...policies,
    `--size ${mirror.size} --keep-data --overwrite-signature`,
  ].join(' ');
}

/**
 * The same as part of a sentence: the command, or words where a device has to be chosen first.
 * @param aside the path of what is put aside before
 */
export function remake(mirror: MirrorFacts, given: { master?: string; aside?: string | null } = {}): string {
  const { master, aside } = ownOf(given);
  const doubtful = mirror.images.filter((image) => image.doubtful === true).map(({ name }) => shown(name));
  if (doubtful.length === 0) {
    const anew = recreate(mirror, master);
    return quoted(aside === undefined || aside === null ? anew : `${putAside(aside)} && ${anew}`);
  }
  const truth = shown(master ?? mirror.images[0]?.name ?? 'master');
  const names = doubtful.join(' and ');
  return `create the mirror anew over ${truth}, with keepData and overwriteSignature, and name a free device for ${names}, since the old path may be another device's by now`;
}

/** Over a slave, where something may stand at the path of the master that is not to be lost. */
export function remakeOverSlave(mirror: MirrorFacts, slave: string, masterIsThere: boolean): string {
  const old = mirror.images[0];
  return remake(mirror, {
    master: slave,
    aside: masterIsThere && old !== undefined && isFile(old.path) ? old.path : null,
  });
}

/** Out of the way, and kept: what is on it may be wanted. */
function putAside(path: string): string {
  return `mv -n -- ${shellQuote(path)} ${shellQuote(`${path}.damaged`)}`;
}

const quoted = (text: string): string => `\`${text}\``;

/** Of a slave, or of slaves, out by a fault. One that flaps, and one of a mirror with rejoin 'manual', waits to be asked for. */
const COMES_BACK =
  'While the mirror is open it comes back by itself then, with what it missed, or by mirror.resync() where rejoin is manual';

/** As part of a sentence: what takes slaves back that are out, once their devices are sound. */
export function takeBack(log: string): string {
  return `run ${quoted(command('resync', log))}, which copies what it missed`;
}

/** What an error says about: the mirror, and which image of it (0 the master; below 0 the log, or none). */
export interface Situation {
  mirror: MirrorFacts;
  image: number;
  /** Of the error, where it has one. */
  position?: number;
}

/** null: the table of errors says all there is to say. */
export function remedyOf(name: ErrorName, { mirror, image, position }: Situation): string | null {
  const one = mirror.images[image];
  const anew = remake(mirror);
  const isMaster = image === 0;
  switch (name) {
    case 'SLAVE_FAILED':
      return `See that its device works again. ${COMES_BACK}; where it is closed, ${takeBack(mirror.log)}. With another device in its place close the mirror, and have everything copied to it: ${anew}`;
    case 'SLAVE_DIFFERS':
      return `${quoted(command('verify', mirror.log))} says where, and whether it still does. When the master is the one that is right, ${quoted(command('verify', mirror.log, {}, '--repair'))} copies it from there`;
    case 'TOO_FEW_IN_SYNC':
      return `Nothing that was acknowledged is lost, and reading still works. See that a slave's device works again. ${COMES_BACK}; where it is closed, ${takeBack(mirror.log)}. Then repeat the write that failed, for its range may hold it in part. With other devices in their place close the mirror, and have everything copied to them: ${anew}. To go on with what is in sync, lower what it asks for: \`mirror.set({ minInSync: 1 })\`, or, where it is closed, ${quoted(`${command('set', mirror.log)} minInSync=1`)}`;
    case 'MASTER_FAILED':
      return `Close the mirror. When the device answers again: ${quoted(command('recover', mirror.log))}; when it does not, ${quoted(command('status', mirror.log))} says which slave can take its place`;
    case 'LOG_FAILED':
      return `Close the mirror. When the device of the log works again: ${quoted(command('recover', mirror.log))}; when it does not, put another in its place and have everything copied: ${anew}`;
    case 'NOT_RECOVERED':
      return `Call mirror.recover(), open it with recovery: 'auto', or close it and run ${quoted(command('recover', mirror.log))}`;
    case 'STALE_LOG':
      return `Put the current log back; when there is none, have everything copied from the master: ${anew}`;
    case 'CREATE_UNFINISHED':
      return `Run the same create again, or, to keep what the master holds: ${anew.replace(' --overwrite-signature', '')}`;
    case 'HOLE':
      return image === LOG ? logLost(mirror.log) : null;
    case 'LOST_ALLOCATION':
      if (one === undefined) return null;
      if (isMaster) return 'Write nothing to it. No slave is known to hold what it lost: put that back from a backup';
      return `Bytes of it are lost. Put it aside, and have everything copied to a new one: ${remake(mirror, { aside: one.path })}`;
    case 'TRUNCATED_IMAGE':
      if (one === undefined) return null;
      if (isMaster) return masterLost(mirror);
      return isFile(one.path)
        ? `Put the image back that was there; when there is none, put this one aside and have everything copied to a new one: ${remake(mirror, { aside: one.path })}`
        : 'Attach the device that was there, or a larger one, and make the mirror anew over the same master';
    case 'GROWN_IMAGE':
      return one === undefined ? null : grown(one.path, position);
    case 'LABEL_DAMAGED':
    case 'STALE_IMAGE':
      if (one === undefined) return null;
      return isMaster
        ? masterLost(mirror)
        : `Put the current image back; when there is none, have everything copied to it: ${anew}`;
    case 'DIVERGED':
      if (one === undefined) return null;
      return isMaster ? null : `If the master is right, have everything copied from it: ${anew}`;
    default:
      return null;
  }
}

/** What was appended is kept beside it; the mirror never wrote there. */
function grown(path: string, length: number | undefined): string | null {
  if (length === undefined || length === 0) return null;
  const [file, tail] = [shellPath(path), shellPath(`${path}.appended`)];
  const cut = `test ! -e ${tail} && tail -c +${length + 1} ${file} > ${tail} && truncate -s ${length} ${file}`;
  return `Put the file back that was there; or, when something was appended to it, keep that in a file of its own, and cut it off: \`${cut}\``;
}

/** Of a master that returned what nobody wrote. A recovery would copy that to the slaves, so that none is made. */
export function remedyOfWrongBytes(mirror: MirrorFacts): string {
  return `Copy nothing from it: the slaves in sync hold what was acknowledged. Close the mirror; ${quoted(command('status', mirror.log))} says which of them can take its place`;
}

/** The mirror made anew over a slave in sync, of a master whose file lost bytes; its programs go on with the same log. */
export function remakeOver(mirror: MirrorFacts, slave: string): string {
  const [master] = mirror.images;
  const anew = remake(mirror, { master: slave, aside: master?.path ?? null });
  return `${shown(slave)} holds what it lost. Put the master aside, and have everything copied from ${shown(slave)}: ${anew}`;
}

/** A log with zeroes in its ring is damaged, which recovery knows: it copies everything. */
export function logLost(path: string): string {
  const log = shellPath(path);
  const allocate = `fallocate -l "$(stat -c %s ${log})" ${log} && ${command('recover', path)}`;
  return `Make room on its file system and allocate it again: what it lost counts as unknown, and recovery copies everything: ${quoted(allocate)}`;
}

/** @param length bytes of the whole log; 0: not known */
export function logCutShort(path: string, length: number): string {
  if (length === 0 || !isFile(path)) return 'Attach the device that the log was on, or put the log back that was there';
  const allocate = `fallocate -l ${length} ${shellPath(path)} && ${command('recover', path)}`;
  return `Put the log back that was there; when there is none, make it as long as it was: what it lost counts as unknown, and recovery compares everything: ${quoted(allocate)}`;
}

const LOG = -2;

function isFile(path: string): boolean {
  return !path.startsWith('/dev/');
}

function masterLost(mirror: MirrorFacts): string {
  return `Put the image back that was there. When it is lost, ${quoted(command('status', mirror.log))} says which slave can take its place`;
}

/** What to do about an error of which only a path and an errno are known; null: what the table says. */
export function remedyOfPath(name: ErrorName, path: string | undefined, systemError: number): string | null {
  const limit = LIMITS[systemError];
  if (limit !== undefined && (name === 'NO_MEMORY' || name === 'OPEN_FAILED')) return limit;
  if (path === undefined || path === '') return null;
  switch (name) {
    case 'OPEN_FAILED':
      if (systemError === ETIMEDOUT)
        return 'See why its device does not answer (`dmesg`); `deviceTimeout` of open() says how long it may take';
      return `Check the path and its permissions; ${quoted(`blockmirror doctor ${shellPath(path)}`)} looks closer`;
    case 'READ_ONLY_DEVICE':
      return isFile(path)
        ? `Make it and its file system writable, or name another; ${quoted(`findmnt -T ${shellPath(path)}`)} shows the file system`
        : `Make it writable (${quoted(`blockdev --setrw ${shellPath(path)}`)}), or name another`;
    case 'HOLE':
      return `Write it in full: ${quoted(`fallocate -l "$(stat -c %s ${shellPath(path)})" ${shellPath(path)}`)}; where it shares blocks with another file (a reflink), name a full copy of it instead`;
    case 'NOT_A_LOG':
    case 'NO_LABEL':
    case 'LOG_DAMAGED':
    case 'LABEL_DAMAGED':
      return `${quoted(`blockmirror inspect ${shellPath(path)}`)} says what it is, and where the rest of its mirror is`;
    default:
      return null;
  }
}

const ETIMEDOUT = 110;

/** Limits of the system by the errno of what runs into them. */
const LIMITS: Readonly<Record<number, string>> = {
  // ENOMEM
  12: 'Free some memory, or raise the limit of locked memory or of addresses (RLIMIT_MEMLOCK, RLIMIT_AS); `ulimit -l` and `ulimit -v` show them',
  // EAGAIN
  11: 'Raise the limit of processes and threads (RLIMIT_NPROC, or pids.max of the control group); `ulimit -u` shows it',
  // ENFILE
  23: 'Raise the limit of open files of the whole system (fs.file-max); `cat /proc/sys/fs/file-nr` shows it',
  // EMFILE
  24: 'Raise the limit of open files of this process (RLIMIT_NOFILE); `ulimit -n` shows it',
};
