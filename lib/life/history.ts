/**
 * The history of a log that anybody has open, or nobody: a look, as inspect() is. It follows no path that the log names, so that
 * whose word the log is matters to nobody (look/trust.ts); what it says is shown.
 */
import { createUnfinished, letGo, loadSuperblock } from './attach';
import { openForLook } from './inspect';
import { trustIn } from '../look/trust';
import { folderOfLog } from '../system/places';
import type { Engine } from '../io/engine';
import type { NativeSuperblock } from '../base/binding';
import { type CheckedHistory, checkHistory, checkPath } from '../base/options';
import type { HistoryOptions, HistoryReport } from '../base/types';
import { BlockmirrorError } from '../base/errors';
import { historyReport } from '../look/history';
import { imageNames } from '../look/status';
import { shown } from '../base/shown';
import { throwIfAborted } from '../base/signals';

export async function history(log: string, options: HistoryOptions = {}): Promise<HistoryReport> {
  checkPath(log, 'log');
  const query = checkHistory(options, Date.now());
  throwIfAborted(query.signal);
  const { engine, facts } = await openForLook(log);
  try {
    const superblock = await loadSuperblock(engine, log);
    if (superblock.lifecycle === 'creating') {
      throw createUnfinished(log, superblock, { folder: await folderOfLog(log), trust: await trustIn(facts) });
    }
    refuseUnknownImage(superblock, query);
    throwIfAborted(query.signal);
    return historyReport(log, superblock, await engine.command('readHistory', {}), query, null);
  } finally {
    await letGo(engine);
  }
}

/** Of a mirror that is open here. */
export async function readHistory(
  engine: Engine,
  log: string,
  superblock: NativeSuperblock,
  query: Omit<CheckedHistory, 'signal'>,
): Promise<HistoryReport> {
  refuseUnknownImage(superblock, query);
  const found = await engine.command('readHistory', {});
  return historyReport(log, superblock, found, query, engine.snapshot().historyLost);
}

/** Of the images that the mirror has now: the history may name others. */
function refuseUnknownImage(superblock: NativeSuperblock, { image }: Pick<CheckedHistory, 'image'>): void {
  if (image === null || superblock.images.some(({ name }) => name === image)) return;
  throw new BlockmirrorError('INVALID_OPTION', {
    detail: `image is ${shown(JSON.stringify(image))}`,
    remedy: `The images of this mirror are ${imageNames(superblock.images)}`,
  });
}
