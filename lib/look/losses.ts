/**
 * Images that cannot be used as they are although they are the right ones: their file lost allocation, or their sectors
 * grew. Pure.
 */
import type { NativeAssessment, NativeSuperblock } from '../base/binding';
import { BlockmirrorError, isBlockmirrorError } from '../base/errors';
import { type MirrorFacts, remakeOver, remedyOf } from '../base/remedies';

/**
 * Whether the image is damaged for having lost allocation. Where the loss took the label, nothing but the path that the
 * log remembers says which image a file is: one that somebody named is then refused like any other without a label.
 * @param remembered it is a file, at the path that the log remembers
 */
export function isLoss(error: BlockmirrorError, remembered: boolean): boolean {
  return isBlockmirrorError(error, 'LOST_ALLOCATION') || (isBlockmirrorError(error, 'TRUNCATED_IMAGE') && remembered);
}

/** What an image's file lost, and the way out. What the hole of a master held is on a slave in sync, and nowhere else. */
export function lossOf(
  error: BlockmirrorError,
  index: number,
  superblock: NativeSuperblock,
  assessment: NativeAssessment,
  mirror: MirrorFacts,
): BlockmirrorError {
  const whole = superblock.images.find(
    ({ role, state }, at) => role === 'slave' && state === 'in-sync' && assessment.images[at]?.code === 0,
  );
  const remedy =
    index === 0 && whole !== undefined
      ? remakeOver(mirror, whole.name)
      : remedyOf('LOST_ALLOCATION', { mirror, image: index });
  return new BlockmirrorError('LOST_ALLOCATION', {
    ...whereOf(error),
    ...(remedy === null ? {} : { remedy }),
  });
}

/** @param sectorSize bytes, which is more than the mirror's blocks have */
export function sectorsGrown(error: BlockmirrorError, sectorSize: number, blockSize: number): BlockmirrorError {
  return new BlockmirrorError('BLOCK_TOO_LARGE', {
    ...whereOf(error),
    detail: `its sectors have ${sectorSize} bytes now, and this mirror was made in blocks of ${blockSize}`,
    remedy:
      `Attach it with sectors of ${blockSize} bytes again, as it was. Where that cannot be, make the mirror anew over the ` +
      'same master, with keepData: its blocks are then as large as these sectors',
  });
}

function whereOf({ image, path, position }: BlockmirrorError): { image?: string; path?: string; position?: number } {
  return {
    ...(image === undefined ? {} : { image }),
    ...(path === undefined ? {} : { path }),
    ...(position === undefined ? {} : { position }),
  };
}
