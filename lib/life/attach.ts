/**
 * From a log's path to a mirror whose log and images are open, judged and ready to be activated. Nothing is written.
 *
 * The order matters: the log is held first (I9), so that nobody changes where the images are while they are looked for.
 */
import { availableParallelism } from 'node:os';
import type { NativeAssessment, NativeDeviceFacts, NativeImageRecord, NativeSuperblock } from '../base/binding';
import { Engine } from '../io/engine';
import { BlockmirrorError, isBlockmirrorError } from '../base/errors';
import { explainImage, explainLog } from '../look/explain';
import { DistrustedImage, type FoundImage, type LogWord, absentImage, mirrorFacts } from './find_images';
import { goesWithout } from './goes_without';
import { type Presence, awaitImages, isRequired, judgeImages, openPresent, setStrangersAside } from './present_images';
import { explainUnopened, isLink, linkMeanwhile, refuseUnsafe } from './image_checks';
import { foreignLog, recoveryWork } from './foreign_log';
import { explainBusy, explainUnknown } from '../look/holders';
import { loadBinding } from '../base/load';
import { refuseLivingOwner } from '../look/owner';
import { command, logLost, remedyOf } from '../base/remedies';
import { assess } from './scan';
import { throwIfAborted } from '../base/signals';
import { followPath, refuseUnsafeFolders } from '../system/folders';
import { findPlace, folderOfLog, refuseReplaced } from '../system/places';
import { distrust, isBelieved, trustIn } from '../look/trust';
import type { DeviceKind, Problem } from '../base/types';

export interface Attached {
  engine: Engine;
  logPath: string;
  superblock: NativeSuperblock;
  assessment: NativeAssessment;
  images: FoundImage[];
  word: LogWord;
  trustFolders: boolean;
  /** Slaves that this opening does without: activate fractures them. */
  leftOut: readonly number[];
  /** Of these, those whose files lost allocation. */
  lost: readonly number[];
  /** By name: slaves that are out, or left out, and could not be attached. */
  unattached: ReadonlyMap<string, Problem>;
}

export interface AttachOptions extends Presence {
  device: 'auto' | DeviceKind;
  /** Of a mirror that is going to be used, not only repaired or looked at. */
  polling?: boolean;
  /** Of a request to a device, milliseconds; null: as the log says. */
  deviceTimeout?: number | null;
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
  await setStrangersAside(logPath, images, options);
  const outside = await options.attachFailed?.(logPath, superblock, images, word, options.trustFolders);
  const mirror = mirrorFacts(logPath, superblock, images, word);
  engine.names = { log: logPath, images, mirror };
  throwIfAborted(options.signal);
  await refuseUnsafe(logPath, images, options.trustFolders);
  const opened = await openPresent(engine, images, superblock.owner, options);
  await refuseDistrusted(logPath, superblock, word, images, opened, options);
  // Again, of what is held: what was looked at before may have changed until then.
  const again = await findAgain(images);
  refuseReplaced('log', logPath, await findPlace(logPath, 'log'), held);
  for (const [index, { name, path, place }] of again.entries()) {
    if (path !== '') refuseReplaced(name, path, place, opened[index] as NativeDeviceFacts);
  }
  await refuseUnsafe(logPath, again, options.trustFolders);
  const assessment = await assess(engine, () => throwIfAborted(options.signal), options.onProgress);
  const { leftOut, lost, problems } = await judgeImages(engine, superblock, assessment, images, mirror, options);
  throwIfAborted(options.signal);
  const unattached = new Map([...(outside ?? []), ...problems]);
  const { trustFolders } = options;
  return { engine, logPath, superblock, assessment, images, word, trustFolders, leftOut, lost, unattached };
}

/** Why an opening may not do without the slaves that it would do without. */
export function tooFewPresent(error: BlockmirrorError, { logPath, unattached }: Attached): BlockmirrorError {
  const why = [...unattached.values()].map(({ message }) => message).join(' ');
  const lower = command('set', logPath);
  return error
    .withDetail(why)
    .withRemedy(
      `Nothing was written. See to the slaves that are named, and open it again; to go on without them: \`${lower} minInSync=1\``,
    );
}

/** The log of a mirror that nobody has open, held exclusively. */
export async function holdLog(
  engine: Engine,
  logPath: string,
  options: Pick<AttachOptions, 'takeOver' | 'trustFolders' | 'deviceTimeout'>,
): Promise<{ held: NativeDeviceFacts; superblock: NativeSuperblock; word: LogWord }> {
  engine.names = { log: logPath, images: [] };
  await refuseUnsafeFolders([{ name: 'log', path: logPath }], options.trustFolders);
  const held = await openLogExclusive(engine, logPath, 0, options.deviceTimeout ?? null).catch((error: unknown) => {
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
  options: AttachOptions,
): Promise<FoundImage[]> {
  const found = await awaitImages(superblock, word, options.images, options);
  const images: (FoundImage | DistrustedImage)[] = [];
  for (const [index, image] of found.entries()) {
    if (!(image instanceof BlockmirrorError)) {
      images.push(image);
      continue;
    }
    const { name } = superblock.images[index] as NativeImageRecord;
    const named = Object.hasOwn(options.images, name);
    if (isRequired({ named }, index, options) || !goesWithout(image, true))
      throw await explainImage(image, superblock, mirrorFacts(log, superblock, [], word));
    images.push(absentImage({ name, named }, image));
  }
  const trusted = images.filter((image): image is FoundImage => !(image instanceof DistrustedImage));
  if (trusted.length === images.length) return trusted;
  const work = await recoveryWork(engine, superblock);
  throw await foreignLog(superblock, { log, word, images, trustFolders: options.trustFolders, work });
}

/** The same of what is held, which counts: a path that was looked at may have led elsewhere when it was opened. */
async function refuseDistrusted(
  log: string,
  superblock: NativeSuperblock,
  word: LogWord,
  images: readonly FoundImage[],
  opened: readonly (NativeDeviceFacts | null)[],
  { trustFolders }: AttachOptions,
): Promise<void> {
  const judged = images.map((image, index) => {
    const uid = opened[index]?.uid ?? 0;
    const why = image.path === '' || image.named ? null : distrust(word.trust, { uid });
    return why === null ? image : new DistrustedImage(image.name, image.path, uid, why);
  });
  if (!judged.some((image) => image instanceof DistrustedImage)) return;
  throw await foreignLog(superblock, { log, word, images: judged, trustFolders, work: null });
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
export async function openLogExclusive(
  engine: Engine,
  logPath: string,
  makeLength = 0,
  deviceTimeout: number | null = null,
): Promise<NativeDeviceFacts> {
  try {
    const path = await followPath(logPath, 'log');
    const how = { path, resolved: true, readOnly: false, exclusive: true, makeLength };
    if (deviceTimeout === null) return await engine.command('openLog', how);
    const deviceTimeoutMs = deviceTimeout === Infinity ? 0 : Math.ceil(deviceTimeout);
    return await engine.command('openLog', { ...how, deviceTimeoutMs });
  } catch (error) {
    if (isLink(error)) throw linkMeanwhile(error, 'log', logPath);
    if (!isBlockmirrorError(error, 'BUSY')) throw await explainUnknown(error);
    const superblock = await readSuperblock(logPath).catch(() => null);
    throw await explainBusy('log', logPath, superblock?.owner ?? null, error.cause ?? error);
  }
}

/**
 * Of a mirror that is to be made.
 * @param makeLengths one per image, as of openLogExclusive
 */
export async function openImagesExclusive(
  engine: Engine,
  images: readonly { name: string; path: string }[],
  makeLengths: readonly number[],
): Promise<NativeDeviceFacts[]> {
  try {
    const paths: string[] = [];
    for (const { name, path } of images) paths.push(await followPath(path, name));
    const how = { resolved: true, readOnly: false, exclusive: true };
    const opened = await engine.command('openImages', { paths, ...how, members: false, makeLengths });
    return opened as NativeDeviceFacts[]; // none of them was optional
  } catch (error) {
    throw await explainUnopened(error, null);
  }
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

async function findAgain(images: readonly FoundImage[]): Promise<FoundImage[]> {
  const again: FoundImage[] = [];
  for (const image of images) {
    again.push({ ...image, place: image.path === '' ? null : await findPlace(image.path, image.name) });
  }
  return again;
}
