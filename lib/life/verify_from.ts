/**
 * The content of one extent as a slave holds it, taken for the content of the mirror: for an operator who knows that it is the
 * master that is wrong there.
 *
 * Invariants:
 *  - An ordinary write of the mirror, one for each region, durable when it answers (native/core/mirror/mirror_source.cc); never a
 *    copy behind the log's back.
 *  - Nothing is written without `overwriteMaster`: what the master holds there is gone afterwards.
 */
import type { NativeSuperblock } from '../base/binding';
import { BlockmirrorError } from '../base/errors';
import type { CheckedSource } from '../base/option_reader';
import { cutExtents } from '../base/pieces';
import { command } from '../base/remedies';
import { shellQuote } from '../base/shell';
import type { FoundElsewhere, VerifyFromReport } from '../base/types';
import type { LongWork } from './recovery';
import { chooseSlaves } from './resync';

export interface VerifyFromContext extends LongWork {
  log: string;
  superblock: NativeSuperblock;
  foundElsewhere: readonly FoundElsewhere[];
  source: CheckedSource;
}

/** @throws INVALID_OPTION, before anything is opened */
export function refuseWithoutConsent(log: string, { from, extent, overwriteMaster }: CheckedSource): void {
  if (overwriteMaster) return;
  const flags = ['--from', shellQuote(from), '--extent', `${extent.position}+${extent.length}`, '--overwrite-master'];
  throw new BlockmirrorError('INVALID_OPTION', {
    detail:
      `what ${from} holds would replace what the master and every other image hold in the ${extent.length} bytes from ` +
      `byte ${extent.position}, and that was not said to be right`,
    remedy: `If it may go, say overwriteMaster: \`${command('verify', log, {}, ...flags)}\``,
  });
}

/** @throws INVALID_OPTION, MISALIGNED, OUT_OF_RANGE, UNUSABLE_SOURCE, READ_FAILED: nothing was written of that piece */
export async function runVerifyFrom(context: VerifyFromContext): Promise<VerifyFromReport> {
  const started = performance.now();
  const { engine, superblock, checkpoint, source } = context;
  const { from, extent } = source;
  const [image] = chooseSlaves(superblock, [from]) as [number];
  refuseUnfit(context);
  let bytesChanged = 0;
  let bytesUnread = 0;
  let bytesDone = 0;
  for (const piece of cutExtents([extent], engine.binding.limits.copyLength)) {
    checkpoint();
    context.onProgress?.({ step: 'copy', bytesDone, bytesTotal: extent.length });
    const taken = await engine.command('writeFrom', { image, ...piece });
    bytesChanged += taken.bytesChanged;
    bytesUnread += taken.bytesUnread;
    bytesDone += piece.length;
  }
  context.onProgress?.({ step: 'copy', bytesDone, bytesTotal: extent.length });
  return {
    uuid: superblock.mirrorUuid,
    log: context.log,
    foundElsewhere: [...context.foundElsewhere],
    from,
    ...extent,
    bytesChanged,
    bytesUnread,
    durationMs: Math.round(performance.now() - started),
  };
}

function refuseUnfit({ superblock, source: { extent } }: VerifyFromContext): void {
  const { position, length } = extent;
  const { blockSize, size } = superblock;
  if (position % blockSize !== 0 || length % blockSize !== 0) {
    throw new BlockmirrorError('MISALIGNED', {
      position,
      detail: `${length} bytes from byte ${position}`,
      remedy: `Give a position and a length that are multiples of ${blockSize}`,
    });
  }
  if (position + length > size) {
    const detail = `${length} bytes from byte ${position}, of a mirror of ${size} bytes`;
    throw new BlockmirrorError('OUT_OF_RANGE', { position, detail });
  }
}
