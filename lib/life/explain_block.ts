/**
 * What superblock, live intents, maps and history say of one block: whether images may differ there, which slave owes it, since
 * when and why, and what happened to it. A look, as inspect() is: it writes nothing.
 */
import type { NativeSuperblock } from '../base/binding';
import { BlockmirrorError } from '../base/errors';
import { checkExplain, checkPath } from '../base/options';
import { historyReport } from '../look/history';
import { type Look, inspectionOf, look } from './inspect';
import type { ExplainOptions, ExplainReport, ExplainedSlave, Extent, HistoryEvent, Inspection } from '../base/types';

/** What an intent covers at least, bytes. */
const INTENT_BLOCK = 4096;

export async function explain(log: string, position: number, options: ExplainOptions = {}): Promise<ExplainReport> {
  checkPath(log, 'log');
  const { images, ...how } = checkExplain(options, position);
  const at = (superblock: NativeSuperblock): Extent => blockAt(superblock, position);
  const seen = await look(log, images, { ...how, at });
  return explainReport(inspectionOf(log, seen, null), seen, position);
}

function blockAt({ size, blockSize }: NativeSuperblock, position: number): Extent {
  if (position >= size) {
    throw new BlockmirrorError('OUT_OF_RANGE', {
      detail: `position ${position}; the mirror has ${size} bytes`,
      remedy: `Give a position from 0 to ${size - 1}`,
    });
  }
  const length = Math.max(INTENT_BLOCK, blockSize);
  const start = position - (position % length);
  return { position: start, length: Math.min(length, size - start) };
}

function overlaps(one: Extent, other: Extent): boolean {
  return one.position < other.position + other.length && other.position < one.position + one.length;
}

function explainReport(inspection: Inspection, seen: Look, position: number): ExplainReport {
  const { status, damaged } = inspection;
  const block = blockAt(seen.superblock, position);
  const covered = inspection.extents.some((extent) => overlaps(extent, block));
  const unclean = !inspection.clean && status.phase !== 'held';
  const slaves = status.images.flatMap((image, index): ExplainedSlave[] => {
    if (image.role === 'master') return [];
    const { name, state, fracture } = image;
    // What a crash left is owed by every slave, and a ring that is damaged names nothing.
    const left = unclean && (covered || damaged);
    const inMap = seen.owing === null ? null : (seen.owing & (1 << index)) !== 0;
    return [{ name, state, owes: left ? true : inMap, fracture }];
  });
  const told = seen.history === null ? [] : eventsOf(inspection, seen);
  return {
    uuid: status.uuid,
    log: status.log,
    position,
    block,
    phase: status.phase,
    damaged,
    covered,
    liveIntents: inspection.liveIntents.filter((intent) => overlaps(intent, block)),
    uncertain: slaves.some(({ owes }) => owes !== false),
    slaves,
    events: relevant(told, block, slaves),
  };
}

function eventsOf({ status }: Inspection, { superblock, history }: Look): HistoryEvent[] {
  if (history === null) return [];
  return historyReport(status.log, superblock, history, { image: null, sinceMs: null }, null).events;
}

/** Those that name the block; and of slaves that owe it those from their last return on, which say why they do. */
function relevant(events: readonly HistoryEvent[], block: Extent, slaves: readonly ExplainedSlave[]): HistoryEvent[] {
  const owing = new Set(slaves.filter(({ owes }) => owes !== false).map(({ name }) => name));
  const returned = new Map<string, number>();
  for (const { image, after, sequence } of events) {
    if (image !== null && after === 'in-sync') returned.set(image, sequence);
  }
  return events.filter(({ image, after, extent, sequence }) => {
    if (extent !== null && overlaps(extent, block)) return true;
    const ofOwing = image !== null && owing.has(image) && after !== null;
    return ofOwing && sequence >= (returned.get(image) ?? 0);
  });
}
