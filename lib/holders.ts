/** Who holds a log or an image: said in every BUSY error, and by inspect. Best effort; never throws. */
import { readFile } from 'node:fs/promises';
import { BlockmirrorError } from './errors';
import type { NativeSuperblock } from './binding';
import { findPlace, type Place } from './system/places';
import { parseLocks } from './system/locks';
import { processName, processState, processesHolding, thisHost } from './system/processes';
import { findUses } from './uses';
import { shownOwner } from './status';
import type { Holder, Owner } from './types';

/** The process that holds the lock on the file or device node, as /proc/locks tells; null when nobody seems to. */
export async function lockHolder(place: Place): Promise<number | null> {
  const locks = parseLocks(await readFile('/proc/locks', 'utf8').catch(() => ''));
  const held = locks.find(
    (lock) => lock.kind === 'FLOCK' && lock.write && lock.inode === place.inode && lock.device === place.inodeDevice,
  );
  return held === undefined ? null : held.process;
}

/** Who holds the log's lock now, and whether that process runs at all; null when nobody seems to hold it. */
export async function findHolder(place: Place): Promise<Holder | null> {
  const held = await lockHolder(place);
  if (held === null) return null;
  if (held <= 0) return { process: null, processName: null, state: null };
  return { process: held, processName: await processName(held), state: await processState(held) };
}

/** The owner record, with the name of the process if it is one of this boot of this host. */
export async function describeOwner(owner: NativeSuperblock['owner']): Promise<Owner | null> {
  if (owner.process === 0) return null;
  const host = await thisHost();
  const here = owner.bootId === host.bootId;
  return shownOwner(owner, here ? await processName(owner.process) : null);
}

export function ownerToText(owner: Owner): string {
  const name = owner.processName === null ? '' : ` (${owner.processName})`;
  return `process ${owner.process}${name} on ${owner.host} since ${owner.startedAt}`;
}

/** The BUSY error with the holder's name in it; MOUNTED or IN_USE where the system itself is the holder. */
export async function explainBusy(
  image: string,
  path: string,
  owner: Owner | null,
  cause: unknown,
): Promise<BlockmirrorError> {
  const uses = await findUses(path).catch(() => []);
  if (uses.length > 0) {
    const mounted = uses.some((use) => use.kind === 'mounted');
    const detail = uses.map((use) => use.detail).join('; ');
    return new BlockmirrorError(mounted ? 'MOUNTED' : 'IN_USE', { image, path, detail, cause });
  }
  if (owner !== null) {
    return new BlockmirrorError('BUSY', { image, path, detail: `held by ${ownerToText(owner)}`, cause });
  }
  const processes = await holdersByDescriptor(path);
  const detail = processes.length === 0 ? 'the holder is not known' : `held open by ${processes.join(', ')}`;
  return new BlockmirrorError('BUSY', { image, path, detail, cause });
}

async function holdersByDescriptor(path: string): Promise<string[]> {
  const place = await findPlace(path, path).catch(() => null);
  if (place === null) return [];
  const lock = await lockHolder(place);
  const processes = lock !== null && lock > 0 ? [lock] : await processesHolding(place.realPath);
  const named = processes.slice(0, 8).map(async (process) => {
    const name = await processName(process);
    return `process ${process}${name === null ? '' : ` (${name})`}`;
  });
  return Promise.all(named);
}
