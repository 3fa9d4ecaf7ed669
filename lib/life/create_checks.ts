/**
 * Everything that a create looks at before it writes: twice, first before it waits for any lock (lookFirst), then under
 * the locks (judge), where it counts. Neither writes or makes anything.
 */
import { type FileHandle, constants, open, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { NativeBinding, NativeDeviceFacts } from '../base/binding';
import { BlockmirrorError, isBlockmirrorError } from '../base/errors';
import { type WantedFile, refuseWithoutSpace } from '../system/free_space';
import { identifyPlace, whatIsOn } from '../look/identify';
import { labelPosition } from '../look/layout';
import { type CheckedCreate, checkStoredPath } from '../base/options';
import { refuseLivingOwner } from '../look/owner';
import { isLabelOf, isPlanOf, unfinishedPlan, withoutRemains } from './remains';
import { shown } from '../base/shown';
import { refuseSignatures, signaturesOf } from '../look/signatures';
import { throwIfAborted } from '../base/signals';
import { formatSize } from '../base/size';
import { refuseStaleMaster } from '../look/standing';
import { followPath, refuseUnsafeFolders } from '../system/folders';
import {
  type Place,
  type StoredPath,
  findPlace,
  folderOfLog,
  isHeld,
  openPlace,
  pathToStore,
  refuseReplaced,
  throughHeld,
} from '../system/places';
import type { Signatures } from '../base/types';
import { type NamedPlace, readSurroundings, refuseOverlaps, refuseUsed } from '../system/uses';

const MIB = 1024 * 1024;
const RECORD_SIZE = 4096;

/** What the engine holds: the log, and the images in their order. */
export interface Held {
  log: NativeDeviceFacts;
  images: NativeDeviceFacts[];
}

interface Named {
  name: string;
  path: string;
  /** null: it is not there (it may be held without a name). */
  place: Place | null;
}

// --- before the locks

/** @returns the files that will have to be made, or are empty and will have to be filled */
export async function lookFirst(checked: CheckedCreate, binding: NativeBinding): Promise<WantedFile[]> {
  const named = await findAll(checked);
  await refuseUnsafePlaces(named, checked);
  const wanted = await wantedFiles(named, checked, binding);
  await refuseBlockSize(named, checked, binding);
  await refuseWithoutSpace(wanted);
  return wanted;
}

/** Files that do not exist yet have no bytes to be compared by, but the names of their folders. */
async function refuseSamePaths(named: readonly Named[]): Promise<void> {
  const seen = new Map<string, string>();
  for (const { name, path, place } of named) {
    const { realPath } = place ?? (await placeToBe(path).catch(() => ({ realPath: resolve(path) })));
    const other = seen.get(realPath);
    if (other !== undefined) {
      throw new BlockmirrorError('SAME_DEVICE', { path, detail: `named as ${shown(other)} and as ${shown(name)}` });
    }
    seen.set(realPath, name);
  }
}

/** The log first, then the images. */
async function findAll(checked: CheckedCreate): Promise<Named[]> {
  const named: Named[] = [];
  for (const { name, path } of [{ name: 'log', path: checked.log }, ...checked.images]) {
    await followPath(path, name);
    named.push({ name, path, place: await findPlace(path, name) });
  }
  return named;
}

async function refuseUnsafePlaces(named: readonly Named[], checked: CheckedCreate): Promise<void> {
  await refuseUnsafeFolders(named, checked.trustFolders);
  const places = placesOf(named);
  refuseOverlaps(places);
  await refuseSamePaths(named);
  refuseUsed(places, await readSurroundings());
  refuseMissingMaster(checked, named[1]?.place ?? null);
  for (const { name, path, place } of named.slice(1)) refuseSize(name, path, place, checked.size);
}

function placesOf(named: readonly Named[]): NamedPlace[] {
  return named.flatMap(({ name, place }) => (place === null ? [] : [{ name, place }]));
}

/** Nothing is in it: it is filled like one that is not there. */
function isBlank(place: Place | null): boolean {
  return place === null || (place.kind === 'file' && place.size === 0);
}

/** Made anew it would hold zeroes, and the slaves, which may hold the only data, would get them. */
function refuseMissingMaster({ keepData, images }: CheckedCreate, place: Place | null): void {
  const [master] = images;
  if (!keepData || !isBlank(place) || master === undefined) return;
  throw new BlockmirrorError('IMAGE_NOT_FOUND', {
    image: master.name,
    path: master.path,
    detail: 'keepData (--keep-data) says that it holds the data',
    remedy: 'Check the path of the master; without keepData it is made anew, and empty',
  });
}

function refuseSize(name: string, path: string, place: Place | null, size: number | null): void {
  if (place === null || isBlank(place)) {
    if (size !== null) return;
    throw place === null
      ? new BlockmirrorError('IMAGE_NOT_FOUND', { image: name, path })
      : new BlockmirrorError('TOO_SMALL', { image: name, path, detail: 'it is empty', remedy: 'Give size' });
  }
  const room = labelPosition(place.size);
  if (room > 0 && room >= (size ?? 0)) return;
  const needs = size === null ? 'at least 2 MiB' : `${formatSize(size)} and the 1 MiB of the label`;
  throw new BlockmirrorError('TOO_SMALL', {
    image: name,
    path,
    detail: `it has ${place.size} bytes, and needs ${needs}, in whole MiB`,
  });
}

/** Of a mirror whose images are all there. */
function largestSize(named: readonly Named[]): number {
  return Math.min(...named.slice(1).map(({ place }) => labelPosition(place?.size ?? 0)));
}

async function wantedFiles(
  named: readonly Named[],
  checked: CheckedCreate,
  binding: NativeBinding,
): Promise<WantedFile[]> {
  const wanted: WantedFile[] = [];
  for (const { name, path, place } of named) {
    if (!isBlank(place)) continue;
    if (name !== 'log') {
      const length = Math.ceil((checked.size ?? 0) / MIB) * MIB + binding.limits.labelAreaLength;
      wanted.push({ name, path, length });
      continue;
    }
    const facts = await factsOf(path, place, binding);
    const scale = Math.max(RECORD_SIZE, facts?.physicalBlockSize ?? 0) / RECORD_SIZE;
    const records = checked.ringRecords ?? binding.limits.defaultRingRecords;
    const size = checked.size ?? largestSize(named);
    wanted.push({ name, path, length: binding.logLength(records * scale, size, checked.maxImages) });
  }
  return wanted;
}

/** The engine judges it again, of all images together, before anything is written. */
async function refuseBlockSize(named: readonly Named[], checked: CheckedCreate, binding: NativeBinding): Promise<void> {
  if (checked.size === null) return;
  let block = 512;
  for (const { path, place } of named.slice(1)) {
    const facts = await factsOf(path, place, binding);
    if (facts !== null) block = Math.max(block, facts.logicalBlockSize, facts.offsetAlignment);
  }
  if (checked.size % block === 0) return;
  throw new BlockmirrorError('INVALID_OPTION', {
    detail: `size is ${checked.size} bytes`,
    remedy: `Give a multiple of ${block} bytes, the block size of these images`,
  });
}

/** Of a file that is not there: of a nameless one in its folder. null where that cannot be told before it is opened. */
async function factsOf(path: string, place: Place | null, binding: NativeBinding): Promise<NativeDeviceFacts | null> {
  if (place !== null) return knownFacts(binding, path);
  const flags = constants.O_RDWR | TEMPORARY_FILE;
  const file = await open(dirname(resolve(path)), flags, 0o600).catch((): FileHandle | null => null);
  if (file === null) return null;
  try {
    return knownFacts(binding, `/proc/self/fd/${file.fd}`);
  } finally {
    await file.close();
  }
}

/** O_TMPFILE, which node:fs does not name: a file without a name. */
const TEMPORARY_FILE = 0o20000000 | constants.O_DIRECTORY;

function knownFacts(binding: NativeBinding, path: string): NativeDeviceFacts | null {
  const facts = binding.deviceFacts(path);
  return 'code' in facts ? null : facts;
}

/**
 * A file with holes is refused when it is opened, before anybody looked at what is on it. What it holds comes first:
 * nobody shall write a file in full whose content was to stay.
 * @returns SIGNATURE_FOUND where consent is missing, else the error as it is
 */
export async function consentBeforeHole(error: unknown, checked: CheckedCreate): Promise<unknown> {
  if (!isBlockmirrorError(error, 'HOLE')) return error;
  const index = checked.images.findIndex(({ name }) => name === error.image);
  const image = checked.images[index];
  const place = image === undefined ? null : await findPlace(image.path, image.name).catch(() => null);
  if (image === undefined || place === null) return error;
  const role = index === 0 ? 'master' : 'slave';
  try {
    refuseSignatures({ name: image.name, place }, role, await signaturesOf(place), checked, false);
    return error;
  } catch (refused) {
    return isBlockmirrorError(refused, 'SIGNATURE_FOUND') ? refused : error;
  }
}

// --- under the locks

/**
 * @returns the paths of the images that the log shall remember
 * @throws whatever speaks against making this mirror
 */
export async function judge(
  checked: CheckedCreate,
  held: Held,
  limits: { imagePathLength: number },
): Promise<StoredPath[]> {
  const named = await allHeld(checked, held);
  await refuseUnsafePlaces(named, checked);
  const folder = await folderOfLog(checked.log);
  const stored = await storedPaths(named.slice(1), folder, limits);
  const places = named.map(({ place }, index) => (isMade(held, index) ? null : place));
  await refuseData(named, places, checked, stored, folder);
  const [log, master, ...slaves] = places;
  if (log) await refuseOwner(log, checked);
  const peers = slaves.filter((place) => place !== null);
  if (master) await refuseStaleMaster(master, log ?? null, peers, checked.acceptStale);
  await allHeld(checked, held);
  return stored;
}

/** Consent to lose what is on it is no consent to take it from a mirror that is open on another host. */
async function refuseOwner(log: Place, { takeOver }: CheckedCreate): Promise<void> {
  const { superblock } = await identifyPlace(log);
  if (superblock === null) return;
  await refuseLivingOwner(superblock, log.path, { takeOver, again: 'create with `--take-over`' });
}

function factsAt(held: Held, index: number): NativeDeviceFacts {
  return index === 0 ? held.log : (held.images[index - 1] as NativeDeviceFacts);
}

/** Made just now: it holds nothing. */
function isMade(held: Held, index: number): boolean {
  return factsAt(held, index).made !== 'no';
}

/**
 * What is held, and that every path leads to it: a file may have been put in its place meanwhile. What is on it is read
 * by the descriptor from here on.
 */
async function allHeld(checked: CheckedCreate, held: Held): Promise<Named[]> {
  const named: Named[] = [];
  for (const [index, { name, path, place }] of (await findAll(checked)).entries()) {
    const facts = factsAt(held, index);
    if (facts.made === 'file') {
      if (place !== null && !isHeld(place, facts)) throw madeMeanwhile(name, path);
      named.push({ name, path, place });
      continue;
    }
    refuseReplaced(name, path, place, facts);
    named.push({ name, path, place: place === null ? null : await throughHeld(place, facts) });
  }
  return named;
}

/**
 * The last look, before the log says that there is a mirror: whoever opens it has to find by these paths what was written.
 * @throws OPEN_FAILED
 */
export async function refuseMoved(checked: CheckedCreate, held: Held): Promise<void> {
  for (const [index, { name, path, place }] of (await findAll(checked)).entries()) {
    refuseReplaced(name, path, place, factsAt(held, index));
  }
}

export function madeMeanwhile(image: string, path: string, cause?: unknown): BlockmirrorError {
  return new BlockmirrorError('BUSY', {
    image,
    path,
    detail: 'somebody else made this file meanwhile',
    remedy: 'Wait until the other create has ended, then see what it made',
    cause,
  });
}

async function storedPaths(
  images: readonly Named[],
  folder: string,
  limits: { imagePathLength: number },
): Promise<StoredPath[]> {
  const paths: StoredPath[] = [];
  for (const { name, path, place } of images) {
    const stored = await pathToStore(place ?? (await placeToBe(path)), folder);
    checkStoredPath(name, stored.path, limits.imagePathLength);
    paths.push(stored);
  }
  return paths;
}

/** Of a file that has no name yet: what its path will be. */
async function placeToBe(path: string): Promise<Pick<Place, 'path' | 'realPath' | 'kind'>> {
  const absolute = resolve(path);
  const realPath = join(await realpath(dirname(absolute)), basename(absolute));
  return { path, realPath, kind: 'file' };
}

/**
 * Data that is there, less what this very create left when it was interrupted.
 * @throws SIGNATURE_FOUND
 */
async function refuseData(
  named: readonly Named[],
  places: readonly (Place | null)[],
  checked: CheckedCreate,
  stored: readonly StoredPath[],
  folder: string,
): Promise<void> {
  const refused: BlockmirrorError[] = [];
  const collect = (check: () => void): void => {
    try {
      check();
    } catch (error) {
      if (!isBlockmirrorError(error, 'SIGNATURE_FOUND')) throw error;
      refused.push(error);
    }
  };
  const [log, master, ...slaves] = places;
  const found = log ? await unfinishedPlan(log) : null;
  const plan = found !== null && (await isPlanOf(found, stored, folder)) ? found : null;
  if (log) {
    const signatures = await withData(log, await signaturesOf(log), checked);
    collect(() => refuseSignatures({ name: 'log', place: log }, 'log', signatures, checked, plan !== null));
  }
  const ofMaster = master ? await signaturesOf(master) : { signatures: [], probed: true, problem: null };
  const images = [master ?? null, ...slaves];
  for (const [index, place] of images.entries()) {
    if (place === null) continue;
    const role = index === 0 ? 'master' : 'slave';
    const whole = index === 0 ? ofMaster : await signaturesOf(place);
    const label = plan === null ? 'none' : await isLabelOf(place, role, plan);
    const remains = withoutRemains(whole, role, label, ofMaster);
    // Behind a label of the interrupted create stands what that had begun to copy; what is assumed identical stays.
    const stays = role === 'master' || label === 'ours' || checked.assumeIdentical;
    const rest = stays ? remains : await withData(place, remains, checked);
    const one = { name: named[index + 1]?.name ?? role, place };
    collect(() => refuseSignatures(one, role, rest, checked, false));
  }
  const [first, ...others] = refused;
  const heldAt = named.findIndex(({ name }) => name === first?.image);
  if (first !== undefined) throw await withAllNeeds(first, others, checked, places[heldAt] ?? null);
}

/** One refusal for all: what the first is, and what the others will ask for, so that nobody has to try one by one. */
async function withAllNeeds(
  first: BlockmirrorError,
  others: readonly BlockmirrorError[],
  { images, keepData }: CheckedCreate,
  place: Place | null,
): Promise<BlockmirrorError> {
  const what = await whatIsOn(first.path ?? '', place);
  const told = what === null ? first : first.withDetail(`it is ${what}`);
  if (others.length === 0) return told;
  const needs = others.map(({ image = 'an image', remedy }) => {
    if (image !== images[0]?.name) return `${shown(image)} holds data too (\`--overwrite-signature\` if it may go)`;
    return keepData
      ? `${shown(image)}: ${remedy}`
      : `${shown(image)} holds data too (\`--keep-data\` if it is to stay)`;
  });
  return told.withRemedy(`${told.remedy}; ${needs.join('; ')}`);
}

/** A file that is to be written over says by its bytes whether there is data: what nobody has a name for, too. */
async function withData(place: Place, found: Signatures, checked: CheckedCreate): Promise<Signatures> {
  const silent = place.kind !== 'file' || found.signatures.length > 0 || checked.overwriteSignature;
  if (silent) return found;
  if (!(await holdsData(place, checked.signal))) return found;
  return { ...found, signatures: [{ type: 'data', kind: 'other', label: null, reaches: null }] };
}

/** Anything else than zeroes. */
async function holdsData(place: Place, signal: AbortSignal | undefined): Promise<boolean> {
  const file = await openPlace(place);
  try {
    const chunk = Buffer.alloc(MIB);
    const zeroes = Buffer.alloc(MIB);
    for (let position = 0; position < place.size;) {
      throwIfAborted(signal);
      const { bytesRead } = await file.read(chunk, 0, MIB, position);
      if (bytesRead === 0) return false;
      if (chunk.compare(zeroes, 0, bytesRead, 0, bytesRead) !== 0) return true;
      position += bytesRead;
    }
    return false;
  } finally {
    await file.close();
  }
}
