/**
 * From a log's path to a mirror whose log and images are open, judged and ready to be activated. Nothing is written.
 *
 * The order matters: the log is held first (I9), so that nobody changes where the images are while they are looked for.
 */
import { availableParallelism } from 'node:os';
import type { NativeAssessment, NativeDeviceFacts, NativeOutcome, NativeSuperblock } from '../base/binding';
import { Engine } from '../io/engine';
import { BlockmirrorError, type SystemError, errorOfStatus, isBlockmirrorError } from '../base/errors';
import { explainImage, explainLog } from '../look/explain';
import { DistrustedImage, type FoundImage, type LogWord, findImages, isRemembered, mirrorFacts } from './find_images';
import { foreignLog, recoveryWork } from './foreign_log';
import { explainBusy, explainUnknown } from '../look/holders';
import { loadBinding } from '../base/load';
import { isLoss, lossOf, sectorsGrown } from '../look/losses';
import { refuseLivingOwner } from '../look/owner';
import { type MirrorFacts, logLost, remedyOf } from '../base/remedies';
import { assess } from './scan';
import { throwIfAborted } from '../base/signals';
import { type NamedPlace, readSurroundings, refuseOverlaps, refuseUsed } from '../system/uses';
import { followPath, refuseUnsafeFolders } from '../system/folders';
import { findPlace, folderOfLog, refuseReplaced } from '../system/places';
import { distrust, isBelieved, trustIn } from '../look/trust';
import type { DeviceKind, Problem, ProgressListener } from '../base/types';

export interface Attached {
  engine: Engine;
  logPath: string;
  superblock: NativeSuperblock;
  assessment: NativeAssessment;
  images: FoundImage[];
  /** Slaves whose files lost allocation: they are failed when the mirror is activated. */
  lost: readonly number[];
  /** By name: slaves that are out, and could not be attached. */
  unattached: ReadonlyMap<string, Problem>;
}

export interface AttachOptions {
  device: 'auto' | DeviceKind;
  /** Of a mirror that is going to be used, not only repaired or looked at. */
  polling?: boolean;
  images: Readonly<Record<string, string>>;
  /** The operator says that the owner in the log is dead. */
  takeOver: boolean;
  /** The operator says that nobody hostile may write the folders of log and images. */
  trustFolders: boolean;
  /** Fills in slaves that are out, which are left out otherwise; by name, why some cannot be attached. */
  attachFailed?: (
    logPath: string,
    superblock: NativeSuperblock,
    images: FoundImage[],
    word: LogWord,
    trustFolders: boolean,
  ) => Promise<Map<string, Problem>>;
  signal: AbortSignal | undefined;
  /** Told where reading the ring takes more than a moment. */
  onProgress?: ProgressListener | undefined;
}

/** Holds log and images exclusively. On an error everything is let go. */
export async function attach(logPath: string, options: AttachOptions): Promise<Attached> {
  throwIfAborted(options.signal);
  const engine = newEngine(options.device, options.polling);
  try {
    return await attachWith(engine, logPath, options);
  } catch (error) {
    await letGo(engine);
    throw error;
  }
}

/** @throws UNSUPPORTED, NO_MEMORY */
export function newEngine(device: 'auto' | DeviceKind, polling = false): Engine {
  // With a single processor whoever looks keeps from working whoever is waited for.
  return new Engine(loadBinding(), device, polling && availableParallelism() > 1);
}

/** Closes without sealing what was not sealed, and ends the engine. Never throws: it follows an error of its own. */
export async function letGo(engine: Engine): Promise<void> {
  await engine.command('close', {}).catch(() => undefined);
  engine.destroy();
}

async function attachWith(engine: Engine, logPath: string, options: AttachOptions): Promise<Attached> {
  const { held, superblock, word } = await holdLog(engine, logPath, options);
  const images = await findTrusted(engine, logPath, superblock, word, options);
  const unattached =
    (await options.attachFailed?.(logPath, superblock, images, word, options.trustFolders)) ??
    new Map<string, Problem>();
  const mirror = mirrorFacts(logPath, superblock, images, word);
  engine.names = { log: logPath, images, mirror };
  throwIfAborted(options.signal);
  await refuseUnsafe(logPath, images, options.trustFolders);
  const opened = await openImagesExclusive(engine, images, true, [], superblock.owner);
  await refuseDistrusted(logPath, superblock, word, images, opened, options);
  // Again, of what is held: what was looked at before may have changed until then.
  const again = await findAgain(images);
  refuseReplaced('log', logPath, await findPlace(logPath, 'log'), held);
  for (const [index, { name, path, place }] of again.entries()) {
    if (path !== '') refuseReplaced(name, path, place, opened[index] as NativeDeviceFacts);
  }
  await refuseUnsafe(logPath, again, options.trustFolders);
  const assessment = await assess(engine, () => throwIfAborted(options.signal), options.onProgress);
  const lost: number[] = [];
  for (const [index, verdict] of assessment.images.entries()) {
    if (verdict.code === 0) continue;
    const error = explainVerdict(engine, superblock, assessment, index, isRemembered(images[index]), mirror);
    if (index === 0 || !isBlockmirrorError(error, 'LOST_ALLOCATION'))
      throw await explainImage(error, superblock, mirror);
    lost.push(index);
  }
  throwIfAborted(options.signal);
  return { engine, logPath, superblock, assessment, images, lost, unattached };
}

/** The log of a mirror that nobody has open, held exclusively. */
export async function holdLog(
  engine: Engine,
  logPath: string,
  options: Pick<AttachOptions, 'takeOver' | 'trustFolders'>,
): Promise<{ held: NativeDeviceFacts; superblock: NativeSuperblock; word: LogWord }> {
  engine.names = { log: logPath, images: [] };
  await refuseUnsafeFolders([{ name: 'log', path: logPath }], options.trustFolders);
  const held = await openLogExclusive(engine, logPath).catch((error: unknown) => {
    throw isBlockmirrorError(error, 'HOLE') ? error.withRemedy(logLost(logPath)) : error;
  });
  const superblock = await loadSuperblock(engine, logPath);
  const word = { folder: await folderOfLog(logPath), trust: await trustIn(held) };
  if (superblock.lifecycle === 'creating') throw createUnfinished(logPath, superblock, word);
  await refuseLivingOwner(superblock, logPath, options);
  return { held, superblock, word };
}

/** @throws FOREIGN_LOG, with the plan, before a byte of an image was read by which root would take another's word */
async function findTrusted(
  engine: Engine,
  log: string,
  superblock: NativeSuperblock,
  word: LogWord,
  { images: overrides, trustFolders }: AttachOptions,
): Promise<FoundImage[]> {
  const images = await findImages(superblock, word, overrides).catch(async (error: unknown) => {
    if (!isBlockmirrorError(error)) throw error;
    throw await explainImage(error, superblock, mirrorFacts(log, superblock, [], word));
  });
  const trusted = images.filter((image): image is FoundImage => !(image instanceof DistrustedImage));
  if (trusted.length === images.length) return trusted;
  const work = await recoveryWork(engine, superblock);
  throw await foreignLog(superblock, { log, word, images, trustFolders, work });
}

/** The same of what is held, which counts: a path that was looked at may have led elsewhere when it was opened. */
async function refuseDistrusted(
  log: string,
  superblock: NativeSuperblock,
  word: LogWord,
  images: readonly FoundImage[],
  opened: readonly NativeDeviceFacts[],
  { trustFolders }: AttachOptions,
): Promise<void> {
  const judged = images.map((image, index) => {
    const { uid } = opened[index] as NativeDeviceFacts;
    const why = image.path === '' || image.named ? null : distrust(word.trust, { uid });
    return why === null ? image : new DistrustedImage(image.name, image.path, uid, why);
  });
  if (!judged.some((image) => image instanceof DistrustedImage)) return;
  throw await foreignLog(superblock, { log, word, images: judged, trustFolders, work: null });
}

/** Why the image may not be attached as it is. LOST_ALLOCATION of a slave: the mirror opens without it. */
export function explainVerdict(
  engine: Engine,
  superblock: NativeSuperblock,
  assessment: NativeAssessment,
  index: number,
  remembered: boolean,
  mirror: MirrorFacts,
): BlockmirrorError {
  const status = { ...(assessment.images[index] as NativeOutcome), image: index };
  const error = errorOfStatus(engine.binding.codes, status, engine.names);
  if (isLoss(error, remembered)) return lossOf(error, index, superblock, assessment, mirror);
  if (!isBlockmirrorError(error, 'BLOCK_TOO_LARGE')) return error;
  return sectorsGrown(error, status.position, superblock.blockSize);
}

/** @throws NOT_A_LOG, which says what it is instead, and what the engine finds wrong with it */
export async function loadSuperblock(engine: Engine, logPath: string): Promise<NativeSuperblock> {
  return engine.command('loadSuperblock', {}).catch(async (error: unknown) => {
    throw await explainLog(error, logPath);
  });
}

export function createUnfinished(logPath: string, superblock: NativeSuperblock, word: LogWord): BlockmirrorError {
  const mirror = mirrorFacts(logPath, superblock, [], word);
  // The command would have root write what another user named.
  const remedy = isBelieved(word.trust)
    ? remedyOf('CREATE_UNFINISHED', { mirror, image: -2 })
    : 'Run the same create again, with the images that you know';
  return new BlockmirrorError('CREATE_UNFINISHED', {
    image: 'log',
    path: logPath,
    ...(remedy === null ? {} : { remedy }),
  });
}

/** @param makeLength above 0: a file that is not there is made of that length, one that is empty is given it */
export async function openLogExclusive(engine: Engine, logPath: string, makeLength = 0): Promise<NativeDeviceFacts> {
  try {
    const path = await followPath(logPath, 'log');
    return await engine.command('openLog', { path, resolved: true, readOnly: false, exclusive: true, makeLength });
  } catch (error) {
    if (isLink(error)) throw linkMeanwhile(error, 'log', logPath);
    if (!isBlockmirrorError(error, 'BUSY')) throw await explainUnknown(error);
    const superblock = await readSuperblock(logPath).catch(() => null);
    throw await explainBusy('log', logPath, superblock?.owner ?? null, error.cause ?? error);
  }
}

/**
 * @param members of a mirror that is there already
 * @param makeLengths one per image, as of openLogExclusive; none: nothing is made
 * @param owner as the log records it, to tell another holder from it
 */
export async function openImagesExclusive(
  engine: Engine,
  images: readonly { name: string; path: string }[],
  members: boolean,
  makeLengths: readonly number[] = [],
  owner: NativeSuperblock['owner'] | null = null,
): Promise<NativeDeviceFacts[]> {
  try {
    const paths: string[] = [];
    for (const { name, path } of images) paths.push(path === '' ? '' : await followPath(path, name));
    const how = { resolved: true, readOnly: false, exclusive: true };
    return await engine.command('openImages', { paths, ...how, members, makeLengths });
  } catch (error) {
    if (isLink(error)) throw linkMeanwhile(error, error.image ?? 'image', error.path ?? '');
    if (!isBlockmirrorError(error, 'BUSY')) throw await explainUnknown(error);
    throw await explainBusy(error.image ?? 'image', error.path ?? '', owner, error.cause ?? error);
  }
}

/** The engine met a link on a path whose links had been followed before. */
function isLink(error: unknown): error is BlockmirrorError {
  return isBlockmirrorError(error, 'OPEN_FAILED') && (error.cause as SystemError | undefined)?.code === 'ELOOP';
}

function linkMeanwhile(error: BlockmirrorError, image: string, path: string): BlockmirrorError {
  return new BlockmirrorError('OPEN_FAILED', {
    image,
    path,
    detail: 'somebody put a symbolic link in its place meanwhile',
    remedy: 'Look who may write its folder, and name a path that nobody else can change',
    cause: error.cause,
  });
}

/** Reads the superblock beside whoever holds the log. */
export async function readSuperblock(logPath: string): Promise<NativeSuperblock> {
  const engine = newEngine('threads');
  engine.names = { log: logPath, images: [] };
  try {
    await engine.command('openLog', { path: logPath, readOnly: true, exclusive: false, requireAllocated: false });
    return await engine.command('loadSuperblock', {});
  } finally {
    await letGo(engine);
  }
}

export async function refuseUnsafe(
  logPath: string,
  images: readonly FoundImage[],
  trustFolders: boolean,
): Promise<void> {
  await refuseUnsafeFolders([{ name: 'log', path: logPath }, ...images], trustFolders);
  const places: NamedPlace[] = [];
  const log = await findPlace(logPath, 'log');
  if (log !== null) places.push({ name: 'log', place: log });
  for (const { name, place } of images) if (place !== null) places.push({ name, place });
  refuseOverlaps(places);
  refuseUsed(places, await readSurroundings());
}

async function findAgain(images: readonly FoundImage[]): Promise<FoundImage[]> {
  const again: FoundImage[] = [];
  for (const image of images) {
    again.push({ ...image, place: image.path === '' ? null : await findPlace(image.path, image.name) });
  }
  return again;
}
