/**
 * Recovery in named steps: assess (before, by attach), plan, copy, flush the slaves, read back, retire.
 *
 * Invariants:
 *  - I3: the master wins. Every extent of the plan is copied to every slave, whatever the two hold.
 *  - I4: the master was flushed before anything is copied from it: activation does so, create does it itself.
 *  - Nothing is retired unless everything was copied, flushed and, where asked, found equal. A crash, an abort or an
 *    error between any two steps costs only time: the log still says what has to be copied.
 *  - Coverage that is not known (a damaged log) is the whole mirror.
 */
import type { NativeAssessment, NativeRepair, NativeSuperblock } from '../base/binding';
import type { Engine } from '../io/engine';
import { BlockmirrorError } from '../base/errors';
import { type Batch, batchesOf, cutExtents, forEachPiece, totalLength } from '../base/pieces';
import { shownImageState } from '../look/status';
import type {
  Extent,
  FoundElsewhere,
  ProgressListener,
  ProgressStep,
  RecoveryReport,
  RecoverySlave,
  Repair,
} from '../base/types';

/** Repairs named one by one in a report; all are counted. */
const REPAIRS_LIMIT = 1000;

/**
 * Commands given to the engine at once: one that it works on, and others of which it takes pieces as soon as that one
 * has none left to start, so that it never waits for us.
 */
const COMMANDS = 3;

export interface LongWork {
  engine: Engine;
  onProgress: ProgressListener | undefined;
  /** Called between commands, which are of a few MiB; throws to stop. */
  checkpoint: () => void;
}

export interface RecoveryContext extends LongWork {
  log: string;
  superblock: NativeSuperblock;
  paths: readonly string[];
  foundElsewhere: readonly FoundElsewhere[];
  assessment: NativeAssessment;
  /** Count what differed. */
  compare: boolean;
  /** Read back what was copied. */
  readBack: boolean;
}

/** What every report is of, also of work that was not done. */
type ReportContext = Pick<RecoveryContext, 'log' | 'superblock' | 'paths' | 'foundElsewhere' | 'assessment'>;

export interface Plan {
  extents: Extent[];
  fullCompare: boolean;
  bytes: number;
}

/** Pure. */
export function plan(assessment: NativeAssessment, size: number): Plan {
  const extents = assessment.damaged ? [{ position: 0, length: size }] : assessment.extents;
  return { extents, fullCompare: assessment.damaged, bytes: totalLength(extents) };
}

export async function runRecovery(context: RecoveryContext): Promise<RecoveryReport> {
  const started = performance.now();
  const { engine, assessment, superblock } = context;
  const planned = plan(assessment, superblock.size);
  const copied = await copy(context, planned);
  await flushSlaves(context);
  if (context.readBack) await readBackCopy(context, planned.extents);
  const durationMs = Math.round(performance.now() - started);
  const bytesCopied = sum(copied.bytesCopied);
  await retire(context, {
    liveIntents: assessment.liveIntentCount,
    bytesCovered: planned.bytes,
    bytesCopied,
    durationMs,
    readBack: context.readBack,
    fullCompare: planned.fullCompare,
  });
  const { images } = engine.snapshot();
  return {
    ...emptyReport(context),
    clean: false,
    fullCompare: planned.fullCompare,
    extents: planned.extents,
    bytesCovered: planned.bytes,
    bytesCopied,
    slaves: slavesOf(context).map((slave, index) => ({
      ...slave,
      state: shownImageState(images[index + 1]?.state ?? 'failed', images[index + 1]?.bytesDiffered ?? 0, true),
      bytesDiffered: comparesIn(context, planned) ? (copied.bytesDiffered[index] ?? 0) : null,
      bytesCopied: copied.bytesCopied[index] ?? 0,
    })),
    repairs: copied.repairs.map((repair) => shownRepair(repair, superblock)),
    durationMs,
    readBack: context.readBack,
  };
}

export function shownRepair(repair: NativeRepair, superblock: NativeSuperblock): Repair {
  const nameOf = (index: number): string => superblock.images[index]?.name ?? '';
  const { position, length } = repair;
  return { image: nameOf(repair.image), position, length, from: nameOf(repair.from) };
}

/** Of a mirror that needed nothing. */
export function cleanReport(context: ReportContext): RecoveryReport {
  return emptyReport(context);
}

/** What recovery would do, and that it has done nothing. */
export function dryRunReport(context: ReportContext & { held: boolean }): RecoveryReport {
  const planned = plan(context.assessment, context.superblock.size);
  return {
    ...emptyReport(context),
    fullCompare: planned.fullCompare,
    extents: planned.extents,
    bytesCovered: planned.bytes,
    dryRun: true,
    held: context.held,
  };
}

function emptyReport(context: ReportContext): RecoveryReport {
  const { assessment, superblock } = context;
  return {
    uuid: superblock.mirrorUuid,
    log: context.log,
    foundElsewhere: [...context.foundElsewhere],
    clean: assessment.clean,
    damaged: assessment.damaged,
    damage: assessment.damage,
    damageCount: assessment.damageCount,
    fullCompare: false,
    liveIntents: assessment.liveIntentCount,
    extents: [],
    bytesCovered: 0,
    bytesCopied: 0,
    slaves: slavesOf(context),
    repairs: [],
    durationMs: 0,
    readBack: false,
    dryRun: false,
    held: false,
  };
}

function slavesOf(context: Pick<RecoveryContext, 'superblock' | 'paths' | 'assessment'>): RecoverySlave[] {
  return context.superblock.images.slice(1).map((image, index) => ({
    name: image.name,
    path: context.paths[index + 1] || image.path,
    state: shownImageState(image.state, image.bytesDiffered, context.assessment.clean),
    bytesDiffered: null,
    bytesCopied: 0,
  }));
}

export interface Copied {
  /** By slave. */
  bytesDiffered: number[];
  bytesCopied: number[];
  repairs: NativeRepair[];
}

async function copy(context: RecoveryContext, planned: Plan): Promise<Copied> {
  const compare = comparesIn(context, planned);
  return copyExtents(context, planned.extents, { compare, onlyDiffering: planned.fullCompare });
}

/** What is written only where it differs has to be compared. */
function comparesIn(context: RecoveryContext, planned: Plan): boolean {
  return context.compare || planned.fullCompare;
}

/** @param how compare: count what differed; onlyDiffering: and leave alone what did not */
export async function copyExtents(
  work: LongWork,
  extents: readonly Extent[],
  how: { compare: boolean; onlyDiffering: boolean },
): Promise<Copied> {
  const { engine } = work;
  const copied: Copied = { bytesDiffered: [], bytesCopied: [], repairs: [] };
  const advance = progressOf(work, 'copy', extents);
  await forEachBatch(work, extents, async (batch) => {
    const result = await engine.command('recoverCopy', { extents: batch.extents, ...how });
    addTo(copied.bytesDiffered, result.bytesDiffered);
    addTo(copied.bytesCopied, result.bytesCopied);
    copied.repairs.push(...result.repairs.slice(0, REPAIRS_LIMIT - copied.repairs.length));
    advance(batch.bytes);
  });
  return copied;
}

/** In commands of no more bytes than the engine has under way. */
export function forEachBatch(
  work: Pick<LongWork, 'engine' | 'checkpoint'>,
  extents: readonly Extent[],
  each: (batch: Batch) => Promise<void>,
): Promise<void> {
  const { copyLength, copyExtents, copyBytes } = work.engine.binding.limits;
  const batches = batchesOf(cutExtents(extents, copyLength), { extents: copyExtents, bytes: copyBytes });
  return forEachPiece(batches, COMMANDS, work.checkpoint, each);
}

export async function flushSlaves(work: LongWork): Promise<void> {
  work.checkpoint();
  work.onProgress?.({ step: 'flushSlaves', bytesDone: 0, bytesTotal: 0 });
  await work.engine.command('recoverFlushSlaves', {});
}

/** Reads back what was copied. @throws READ_BACK_DIFFERS; then nothing may be retired */
export async function readBackCopy(work: LongWork, extents: readonly Extent[]): Promise<void> {
  const { engine } = work;
  const advance = progressOf(work, 'readBack', extents);
  await forEachBatch(work, extents, async ({ extents, first, bytes }) => {
    const result = await engine.command('recoverReadBack', { extents });
    const slave = result.bytesDiffered.findIndex((bytes) => bytes > 0);
    if (slave >= 0) {
      const image = engine.names.images[slave + 1];
      const at = result.differences.find((difference) => difference.slave === slave);
      throw new BlockmirrorError('READ_BACK_DIFFERS', {
        image: image?.name ?? `slave${slave + 1}`,
        ...(image === undefined || image.path === '' ? {} : { path: image.path }),
        position: at?.position ?? first.position,
      });
    }
    advance(bytes);
  });
}

export async function retire(
  work: LongWork,
  summary: {
    liveIntents: number;
    bytesCovered: number;
    bytesCopied: number;
    durationMs: number;
    readBack: boolean;
    fullCompare: boolean;
  },
): Promise<void> {
  work.checkpoint();
  work.onProgress?.({ step: 'retire', bytesDone: 0, bytesTotal: 0 });
  await work.engine.command('recoverRetire', summary);
}

/** Tells the listener at the start and after each command. */
export function progressOf(work: LongWork, step: ProgressStep, extents: readonly Extent[]): (bytes: number) => void {
  const bytesTotal = totalLength(extents);
  let bytesDone = 0;
  work.onProgress?.({ step, bytesDone, bytesTotal });
  return (bytes) => {
    bytesDone += bytes;
    work.onProgress?.({ step, bytesDone, bytesTotal });
  };
}

export function addTo(sums: number[], numbers: readonly number[]): void {
  for (const [index, number] of numbers.entries()) sums[index] = (sums[index] ?? 0) + number;
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
