/**
 * Whether root uses an image where a log says that it is: a log that other users could write is their word, and by it root
 * would write into what they name, or copy it to where they can read it.
 *
 * Invariants:
 *  - Asked of what is open (owner and mode of the descriptor), for each image, before a byte of it is read.
 *  - What the caller names is the caller's word. Who is not root can do no more than the kernel lets him.
 *  - The verdict is the first row that fits; pure, and tested as a table.
 */
import { diskGroup } from '../system/accounts';
import { keptIn } from '../system/block_devices';
import { actsAsRoot } from '../system/folders';

/** Of a file, or of the node of a device: the descriptor's. */
export interface Ownership {
  uid: number;
  gid: number;
  /** Permission bits; an access list shows in those of the group. */
  mode: number;
  blockDevice: boolean;
}

/** Who may write it besides its owner and root. */
export type Writers = 'nobody else' | 'its group' | 'everybody' | 'unknown';

export interface TrustFacts {
  runner: 'root' | 'user';
  /** By the caller, this time. */
  named: boolean;
  writers: Writers;
  logOwner: 'root' | 'user';
  /** Of the image: that of the log, or another. */
  imageOwner: 'same' | 'other';
  /** Where a path that starts from the log's folder ends, links followed; of an absolute path, inside. */
  end: 'inside' | 'outside';
}

interface TrustRow {
  when: Partial<TrustFacts>;
  use: boolean;
  why: string;
}

/** The first row that fits decides; docs/ARCHITECTURE.md has them in words. */
export const TRUST_TABLE: readonly TrustRow[] = [
  { when: { runner: 'user' }, use: true, why: "the kernel's permissions hold" },
  { when: { named: true }, use: true, why: 'the caller names it' },
  { when: { writers: 'everybody' }, use: false, why: 'every user may write the log' },
  {
    when: { writers: 'unknown' },
    use: false,
    why: 'whose the file below the loop device of the log is cannot be seen',
  },
  { when: { writers: 'its group' }, use: false, why: 'the group of the log may write it' },
  { when: { logOwner: 'root' }, use: true, why: 'root alone can have written the log' },
  { when: { end: 'outside' }, use: false, why: "its path leads out of the log's folder by a link" },
  { when: { imageOwner: 'same' }, use: true, why: 'whoever wrote the log may write the image anyhow' },
  { when: {}, use: false, why: 'the log belongs to another user than the image' },
];

/** Pure. */
export function judgeTrust(facts: TrustFacts): TrustRow {
  const fits = ({ when }: TrustRow): boolean =>
    Object.entries(when).every(([key, value]) => facts[key as keyof TrustFacts] === value);
  return TRUST_TABLE.find(fits) as TrustRow;
}

const ROOT = 0;

/** Pure. Group root is root's equal, and group disk where disks are concerned. */
export function writersOf({ gid, mode, blockDevice }: Ownership, disk: number | null): Writers {
  if ((mode & 0o002) !== 0) return 'everybody';
  const equal = gid === ROOT || (blockDevice && gid === disk);
  return (mode & 0o020) !== 0 && !equal ? 'its group' : 'nobody else';
}

/** What a log's word is worth to whoever runs this. */
export interface LogTrust extends Pick<TrustFacts, 'runner' | 'writers' | 'logOwner'> {
  uid: number;
  /** All that is asked for is of the file below, not of the node. */
  loop: boolean;
}

/**
 * The node of a loop device is root's, whoever may write the file below: what a desktop attaches for its users, too.
 * @param log of the descriptor that is held, or looked through; `device` is its number
 */
export async function trustIn(log: Ownership & { device: string }): Promise<LogTrust> {
  const below = log.blockDevice ? await keptIn(log.device) : undefined;
  const owned = below ? { uid: below.uid, gid: below.gid, mode: below.mode, blockDevice: below.isBlockDevice() } : log;
  return {
    runner: (await actsAsRoot()) ? 'root' : 'user',
    writers: below === null ? 'unknown' : writersOf(owned, await diskGroup()),
    logOwner: owned.uid === ROOT ? 'root' : 'user',
    uid: owned.uid,
    loop: below !== undefined,
  };
}

/** Why an image that the log names, and the caller does not, is not used; null: it is. Pure. */
export function distrust(trust: Omit<LogTrust, 'loop'>, image: { uid: number; outside?: boolean }): string | null {
  const { runner, writers, logOwner, uid } = trust;
  const imageOwner = image.uid === uid ? 'same' : 'other';
  const end = image.outside === true ? 'outside' : 'inside';
  const { use, why } = judgeTrust({ runner, named: false, writers, logOwner, imageOwner, end });
  return use ? null : why;
}

/** Whether the log is believed about images of anybody: then commands that are to be pasted may name them. Pure. */
export function isBelieved(trust: Omit<LogTrust, 'loop'>): boolean {
  return distrust(trust, { uid: NOBODY_ELSE }) === null;
}

/** Number of no user: of an image of somebody else than the log's owner. */
const NOBODY_ELSE = -1;
