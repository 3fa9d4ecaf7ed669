/**
 * Which slaves an opening goes on without, by what was found of them: a table. The slave is then fractured durably, with the
 * reason (native/core/session/left_out.cc has the causes), and nothing is written to what was found in its place. Pure.
 *
 * What is only in the way of a slave that is there, and itself (it is mounted, somebody else holds it, its folder is not
 * safe), refuses the opening: somebody has to say who may use it. So does a log that is older than an image.
 */
import type { BlockmirrorError, ErrorCode, ErrorName, SystemError } from '../base/errors';

type Codes = ReadonlySet<string>;
const codes = (...names: ErrorName[]): Codes => new Set(names.map((name): ErrorCode => `ERR_BLOCKMIRROR_${name}`));

const ABSENT = codes('IMAGE_MISSING', 'OPEN_FAILED');
const NOT_AS_IT_SHOULD_BE = codes(
  ...(['NO_LABEL', 'FOREIGN_IMAGE', 'SWAPPED_IMAGES', 'STALE_IMAGE', 'TRUNCATED_IMAGE', 'GROWN_IMAGE'] as const),
  ...(['BLOCK_TOO_LARGE', 'LABEL_DAMAGED', 'READ_FAILED', 'LOST_ALLOCATION'] as const),
  ...(['READ_ONLY_DEVICE', 'NO_DIRECT_IO'] as const),
);
/** Of what stands where the slave was, and does not carry its label: whose it is concerns nobody here. */
const USED_BY_OTHERS = codes('BUSY', 'MOUNTED', 'IN_USE', 'USE_UNKNOWN', 'SAME_DEVICE', 'OVERLAPPING');

/** Of this process, and not of the slave: what ran out here would be taken for a device that is gone. */
const OF_THIS_PROCESS: ReadonlySet<string | undefined> = new Set(['ENOMEM', 'EAGAIN', 'ENFILE', 'EMFILE']);

/** @param itself it carries the slave's label */
export function goesWithout({ code, cause }: Pick<BlockmirrorError, 'code' | 'cause'>, itself: boolean): boolean {
  if (OF_THIS_PROCESS.has((cause as SystemError | undefined)?.code)) return false;
  return ABSENT.has(code) || NOT_AS_IT_SHOULD_BE.has(code) || (!itself && USED_BY_OTHERS.has(code));
}

/** Only somebody else uses what stands there; it says nothing about where the slave is. */
export function isUsedByOthers({ code }: { code: string }): boolean {
  return USED_BY_OTHERS.has(code);
}
