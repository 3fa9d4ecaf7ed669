/**
 * How the image that is to be the master of a new mirror stands in the mirror it comes from: whether others of it hold
 * newer data. Everything that a create makes equal is made equal to its master, so an old one takes the rest with it.
 *
 * Invariants:
 *  - I10, nothing is assumed: it is judged by its label, by every log that knows it, and by the labels of its peers, named or found.
 *  - The refusal names the image as its old mirror does, and shows both sides; only that name, repeated, overrides it.
 *  - A log that is older than the label says nothing about it.
 */
import { dirname, resolve } from 'node:path';
import type { NativeImageRecord, NativeImageState, NativeLabel, NativeSuperblock } from '../base/binding';
import { BlockmirrorError, systemErrorName } from '../base/errors';
import { type Identity, type MirrorPart, findParts, identifyPlace } from './identify';
import { shellQuote } from '../base/shell';
import { shown } from '../base/shown';
import { recordedInWords } from './status';
import { type Place, findPlace, folderOfLog, storedPathToPath } from '../system/places';

/** What a log says of the image. */
export interface LogWitness {
  path: string;
  superblock: NativeSuperblock;
  entry: NativeImageRecord;
}

/** The label of another image of the same mirror. */
export interface PeerWitness {
  path: string;
  label: NativeLabel;
}

/** Why the image must not be master unasked. */
export interface Stale {
  /** Its name in the mirror it comes from. */
  name: string;
  /** Its side, in words. */
  own: string;
  /** The other side, in words. */
  newer: string;
}

const NOT_IN_SYNC: readonly NativeImageState[] = ['behind', 'synchronizing', 'inconsistent', 'failed'];

/** Pure; null: nothing says that it is not the newest. */
export function judgeStanding(
  label: NativeLabel | null,
  logs: readonly LogWitness[],
  peers: readonly PeerWitness[],
): Stale | null {
  for (const log of logs) {
    // Of another mirror it says nothing here: the log knows the image by its path alone.
    const own = label?.mirrorUuid === log.superblock.mirrorUuid ? label : null;
    if (own !== null && own.openCount > log.superblock.openCount) continue;
    if (own === null) {
      const master = peers.find((peer) => isMasterOf(peer.label, log.superblock));
      if (master !== undefined) return { name: log.entry.name, own: nameless(log.entry), newer: peerSide(master) };
    }
    const bad = NOT_IN_SYNC.includes(log.entry.state) || log.entry.bytesDiffered > 0;
    if (!bad && (own === null || !isOlderThanLog(own, log.superblock))) continue;
    return { name: log.entry.name, own: ownSide(own, log.entry), newer: logSide(log) };
  }
  if (label === null) return null;
  const newer = peers.filter((peer) => isOlderThanPeer(label, peer.label));
  if (newer.length === 0 && !NOT_IN_SYNC.includes(label.state)) return null;
  const others = newer.map(peerSide).join('; ') || 'its master, which is not among the images named';
  return { name: label.name, own: ownSide(label, null), newer: others };
}

/** A label may lag behind by what a crash can cut off: one opening while the log is `opening`, one generation else. */
function isOlderThanLog(label: NativeLabel, superblock: NativeSuperblock): boolean {
  if (superblock.lifecycle === 'creating') return false;
  if (label.openCount + (superblock.lifecycle === 'opening' ? 1 : 0) < superblock.openCount) return true;
  if (label.generation.counter >= superblock.generation.counter) return false;
  return label.generation.id !== superblock.generation.parent || superblock.lifecycle === 'sealed';
}

/** A path may lead to another image by now; whatever has the master's label is the master. */
function isMasterOf(label: NativeLabel, { mirrorUuid }: NativeSuperblock): boolean {
  return label.mirrorUuid === mirrorUuid && label.role === 'master';
}

function isOlderThanPeer(label: NativeLabel, peer: NativeLabel): boolean {
  if (peer.mirrorUuid !== label.mirrorUuid) return false;
  return peer.openCount > label.openCount || peer.generation.counter > label.generation.counter;
}

function ownSide(label: NativeLabel | null, entry: NativeImageRecord | null): string {
  const role = entry?.role ?? label?.role ?? 'slave';
  const facts: string[] = [];
  if (entry !== null && role === 'slave') facts.push(stateInWords(entry));
  if (entry === null && label !== null && label.role === 'slave') facts.push(recordedInWords(label.state));
  if (label !== null) facts.push(numbers(label.generation.counter, label.openCount));
  return `it is ${role} '${shown(entry?.name ?? label?.name ?? '')}' (${facts.join(', ')})`;
}

function nameless({ name, role }: NativeImageRecord): string {
  return `it has the path of ${role} '${shown(name)}', and not its label`;
}

function stateInWords({ state, error, changedAtMs, bytesDiffered }: NativeImageRecord): string {
  const cause = error === 0 ? '' : ` (${systemErrorName(error)})`;
  const since = changedAtMs === 0 ? '' : ` since ${new Date(changedAtMs).toISOString()}`;
  const differs = bytesDiffered === 0 ? '' : `, and a verify found ${bytesDiffered} bytes of it different`;
  return `${recordedInWords(state)}${cause}${since}${differs}`;
}

function logSide({ path, superblock }: LogWitness): string {
  const { generation, openCount, owner, lifecycle } = superblock;
  const current = superblock.images
    .filter((image) => !NOT_IN_SYNC.includes(image.state) && image.bytesDiffered === 0)
    .map((image) => `${image.role} '${shown(image.name)}' (${shown(image.path)}) is ${recordedInWords(image.state)}`);
  const opened = owner.startedAtMs === 0 ? '' : `, last opened ${new Date(owner.startedAtMs).toISOString()}`;
  const date = lifecycle === 'creating' ? ', its create did not finish' : opened;
  return `its log ${shown(path)} is at ${numbers(generation.counter, openCount)}${date}: ${current.join(', ')}`;
}

function peerSide({ path, label }: PeerWitness): string {
  return `${label.role} '${shown(label.name)}' (${shown(path)}) is at ${numbers(label.generation.counter, label.openCount)}`;
}

function numbers(generation: number, openCount: number): string {
  return `generation ${generation}, opening ${openCount}`;
}

// --- looking

/**
 * @param log the one that was named, when it is there
 * @param peers the other images that were named
 * @param acceptStale the name of the image that may be master nevertheless
 * @throws STALE_MASTER
 */
export async function refuseStaleMaster(
  master: Place,
  log: Place | null,
  peers: readonly Place[],
  acceptStale: string | null,
): Promise<void> {
  const { label } = await identifyPlace(master);
  const folders = [master, ...(log === null ? [] : [log]), ...peers].map((place) => dirname(place.realPath));
  const parts = label === null ? [] : await findParts(label.mirrorUuid, folders);
  const logs = await logsKnowing(master, label, log, parts);
  const stale = judgeStanding(label, logs, await peersOf(master, peers, parts));
  if (stale === null || stale.name === acceptStale) return;
  throw new BlockmirrorError('STALE_MASTER', {
    image: 'master',
    path: master.path,
    detail: `${stale.own}; ${stale.newer}`,
    remedy:
      'Name the newest image as the master; if the content of this one shall win over all others, say so by its name: ' +
      `acceptStale: '${shown(stale.name)}' (\`--accept-stale ${shellQuote(stale.name)}\`)`,
  });
}

/** The newest first: of two logs of one mirror the older one is a copy. */
async function logsKnowing(
  master: Place,
  label: NativeLabel | null,
  log: Place | null,
  parts: readonly MirrorPart[],
): Promise<LogWitness[]> {
  const found: Identity[] = log === null ? [] : [await identifyPlace(log)];
  for (const { kind, identity } of parts) if (kind === 'log') found.push(identity);
  const witnesses: LogWitness[] = [];
  for (const { path, superblock } of found) {
    const entry = superblock === null ? null : await entryOf(superblock, path, master, label);
    if (superblock !== null && entry !== null) witnesses.push({ path, superblock, entry });
  }
  return witnesses.sort((a, b) => b.superblock.openCount - a.superblock.openCount);
}

/** By its label; an image without one by its path: it was wiped, or its create did not come so far. */
async function entryOf(
  superblock: NativeSuperblock,
  logPath: string,
  master: Place,
  label: NativeLabel | null,
): Promise<NativeImageRecord | null> {
  if (label !== null && label.mirrorUuid === superblock.mirrorUuid) {
    return superblock.images.find((image) => image.uuid === label.imageUuid) ?? null;
  }
  // What carries the label of another mirror is of this one no more, or not yet.
  if (label !== null && superblock.lifecycle !== 'creating') return null;
  const folder = await folderOfLog(logPath);
  for (const image of superblock.images) {
    const place = await findPlace(storedPathToPath(image, folder), image.name).catch(() => null);
    if (place !== null && isSamePlace(place, master)) return image;
  }
  return null;
}

/** The images that were named, and those that were found; of other mirrors too. */
async function peersOf(master: Place, peers: readonly Place[], parts: readonly MirrorPart[]): Promise<PeerWitness[]> {
  const found = parts.filter(({ kind }) => kind === 'image').map(({ identity }) => identity.path);
  const witnesses: PeerWitness[] = [];
  const named = new Map(peers.map((place) => [resolve(place.path), place]));
  for (const path of new Set([...named.keys(), ...found])) {
    const place = named.get(path) ?? (await findPlace(path, path).catch(() => null));
    if (place === null || isSamePlace(place, master)) continue;
    const { label } = await identifyPlace(place);
    if (label !== null) witnesses.push({ path, label });
  }
  return witnesses;
}

export function isSamePlace(one: Place, other: Place): boolean {
  if (one.number !== null || other.number !== null) return one.number === other.number;
  return one.inodeDevice === other.inodeDevice && one.inode === other.inode;
}
