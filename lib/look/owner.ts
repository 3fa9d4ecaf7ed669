/**
 * Whether the owner that a log names is still there: a log that was not sealed was crashed over, or is open elsewhere.
 *
 * It is asked while our own lock on the log is held (I9). What that lock proves needs no question: whoever has the log
 * open by the same file or device, on this machine, is gone. What is left are other paths and other machines.
 *
 * Invariant: what cannot be found out counts as found, with the reason; the operator's word (takeOver) stands for what
 * nobody here can know, never against what was seen.
 */
import { readlink, stat } from 'node:fs/promises';
import type { NativeSuperblock } from '../base/binding';
import { BlockmirrorError } from '../base/errors';
import { ownOf } from '../base/intrinsics';
import { describeOwner, frozenHolder, ownerToText } from './holders';
import { SUPERBLOCK_LENGTH, SUPERBLOCK_POSITIONS } from './layout';
import { loadBinding } from '../base/load';
import { command } from '../base/remedies';
import { openDescriptorToRead } from '../system/files';
import { type Host, NO_BOOT_ID, findOwnProcess, openDescriptors, sameProcess, thisHost } from '../system/processes';

/**
 * What became of the process that is named.
 * - `holds`: it lives and has this log open, by another path.
 * - `hidden`: it lives, and what it has open cannot be looked at.
 * - `gone`: it ended, or lives and has let the log go.
 * - `unseen`: it is of a pid namespace that is not visible from here.
 */
export type OwnerProcess = 'holds' | 'hidden' | 'gone' | 'unseen';

export interface OwnerFacts {
  /** Closed cleanly, or never opened. */
  sealed: boolean;
  /** Whether the log names a boot of the machine, and we know our own; of this machine now, or another. */
  boot: 'same' | 'other' | 'unknown';
  /** Whether it names our host name. The boot decides: two containers of one machine have two names. */
  host: 'same' | 'other';
  process: OwnerProcess;
}

export type OwnerVerdict = 'free' | 'held' | 'unknown';

interface OwnerRow {
  when: Partial<OwnerFacts>;
  verdict: OwnerVerdict;
  /** The verdict once the operator said that the owner is dead. */
  takenOver: OwnerVerdict;
  why: string;
}

/** The first row that fits decides; docs/ARCHITECTURE.md has them in words. */
export const OWNER_TABLE: readonly OwnerRow[] = [
  { when: { sealed: true }, verdict: 'free', takenOver: 'free', why: 'it was closed' },
  {
    when: { boot: 'same', process: 'holds' },
    verdict: 'held',
    takenOver: 'held',
    why: 'that process has this log open by another path',
  },
  {
    when: { boot: 'same', process: 'hidden' },
    verdict: 'held',
    takenOver: 'free',
    why: 'that process lives, and what it has open cannot be seen from here',
  },
  { when: { boot: 'same', process: 'gone' }, verdict: 'free', takenOver: 'free', why: 'that process has let it go' },
  {
    when: { boot: 'same', process: 'unseen' },
    verdict: 'free',
    takenOver: 'free',
    why: 'the lock of this kernel, which we hold, is the proof that nobody else of this machine does',
  },
  {
    when: { boot: 'other', host: 'same' },
    verdict: 'free',
    takenOver: 'free',
    why: 'this host was started anew since',
  },
  {
    when: { boot: 'other', host: 'other' },
    verdict: 'held',
    takenOver: 'free',
    why: 'whether another host still runs cannot be seen from here',
  },
  {
    when: { boot: 'unknown' },
    verdict: 'unknown',
    takenOver: 'free',
    why: 'the boot id of this machine cannot be read (/proc/sys/kernel/random/boot_id)',
  },
];

/** Pure. */
export function judgeOwner(facts: OwnerFacts, takeOver: boolean): { verdict: OwnerVerdict; why: string } {
  const keys = ['sealed', 'boot', 'host', 'process'] as const;
  const row = OWNER_TABLE.find(({ when }) => keys.every((key) => when[key] === undefined || when[key] === facts[key]));
  if (row === undefined) throw new BlockmirrorError('INTERNAL', { detail: 'no row of the owner table fits' });
  return { verdict: takeOver ? row.takenOver : row.verdict, why: row.why };
}

/** @param logPath the log, which is held by the caller */
export async function ownerFacts(superblock: NativeSuperblock, logPath: string): Promise<OwnerFacts> {
  const { owner, lifecycle } = superblock;
  const here = await thisHost();
  const known = owner.bootId !== NO_BOOT_ID && here.bootId !== NO_BOOT_ID;
  const boot = !known ? 'unknown' : owner.bootId === here.bootId ? 'same' : 'other';
  const sealed = lifecycle === 'sealed' || lifecycle === 'creating' || owner.process === 0;
  return {
    sealed,
    boot,
    host: owner.host === here.host ? 'same' : 'other',
    process: sealed || boot !== 'same' ? 'unseen' : await ownerProcess(superblock, here, logPath),
  };
}

interface TakeOver {
  takeOver: boolean;
  images?: Readonly<Record<string, string>>;
  /** How to say it; default by the command that recovers the mirror. */
  again?: string;
}

/** @throws BUSY, USE_UNKNOWN */
export async function refuseLivingOwner(superblock: NativeSuperblock, logPath: string, asked: TakeOver): Promise<void> {
  const { images = {}, takeOver, again } = ownOf(asked);
  const facts = await ownerFacts(superblock, logPath);
  const { verdict, why } = judgeOwner(facts, takeOver);
  if (verdict === 'free') return;
  const owner = await describeOwner(superblock.owner);
  const who = owner === null ? 'not known' : ownerToText(owner);
  const frozen = facts.process === 'holds' ? await frozenOwner(superblock.owner) : null;
  const taking = again ?? `\`${command('recover', logPath, images, '--take-over')}\``;
  throw new BlockmirrorError(verdict === 'held' ? 'BUSY' : 'USE_UNKNOWN', {
    image: 'log',
    path: logPath,
    detail: `it was not closed, and its owner is ${who}; ${why}${frozen === null ? '' : `; ${frozen.detail}`}`,
    ...(frozen === null ? {} : { remedy: frozen.remedy }),
    ...(judgeOwner(facts, true).verdict === 'free'
      ? { remedy: `Close it there first; if that process is dead for good, say takeOver (${taking})` }
      : {}),
  });
}

async function frozenOwner(owner: NativeSuperblock['owner']): Promise<{ detail: string; remedy: string } | null> {
  const here = await thisHost();
  const process = owner.pidNamespace === here.pidNamespace ? owner.process : await findOwnProcess(owner);
  return process === null ? null : frozenHolder(process);
}

async function ownerProcess(superblock: NativeSuperblock, here: Host, logPath: string): Promise<OwnerProcess> {
  const { owner } = superblock;
  if (owner.pidNamespace === 0 || here.pidNamespace === 0) return 'unseen';
  const same = owner.pidNamespace === here.pidNamespace;
  const process = same ? owner.process : await findOwnProcess(owner);
  if (process === null) return 'unseen';
  const state = await sameProcess(process, owner.processStarted);
  if (state !== 'lives') return state === 'ended' ? 'gone' : 'hidden';
  return holdsLog(process, superblock.logUuid, logPath);
}

/**
 * Whether the process has this log open by another identity than ours, which we hold. An engine opens what it holds
 * with direct I/O and for writing; the log says by its own bytes which it is.
 */
async function holdsLog(process: number, logUuid: string, logPath: string): Promise<OwnerProcess> {
  const descriptors = await openDescriptors(process);
  if (descriptors === null) return 'hidden';
  const own = await identityOf(logPath);
  for (const descriptor of descriptors) {
    if (!descriptor.direct || !descriptor.writable) continue;
    const found = await logAt(descriptor.path).catch(() => 'hidden' as const);
    if (found === 'hidden') return 'hidden';
    if (found !== logUuid) continue;
    const identity = await identityOf(descriptor.path);
    if (identity !== '' && identity !== own) return 'holds';
  }
  return 'gone';
}

/** Empty when it is not there any more. */
async function identityOf(path: string): Promise<string> {
  const status = await stat(path, { bigint: true }).catch(() => null);
  if (status === null) return '';
  return status.isBlockDevice() ? `block ${status.rdev}` : `file ${status.dev}:${status.ino}`;
}

/** UUID of the log that can be read there; null: it is none, or was closed meanwhile. */
async function logAt(path: string): Promise<string | null> {
  if ((await readlink(path).catch(() => null)) === null) return null;
  const file = await openDescriptorToRead(path);
  try {
    const [copyA = null, copyB = null] = await Promise.all(
      SUPERBLOCK_POSITIONS.map(async (position) => {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(SUPERBLOCK_LENGTH), 0, SUPERBLOCK_LENGTH, position);
        return bytesRead === SUPERBLOCK_LENGTH ? buffer : null;
      }),
    );
    const found = loadBinding().superblockOf(copyA, copyB);
    return 'code' in found ? null : found.logUuid;
  } finally {
    await file.close();
  }
}
