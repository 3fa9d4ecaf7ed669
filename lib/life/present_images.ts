/**
 * The images that an opening has: it waits for those that are absent, opens what is there, and does without the slaves that
 * are not there or not what they should be (goes_without.ts).
 *
 * Invariants:
 *  - The master, and with requireAll every image, is there and itself, or the opening is refused.
 *  - What is found in the place of a slave and is not it is let go before anything is written, and never written to.
 */
import type { NativeAssessment, NativeDeviceFacts, NativeSuperblock } from '../base/binding';
import { BlockmirrorError, errorOfStatus, isBlockmirrorError } from '../base/errors';
import type { MirrorFacts } from '../base/remedies';
import { throwIfAborted } from '../base/signals';
import type { Problem, ProgressListener } from '../base/types';
import type { Engine } from '../io/engine';
import { explainImage } from '../look/explain';
import { followPath } from '../system/folders';
import {
  DistrustedImage,
  type FoundImage,
  KEEP,
  type LogWord,
  absentImage,
  findImages,
  isRemembered,
  isUndecided,
} from './find_images';
import { goesWithout, isUsedByOthers } from './goes_without';
import { explainUnopened, explainVerdict, refuseUnsafe } from './image_checks';

export interface Presence {
  /** Milliseconds that absent images are waited for, or Infinity; null: as the mirror has it. */
  waitForImages: number | null;
  /** Every image that receives writes has to be there. */
  requireAll: boolean;
  /** So has each that the caller named. */
  requireNamed: boolean;
  signal: AbortSignal | undefined;
  onProgress?: ProgressListener | undefined;
}

export type Found = FoundImage | DistrustedImage | BlockmirrorError;

/** How often it is looked again for images that are absent. */
const LOOK_AGAIN_MS = 250;

/** All of them, in the order of the superblock, once all are there or the time is over. */
export async function awaitImages(
  superblock: NativeSuperblock,
  word: LogWord,
  overrides: Readonly<Record<string, string>>,
  { waitForImages, signal, onProgress }: Presence,
): Promise<Found[]> {
  const until = performance.now() + (waitForImages ?? superblock.waitForImagesMs ?? Infinity);
  for (;;) {
    throwIfAborted(signal);
    const found = await findImages(superblock, word, overrides);
    const left = until - performance.now();
    if (left <= 0 || !found.some(isAwaited)) return found;
    onProgress?.({ step: 'waitForImages', bytesDone: 0, bytesTotal: 0 });
    await new Promise((resolve) => {
      setTimeout(resolve, Math.min(left, LOOK_AGAIN_MS));
    });
  }
}

/** It may still come. While a machine starts, a name of the kernel may be another device's for a moment. */
function isAwaited(found: Found): boolean {
  if (found instanceof DistrustedImage) return false;
  if (found instanceof BlockmirrorError) return !isUndecided(found);
  return !found.named && !found.isItself && found.place?.kind === 'block';
}

/** Whether the opening is refused where this image is not there, or not itself. */
export function isRequired({ named }: { named: boolean }, index: number, how: Presence): boolean {
  return index === 0 || how.requireAll || (how.requireNamed && named);
}

/** Something else stands where the slave was, and is in use: it is left alone, and the slave is absent. */
export async function setStrangersAside(
  log: string,
  images: FoundImage[],
  how: Presence & { trustFolders: boolean },
): Promise<void> {
  const ours = images.filter((image, index) => index === 0 || image.isItself);
  for (const [index, image] of images.entries()) {
    if (image.path === '' || image.isItself || isRequired(image, index, how)) continue;
    await refuseUnsafe(log, [...ours, image], how.trustFolders).catch((error: unknown) => {
      if (!isBlockmirrorError(error) || !isUsedByOthers(error)) throw error;
      images[index] = absentImage(image, displaced(image, error));
    });
  }
}

function displaced({ name, path }: FoundImage, error: BlockmirrorError): BlockmirrorError {
  return new BlockmirrorError('IMAGE_MISSING', {
    image: name,
    path,
    detail: `something else is at its path, and in use: ${error.message.replace(/\.$/, '')}`,
    remedy: `Attach the device that was there`,
    cause: error,
  });
}

/** Opens them all exclusively; a slave that cannot be opened becomes absent, where the opening may go on without it. */
export async function openPresent(
  engine: Engine,
  images: FoundImage[],
  owner: NativeSuperblock['owner'],
  how: Presence,
): Promise<(NativeDeviceFacts | null)[]> {
  const optional = images.flatMap((image, index) => (isRequired(image, index, how) ? [] : [index]));
  const paths: string[] = [];
  for (const [index, { name, path, isItself }] of images.entries()) {
    const followed = path === '' ? '' : await followPath(path, name).catch((error: unknown) => error);
    if (typeof followed === 'string') paths.push(followed);
    else if (!optional.includes(index) || !isBlockmirrorError(followed) || !goesWithout(followed, isItself))
      throw followed;
    else {
      images[index] = absentImage(images[index] as FoundImage, followed);
      paths.push('');
    }
  }
  const access = { resolved: true, readOnly: false, exclusive: true, members: true };
  const answers = await engine
    .command('openImages', { paths, ...access, optional })
    .catch(async (error: unknown) => Promise.reject(await explainUnopened(error, owner)));
  const opened: (NativeDeviceFacts | null)[] = [];
  for (const [index, answer] of answers.entries()) {
    const image = images[index] as FoundImage;
    opened.push('code' in answer || image.path === '' ? null : answer);
    if (!('code' in answer)) continue;
    const error = await explainUnopened(errorOfStatus(engine.binding.codes, answer, engine.names), owner);
    if (!goesWithout(error, image.isItself)) throw error;
    images[index] = absentImage(image, error);
  }
  return opened;
}

export interface LeftOut {
  /** Slaves that the opening does without; activate fractures them. */
  leftOut: number[];
  /** Of these, those whose files lost allocation. They stay attached. */
  lost: number[];
  /** By name: why. */
  problems: Map<string, Problem>;
}

/** Of the engine's verdicts. What is let go here becomes absent in `images`. @throws what refuses the opening */
export async function judgeImages(
  engine: Engine,
  superblock: NativeSuperblock,
  assessment: NativeAssessment,
  images: FoundImage[],
  mirror: MirrorFacts,
  how: Presence,
): Promise<LeftOut> {
  const found: LeftOut = { leftOut: [], lost: [], problems: new Map() };
  for (const [index, verdict] of assessment.images.entries()) {
    const image = images[index] as FoundImage;
    if (verdict.code === 0) continue;
    const error = image.absent ?? explainVerdict(engine, superblock, assessment, index, isRemembered(image), mirror);
    const isLost = isBlockmirrorError(error, 'LOST_ALLOCATION');
    const refused = isRequired(image, index, how) && !(isLost && index > 0);
    if (refused || !goesWithout(error, true)) throw await explainImage(error, superblock, mirror);
    found.leftOut.push(index);
    found.problems.set(image.name, (await explainImage(error, superblock, mirror)).toJSON());
    images[index] = { ...image, store: KEEP };
    if (isLost) found.lost.push(index);
    if (image.path === '' || isLost || isBlockmirrorError(error, 'STALE_IMAGE')) continue;
    await engine.command('detachImage', { image: index });
    images[index] = absentImage(image, error);
  }
  return found;
}
