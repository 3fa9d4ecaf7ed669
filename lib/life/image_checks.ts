/** What may be wrong with an image that is to be attached, in words: its verdict, its folder, who uses it. */
import type { NativeAssessment, NativeOutcome, NativeSuperblock } from '../base/binding';
import type { Engine } from '../io/engine';
import { BlockmirrorError, type SystemError, errorOfStatus, isBlockmirrorError } from '../base/errors';
import type { MirrorFacts } from '../base/remedies';
import { explainBusy, explainUnknown } from '../look/holders';
import { isLoss, lossOf, sectorsGrown } from '../look/losses';
import { refuseUnsafeFolders } from '../system/folders';
import { findPlace } from '../system/places';
import { type NamedPlace, readSurroundings, refuseOverlaps, refuseUsed } from '../system/uses';
import type { FoundImage } from './find_images';

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

/** @param error as the engine answers it for an image */
export async function explainUnopened(
  error: unknown,
  owner: NativeSuperblock['owner'] | null,
): Promise<BlockmirrorError> {
  if (!isBlockmirrorError(error)) throw error;
  const { image = 'image', path = '', cause } = error;
  if (isLink(error)) return linkMeanwhile(error, image, path);
  if (!isBlockmirrorError(error, 'BUSY')) return (await explainUnknown(error)) as BlockmirrorError;
  return explainBusy(image, path, owner, cause ?? error);
}

/** The engine met a link on a path whose links had been followed before. */
export function isLink(error: unknown): error is BlockmirrorError {
  return isBlockmirrorError(error, 'OPEN_FAILED') && (error.cause as SystemError | undefined)?.code === 'ELOOP';
}

export function linkMeanwhile(error: BlockmirrorError, image: string, path: string): BlockmirrorError {
  return new BlockmirrorError('OPEN_FAILED', {
    image,
    path,
    detail: 'somebody put a symbolic link in its place meanwhile',
    remedy: 'Look who may write its folder, and name a path that nobody else can change',
    cause: error.cause,
  });
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
