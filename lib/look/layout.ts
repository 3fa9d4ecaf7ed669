/**
 * Where log and label stand on a device (docs/FORMAT.md): for a look at a device of which it is not known yet what it
 * is. Everything else about the format is the core's. Pure.
 */

const MIB = 1024 * 1024;

export const LOG_MAGIC = 'BLKMIRLG';
export const LABEL_MAGIC = 'BLKMIRIM';

export const SUPERBLOCK_LENGTH = 40_960;
export const SUPERBLOCK_POSITIONS = [0, 64 * 1024] as const;

export const LABEL_LENGTH = 4096;
export const LABEL_COPY_DISTANCE = MIB / 2;

/** Where the label of an image of that size stands: its last whole MiB; 0 when it has no room for one. */
export function labelPosition(deviceSize: number): number {
  return Math.max(0, (Math.floor(deviceSize / MIB) - 1) * MIB);
}
