/**
 * Finding the images of a mirror: by what the caller says, by what the log remembers, and by their labels.
 *
 * Whether an image may be attached is judged by the engine (I8), never here: a label read here only says where to look.
 * A path that was remembered and exists is taken, so that a copy of an image lying beside it is never preferred.
 * What root may not take a log's word for (lib/look/trust.ts) is not opened, wherever it is found.
 */
import { policiesOf } from '../base/policies';
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NativeImageRecord, NativeSuperblock } from '../base/binding';
import { BlockmirrorError, isBlockmirrorError } from '../base/errors';
import { LABEL_MAGIC, labelPosition } from '../look/layout';
import type { MirrorFacts } from '../base/remedies';
import { shown } from '../base/shown';
import { imageNames, isOut } from '../look/status';
import type { FoundElsewhere } from '../base/types';
import { type Ground, fileGround, overlap, readBlockDevices } from '../system/block_devices';
import { openToRead } from '../system/files';
import { type Place, type StoredPath, findPlace, leadsOutside, pathToStore, storedPathToPath } from '../system/places';
import { type LogTrust, distrust, isBelieved } from '../look/trust';

export interface FoundImage {
  name: string;
  /** Empty: a slave that is not there (`absent`), or is out of the mirror and was not looked for. */
  path: string;
  place: Place | null;
  /** Set when it was not there, and was found elsewhere by its label. */
  expectedAt?: string;
  /** By the caller, this time. */
  named: boolean;
  /** It carries the label of that image, as far as a plain read shows. */
  isItself: boolean;
  /** Of a slave that receives writes: why there is nothing to attach. */
  absent?: BlockmirrorError;
  /** What the log shall remember from now on; an empty path: what it has. */
  store: StoredPath;
}

/** The same slave, with nothing to attach. */
export function absentImage({ name, named }: Pick<FoundImage, 'name' | 'named'>, why: BlockmirrorError): FoundImage {
  return { name, path: '', place: null, named, store: KEEP, isItself: false, absent: why };
}

/** A file, at the path that the log remembers. */
export function isRemembered(image: FoundImage | undefined): boolean {
  return image?.place?.kind === 'file' && !image.named;
}

/** Of images, those that were found by their label alone; for whoever has to know it. */
export function elsewhereOf(
  images: readonly { name: string; path: string; expectedAt?: string | null }[],
): FoundElsewhere[] {
  return images.flatMap(({ name, path, expectedAt }) => (expectedAt ? [{ name, expectedAt, path }] : []));
}

/** For remedies. An image that was not found is where the log says. */
export function mirrorFacts(
  log: string,
  superblock: NativeSuperblock,
  paths: readonly { path: string; isItself?: boolean }[],
  { folder, trust }: LogWord,
): MirrorFacts {
  const believed = isBelieved(trust);
  const images = superblock.images.map((image, index) => ({
    name: image.name,
    path: paths[index]?.path || storedPathToPath(image, folder),
    // Whether it is still itself is not asked: opening a device that failed may hang. And where nothing was found, a log
    // that is not believed could have a command make a file of its choice.
    doubtful:
      (isOut(image.state) && paths[index]?.isItself !== true) || (!believed && (paths[index]?.path ?? '') === ''),
  }));
  return { log, size: superblock.size, images, ...policiesOf(superblock) };
}

/** Where the log says that it is, and root does not take its word. */
export class DistrustedImage {
  constructor(
    readonly name: string,
    readonly path: string,
    readonly uid: number,
    readonly why: string,
  ) {}
}

/** Limit of a search in the log's folder. */
const FOLDER_LIMIT = 4096;
export const KEEP: StoredPath = { path: '', pathKind: 'absolute' };

/**
 * All of them, in the order of the superblock, or why one was not found; whoever is to use them asks for their names where
 * one is not trusted.
 * @throws INVALID_OPTION for names the mirror has not
 */
export async function findImages(
  superblock: NativeSuperblock,
  log: LogWord,
  overrides: Readonly<Record<string, string>>,
): Promise<(FoundImage | DistrustedImage | BlockmirrorError)[]> {
  refuseUnknownNames(superblock, overrides);
  const found: (FoundImage | DistrustedImage | BlockmirrorError)[] = [];
  for (const image of superblock.images) {
    const result = findImage(superblock, image, log, overrides[image.name]);
    found.push(
      await result.catch((error: unknown) => {
        if (isBlockmirrorError(error, 'OPEN_FAILED')) return error;
        throw error;
      }),
    );
  }
  return found;
}

/** Whose word a stored path is, and where one that is relative starts from. */
export interface LogWord {
  folder: string;
  trust: LogTrust;
}

/** Where a slave that is out is now: only where its own label is, since its old path may be another image's by now. */
export async function findFailedImage(
  superblock: NativeSuperblock,
  image: NativeImageRecord,
  log: LogWord,
): Promise<FoundImage | DistrustedImage | BlockmirrorError> {
  const found = await findImage(superblock, { ...image, state: 'in-sync' }, log, undefined);
  if (!('place' in found) || found.place === null) return found;
  const itself = await carriesAnywhere(superblock, image, found.place.realPath, image.deviceSize);
  if (itself) return { ...found, isItself: true };
  return missing(image.name, found.path, 'its label is not there any more');
}

/** @throws INVALID_OPTION */
export function refuseUnknownNames(superblock: NativeSuperblock, overrides: Readonly<Record<string, string>>): void {
  const unknown = Object.keys(overrides).find((name) => !superblock.images.some((image) => image.name === name));
  if (unknown === undefined) return;
  throw new BlockmirrorError('INVALID_OPTION', {
    detail: `images names '${unknown}'`,
    remedy: `The images of this mirror are ${imageNames(superblock.images)}`,
  });
}

/** The image, or the error that says why it was not found. */
export async function findImage(
  superblock: NativeSuperblock,
  image: NativeImageRecord,
  log: LogWord,
  override: string | undefined,
): Promise<FoundImage | DistrustedImage | BlockmirrorError> {
  const { name } = image;
  const logFolder = log.folder;
  if (override !== undefined) {
    const place = await findPlace(override, name);
    if (place === null) return missing(name, override, 'the path that was given does not exist');
    const isItself = await carriesAnywhere(superblock, image, place.realPath, place.size);
    return { name, path: override, place, named: true, isItself, store: await pathToStore(place, logFolder) };
  }
  const stored = storedPathToPath(image, logFolder);
  // A slave that is out gets no writes, and opening its device may hang or fail.
  if (isOut(image.state)) return { name, path: '', place: null, named: false, isItself: false, store: KEEP };
  const place = await findPlace(stored, name);
  const why =
    place === null
      ? null
      : distrust(log.trust, { uid: place.uid, outside: leadsOutside(image, place.realPath, logFolder) });
  if (place !== null && why !== null) return new DistrustedImage(name, stored, place.uid, why);
  const isItself = place !== null && (await carries(superblock, image, place.realPath, image.labelPosition));
  // The kernel may have given this device's name to another one since.
  if (place !== null && (isItself || place.kind === 'file'))
    return { name, path: stored, place, named: false, isItself, store: KEEP };
  const candidates = await search(superblock, image, log);
  const [only] = candidates;
  if (candidates.length === 1 && only !== undefined) {
    const moved = await findPlace(only, name);
    if (moved !== null) {
      return {
        name,
        path: only,
        place: moved,
        named: false,
        isItself: true,
        expectedAt: stored,
        store: await pathToStore(moved, logFolder),
      };
    }
  }
  if (candidates.length > 1) {
    const undecided = missing(name, stored, `several carry its label: ${candidates.join(', ')}`, 'Say which one it is');
    UNDECIDED.add(undecided);
    return undecided;
  }
  if (place !== null) return { name, path: stored, place, named: false, isItself, store: KEEP };
  return missing(name, stored, 'the path does not exist, and no device and no file beside the log carries its label');
}

const UNDECIDED = new WeakSet<BlockmirrorError>();

/** Of several that carry its label none is chosen: waiting changes nothing. */
export function isUndecided(error: BlockmirrorError): boolean {
  return UNDECIDED.has(error);
}

function missing(image: string, path: string, detail: string, advice?: string): BlockmirrorError {
  const option = `by the option images (--image ${shown(image)}=PATH)`;
  const remedy = advice === undefined ? `Attach the device, or say where it is now ${option}` : `${advice} ${option}`;
  return new BlockmirrorError('IMAGE_MISSING', { image, path, detail, remedy });
}

/** What carries the image's label, and which bytes it stands for. */
interface Candidate {
  path: string;
  ground: Ground;
}

/**
 * A loop device and the file below it are one image. The device is meant: whoever made it keeps the file busy by it.
 * Devices come first. Two of them over the same bytes stay two.
 */
export function distinct(devices: readonly Candidate[], files: readonly Candidate[]): string[] {
  const chosen = [...devices];
  for (const file of files) {
    if (!chosen.some(({ ground }) => overlap(ground, file.ground))) chosen.push(file);
  }
  return chosen.map(({ path }) => path);
}

/** Paths of block devices and of files in the folders of the log and the image that carry the image's label. */
async function search(
  superblock: NativeSuperblock,
  image: NativeImageRecord,
  { folder: logFolder, trust }: LogWord,
): Promise<string[]> {
  const devices: Candidate[] = [];
  const files: Candidate[] = [];
  for (const device of await readBlockDevices()) {
    if (device.size < image.deviceSize) continue;
    const node = await stat(device.path).catch(() => null);
    if (node === null || distrust(trust, node) !== null) continue;
    const here = await carriesAnywhere(superblock, image, device.path, device.size);
    if (here) devices.push({ path: device.path, ground: device.ground });
  }
  const folders = new Set([logFolder, dirname(storedPathToPath(image, logFolder))]);
  for (const folder of folders) {
    const names = folder.startsWith('/dev') ? [] : await readdir(folder).catch(() => [] as string[]);
    for (const name of names.slice(0, FOLDER_LIMIT)) {
      const path = join(folder, name);
      const status = await stat(path, { bigint: true }).catch(() => null);
      if (status === null || !status.isFile() || status.size < image.deviceSize) continue;
      if (distrust(trust, { uid: Number(status.uid) }) !== null) continue;
      const here = await carriesAnywhere(superblock, image, path, Number(status.size));
      if (here) files.push({ path, ground: fileGround(status.dev, status.ino) });
    }
  }
  return distinct(devices, files);
}

async function carriesAnywhere(
  superblock: NativeSuperblock,
  image: NativeImageRecord,
  path: string,
  size: number,
): Promise<boolean> {
  return (
    (await carries(superblock, image, path, image.labelPosition)) ||
    (labelPosition(size) !== image.labelPosition && (await carries(superblock, image, path, labelPosition(size))))
  );
}

// Of the label's first block, the same in every version of the format (docs/FORMAT.md).
const HEAD_LENGTH = 88;
const MIRROR_UUID = 40;
const IMAGE_UUID = 72;
const UUID_LENGTH = 16;
const COPY_DISTANCE = 512 * 1024;

async function carries(
  superblock: NativeSuperblock,
  image: NativeImageRecord,
  path: string,
  position: number,
): Promise<boolean> {
  const heads = await readLabelHeads(path, position);
  return heads.some((head) => head.mirrorUuid === superblock.mirrorUuid && head.imageUuid === image.uuid);
}

export interface LabelHead {
  mirrorUuid: string;
  imageUuid: string;
}

/** What the two copies of a label say whose they are; as many as can be read. Never throws. */
async function readLabelHeads(path: string, position: number): Promise<LabelHead[]> {
  const file = await openToRead(path).catch(() => null);
  if (file === null) return [];
  const heads: LabelHead[] = [];
  try {
    for (const at of [position, position + COPY_DISTANCE]) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_LENGTH), 0, HEAD_LENGTH, at);
      const head = bytesRead === HEAD_LENGTH ? parseLabelHead(buffer) : null;
      if (head !== null) heads.push(head);
    }
  } catch {
    // An unreadable block tells nothing; the engine will say so when the image is judged.
  } finally {
    await file.close();
  }
  return heads;
}

/** Pure. */
export function parseLabelHead(head: Buffer): LabelHead | null {
  if (head.toString('latin1', 0, LABEL_MAGIC.length) !== LABEL_MAGIC) return null;
  return { mirrorUuid: uuidAt(head, MIRROR_UUID), imageUuid: uuidAt(head, IMAGE_UUID) };
}

function uuidAt(block: Buffer, offset: number): string {
  const hex = block.toString('hex', offset, offset + UUID_LENGTH);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
