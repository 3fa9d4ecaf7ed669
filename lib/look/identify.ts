/**
 * What a device or file is to blockmirror: a log, an image, or neither; and where the other parts of its mirror are.
 *
 * Invariants:
 *  - Writes nothing, holds nothing, waits for nobody: it reads beside whoever has the device open.
 *  - Bytes are believed only when the core finds them whole (checksum, version, every field).
 *  - It says what is there, never whether it may be used: that is judged by the engine (I8).
 */
import { type FileHandle, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NativeBinding, NativeLabel, NativeOutcome, NativeSuperblock } from '../base/binding';
import { BlockmirrorError, errorOfStatus } from '../base/errors';
import {
  LABEL_COPY_DISTANCE,
  LABEL_LENGTH,
  LABEL_MAGIC,
  LOG_MAGIC,
  SUPERBLOCK_LENGTH,
  SUPERBLOCK_POSITIONS,
  labelPosition,
} from './layout';
import { loadBinding } from '../base/load';
import { checkPath } from '../base/options';
import { shown } from '../base/shown';
import { recordedInWords } from './status';
import type { IdentifiedPath } from '../base/types';
import { deviceNumber, readBlockDevices } from '../system/block_devices';
import { type Place, findPlace, folderOfLog, leadsOutside, storedPathToPath, openPlace } from '../system/places';
import { distrust, trustIn } from './trust';

/** One copy of a superblock or a label. `unknown`: whole, and of a version or feature that this program does not know. */
export type CopyState = 'whole' | 'damaged' | 'unknown' | 'unreadable' | 'absent';

export interface Identity {
  path: string;
  /** Bytes of the device or file. */
  size: number;
  /** Set when a whole superblock stands at its start: it is a log. */
  superblock: NativeSuperblock | null;
  /** Set when a whole label stands at its end: it is an image (or a log made over one, if it has a superblock too). */
  label: NativeLabel | null;
  /** Copies A and B. */
  superblockCopies: readonly [CopyState, CopyState];
  labelCopies: readonly [CopyState, CopyState];
  /** Why a mark of blockmirror that is there could not be read: LOG_DAMAGED, UNKNOWN_VERSION, … */
  problem: BlockmirrorError | null;
}

/** @throws OPEN_FAILED, when there is nothing, or it cannot be opened */
export async function readIdentityAt(path: string): Promise<Identity> {
  const place = await findPlace(path, path);
  if (place === null) throw new BlockmirrorError('OPEN_FAILED', { path, systemError: 2, remedy: 'Check the path' });
  return identifyPlace(place);
}

/** @throws OPEN_FAILED */
export async function identifyPlace(place: Place): Promise<Identity> {
  const file = await openPlace(place);
  try {
    return await readFrom(file, place.path, place.size);
  } finally {
    await file.close();
  }
}

async function readFrom(file: FileHandle, path: string, size: number): Promise<Identity> {
  const binding = loadBinding();
  const logCopies = await Promise.all(SUPERBLOCK_POSITIONS.map((at) => readAt(file, at, SUPERBLOCK_LENGTH, size)));
  const at = labelPosition(size);
  const labelAt = at === 0 ? [] : [at, at + LABEL_COPY_DISTANCE];
  const labels = await Promise.all(labelAt.map((position) => readAt(file, position, LABEL_LENGTH, size)));
  const log = judge(binding, binding.superblockOf, logCopies, LOG_MAGIC, path);
  const label = judge(binding, binding.labelOf, labels, LABEL_MAGIC, path);
  return {
    path,
    size,
    superblock: log.block,
    label: label.block,
    superblockCopies: log.copies,
    labelCopies: label.copies,
    problem: log.problem ?? label.problem,
  };
}

/** A copy: its bytes, null when it cannot be read, undefined when the device ends before it. */
type Copy = Buffer | null | undefined;

async function readAt(file: FileHandle, position: number, length: number, size: number): Promise<Copy> {
  if (position + length > size) return undefined;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
    return bytesRead === length ? buffer : undefined;
  } catch {
    return null;
  }
}

interface Judged<Block> {
  block: Block | null;
  copies: [CopyState, CopyState];
  problem: BlockmirrorError | null;
}

function judge<Block extends object>(
  binding: NativeBinding,
  choose: (copyA: Uint8Array | null, copyB: Uint8Array | null) => Block | NativeOutcome,
  [copyA, copyB]: readonly Copy[],
  magic: string,
  path: string,
): Judged<Block> {
  const copies: [CopyState, CopyState] = [
    stateOf(binding, choose, copyA, magic),
    stateOf(binding, choose, copyB, magic),
  ];
  // Without a single mark there is nothing of ours here, whatever else cannot be read.
  if (!copies.some((copy) => copy === 'whole' || copy === 'damaged' || copy === 'unknown')) {
    return { block: null, copies, problem: null };
  }
  const chosen = choose(copyA ?? null, copyB ?? null);
  if (!('code' in chosen)) return { block: chosen, copies, problem: null };
  return { block: null, copies, problem: errorOfStatus(binding.codes, { ...chosen, image: -1 }, undefined, { path }) };
}

function stateOf(
  binding: NativeBinding,
  choose: (copyA: Uint8Array | null, copyB: Uint8Array | null) => object | NativeOutcome,
  copy: Copy,
  magic: string,
): CopyState {
  if (copy === null) return 'unreadable';
  if (copy === undefined || copy.toString('latin1', 0, magic.length) !== magic) return 'absent';
  const alone = choose(copy, copy);
  if (!('code' in alone)) return 'whole';
  return binding.codes[alone.code]?.startsWith('UNKNOWN_') === true ? 'unknown' : 'damaged';
}

// --- in words

/**
 * What it is, in words that complete "it is …"; null when nothing on it is of blockmirror.
 * @param log where the log of an image is, when it was found
 */
export function identityToText(identity: Identity, log: string | null = null): string | null {
  const { superblock, label, problem } = identity;
  if (superblock !== null) return superblockToText(superblock);
  if (label !== null) return labelToText(label, log);
  if (problem === null) return null;
  const what = identity.superblockCopies.some((copy) => copy !== 'absent') ? 'log' : 'image';
  return `${what === 'log' ? 'a log' : 'an image'} of blockmirror that cannot be read (${problem.code})`;
}

function superblockToText(superblock: NativeSuperblock): string {
  const { images, owner, lifecycle, generation } = superblock;
  const parts = images.map(
    (image) => `${image.role} '${shown(image.name)}' at ${shown(image.path)} (${recordedInWords(image.state)})`,
  );
  const opened =
    lifecycle === 'creating'
      ? 'create did not finish'
      : `${owner.startedAtMs === 0 ? 'never opened' : `last opened ${new Date(owner.startedAtMs).toISOString()}`}, ${lifecycle === 'sealed' ? 'closed cleanly' : 'not closed cleanly or still open'}`;
  return `the log of mirror ${superblock.mirrorUuid}: ${parts.join(', ')}; generation ${generation.counter}, ${opened}`;
}

function labelToText(label: NativeLabel, log: string | null): string {
  const { name, role, state, mirrorUuid, generation, openCount, sealed } = label;
  const facts = [
    role === 'master' ? null : recordedInWords(state),
    `generation ${generation.counter}`,
    openCount === 0 ? 'never opened' : `opening ${openCount}`,
    sealed ? 'closed cleanly' : 'not closed cleanly or still open',
  ].filter((fact) => fact !== null);
  const where = log === null ? '' : `, whose log is ${shown(log)}`;
  return `${role} '${shown(name)}' of mirror ${mirrorUuid} (${facts.join(', ')})${where}`;
}

// --- the rest of a mirror

/** A log or image found by what it carries. */
export interface MirrorPart {
  identity: Identity;
  kind: 'log' | 'image';
}

/** Limit of files looked at in one folder. */
const FOLDER_LIMIT = 4096;

/**
 * The parts of the mirror that can be found: among the block devices, in the folders, and where its log says.
 * Best effort; never throws.
 */
export async function findParts(mirrorUuid: string, folders: readonly string[]): Promise<MirrorPart[]> {
  const seen = new Set<string>();
  const parts: MirrorPart[] = [];
  const look = async (path: string): Promise<void> => {
    const part = await partOf(path, mirrorUuid, seen).catch(() => null);
    if (part !== null) parts.push(part);
  };
  for (const device of await readBlockDevices()) if (device.size > 0) await look(device.path);
  for (const folder of new Set(folders)) for (const path of await filesIn(folder)) await look(path);
  for (const { identity } of parts.filter(({ kind }) => kind === 'log')) {
    for (const path of await trustedPaths(identity).catch(() => [])) await look(path);
  }
  return parts;
}

/** Where a log says that its images are, as far as it is believed (lib/look/trust.ts). */
async function trustedPaths({ path, superblock }: Identity): Promise<string[]> {
  const log = await stat(path);
  const { uid, gid, mode } = log;
  const device = deviceNumber(BigInt(log.rdev));
  const trust = await trustIn({ uid, gid, mode, blockDevice: log.isBlockDevice(), device });
  const folder = await folderOfLog(path);
  const paths: string[] = [];
  for (const image of superblock?.images ?? []) {
    const stored = storedPathToPath(image, folder);
    const place = await findPlace(stored, image.name).catch(() => null);
    if (place === null) continue;
    const outside = leadsOutside(image, place.realPath, folder);
    if (distrust(trust, { uid: place.uid, outside }) === null) paths.push(stored);
  }
  return paths;
}

async function filesIn(folder: string): Promise<string[]> {
  if (folder.startsWith('/dev')) return [];
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.slice(0, FOLDER_LIMIT).map((name) => join(folder, name));
}

async function partOf(path: string, mirrorUuid: string, seen: Set<string>): Promise<MirrorPart | null> {
  const status = await stat(path);
  if (!status.isFile() && !status.isBlockDevice()) return null;
  const place = await findPlace(path, path);
  if (place === null) return null;
  const key = place.number ?? `${place.inodeDevice} ${place.inode}`;
  if (seen.has(key)) return null;
  seen.add(key);
  const identity = await identifyPlace(place);
  if (identity.superblock?.mirrorUuid === mirrorUuid) return { identity, kind: 'log' };
  return identity.label?.mirrorUuid === mirrorUuid ? { identity, kind: 'image' } : null;
}

/** Where the log of an image with that label is; null when it is not found. Searches devices and the image's folder. */
export async function findLogOf(label: NativeLabel, imagePath: string): Promise<string | null> {
  const parts = await findParts(label.mirrorUuid, [dirname(imagePath)]);
  return parts.find((part) => part.identity.superblock?.logUuid === label.logUuid)?.identity.path ?? null;
}

/**
 * What the path is, in words, with the log of an image found; null when nothing on it is ours or it cannot be read.
 * @param held what the path stands for, where that is held
 */
export async function whatIsOn(path: string, held: Place | null = null): Promise<string | null> {
  const identity = await (held === null ? readIdentityAt(path) : identifyPlace(held)).catch(() => null);
  if (identity === null) return null;
  const log = identity.superblock === null && identity.label !== null ? await findLogOf(identity.label, path) : null;
  return identityToText(identity, log);
}

// --- the public answer

function imageOf(label: NativeLabel | null): IdentifiedPath['image'] {
  return label === null ? null : { name: label.name, role: label.role, state: label.state, sealed: label.sealed };
}

/**
 * What a device or file is, and where the rest of its mirror is: searched among the block devices, in the folder of the
 * path, and where its log says. Writes nothing, also while the mirror is in use.
 * @throws OPEN_FAILED, INVALID_OPTION
 */
export async function identify(path: string): Promise<IdentifiedPath> {
  const identity = await readIdentityAt(checkPath(path, 'path'));
  const { superblock, label, size, problem } = identity;
  const uuid = superblock?.mirrorUuid ?? label?.mirrorUuid ?? null;
  const parts = uuid === null ? [] : await findParts(uuid, [dirname(path)]);
  const others = parts.filter((part) => part.identity.path !== path && !samePart(part.identity, identity));
  const isLog =
    superblock !== null || identity.superblockCopies.some((copy) => copy !== 'absent' && copy !== 'unreadable');
  const isImage = label !== null || identity.labelCopies.some((copy) => copy !== 'absent' && copy !== 'unreadable');
  const kind = isLog ? 'log' : isImage ? 'image' : 'other';
  return {
    path,
    kind,
    size,
    description: identityToText(identity),
    copies: kind === 'image' ? identity.labelCopies : identity.superblockCopies,
    mirror: uuid,
    mirrorSize: superblock?.size ?? label?.size ?? null,
    logUuid: superblock?.logUuid ?? label?.logUuid ?? null,
    image: isLog ? null : imageOf(label),
    generation: superblock?.generation ?? label?.generation ?? null,
    openings: superblock?.openCount ?? label?.openCount ?? null,
    lastOpenedAt:
      superblock === null || superblock.owner.startedAtMs === 0
        ? null
        : new Date(superblock.owner.startedAtMs).toISOString(),
    parts: others.map((part) => ({
      path: part.identity.path,
      kind: part.kind,
      image: part.kind === 'log' ? null : imageOf(part.identity.label),
      description: identityToText(part.identity) ?? '',
    })),
    problem: problem?.toJSON() ?? null,
  };
}

function samePart(one: Identity, other: Identity): boolean {
  if (one.superblock !== null) return one.superblock.logUuid === other.superblock?.logUuid;
  return one.label?.imageUuid === other.label?.imageUuid && other.superblock === null && one.path === other.path;
}
