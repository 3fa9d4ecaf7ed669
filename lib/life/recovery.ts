/**
 * Recovery: what a crash left is paid by the engine's resync (native/core/mirror/resync.h), before the first request or beside
 * them; how much at once, what to tell and what to report is decided here. A new mirror's first copy is the same.
 *
 * Invariants:
 *  - Nothing is let go unless every slave that receives writes has paid, which the engine refuses otherwise (endRecovery). A
 *    crash, an abort or an error between two steps costs only time: log and maps still say what has to be copied.
 *  - Coverage that is not known (a damaged log) is the whole mirror.
 */
import type { NativeAssessment, NativeRepair, NativeSuperblock } from '../base/binding';
import type { Engine } from '../io/engine';
import { BlockmirrorError, errorOfStatus } from '../base/errors';
import { type Batch, batchesOf, cutExtents, forEachPiece, totalLength } from '../base/pieces';
import { shownImageState } from '../look/status';
import { FullSpeed } from './resync_pace';
import type {
  Extent,
  FoundElsewhere,
  ProgressListener,
  ProgressStep,
  RecoveryReport,
  RecoverySummary,
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
  /** Beside requests; none: as fast as it goes. */
  pace?: Pace;
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
  const compares = comparesIn(context, planned);
  const copied = await payDebts(context, {
    bytesTotal: Math.max(planned.bytes, engine.snapshot().coverage.uncertainBytes),
    compare: compares,
    onlyDiffering: planned.fullCompare,
    readBack: context.readBack,
    ...(context.pace === undefined ? {} : { pace: context.pace }),
  });
  const durationMs = Math.round(performance.now() - started);
  const bytesCopied = sum(copied.bytesCopied);
  await endRecovery(context, {
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
      bytesDiffered: compares ? (copied.bytesDiffered[index + 1] ?? 0) : null,
      bytesCopied: copied.bytesCopied[index + 1] ?? 0,
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

/** Of a mirror whose crash, if there was one, is paid by now. */
export function nothingLeftReport(context: ReportContext): RecoveryReport {
  const nothing = { clean: true, damaged: false, damage: [], damageCount: 0, liveIntentCount: 0, extents: [] };
  return cleanReport({ ...context, assessment: { ...context.assessment, ...nothing } });
}

/** As the status shows it from then on. */
export function summaryOf(report: RecoveryReport, finishedAt: Date): RecoverySummary {
  const { liveIntents, bytesCovered, bytesCopied, durationMs, readBack, fullCompare } = report;
  return {
    finishedAt: finishedAt.toISOString(),
    liveIntents,
    bytesCovered,
    bytesCopied,
    durationMs,
    readBack,
    fullCompare,
  };
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
  /** By image, slaves alone. */
  bytesDiffered: number[];
  bytesCopied: number[];
  repairs: NativeRepair[];
}

/** What is written only where it differs has to be compared. */
function comparesIn(context: RecoveryContext, planned: Plan): boolean {
  return context.compare || planned.fullCompare;
}

export interface Payment {
  /** Bytes that the slave that owes most owes, for whoever wants to tell how far it is. */
  bytesTotal: number;
  /** Slaves are read before they are written, and what differs is counted. */
  compare: boolean;
  /** And only blocks that differ are written. */
  onlyDiffering: boolean;
  /** What was copied is read again, before it counts. */
  readBack: boolean;
  /** None: as fast as it goes. */
  pace?: Pace;
}

export interface Pace {
  /** Bytes of the next step, at most. */
  longest: () => number;
  /** After a step that moved so many bytes in so long. */
  rest: (bytes: number, tookMs: number) => Promise<void>;
}

/**
 * Steps until no slave owes anything of a crash, or of the plan, that receives writes.
 * @throws READ_BACK_DIFFERS, and READ_FAILED where the master cannot be read and nobody may stand in: it stays owed
 */
export async function payDebts(work: LongWork, payment: Payment): Promise<Copied> {
  const { engine } = work;
  const { bytesTotal, compare, onlyDiffering, readBack, pace = atFullSpeed(engine, bytesTotal) } = payment;
  const copied: Copied = { bytesDiffered: [], bytesCopied: [], repairs: [] };
  let bytesDone = 0;
  work.onProgress?.({ step: 'copy', bytesDone, bytesTotal });
  for (let slaves = engine.snapshot().recovering; slaves.length > 0; slaves = engine.snapshot().recovering) {
    work.checkpoint();
    const longest = pace.longest();
    const began = performance.now();
    const step = await engine.command('resync', { slaves, longest, compare, onlyDiffering, readBack });
    addTo(copied.bytesDiffered, step.slavesDiffered);
    addTo(copied.bytesCopied, step.slavesCopied);
    copied.repairs.push(...step.repairs.slice(0, REPAIRS_LIMIT - copied.repairs.length));
    if (step.readBackDifference !== null) throw readBackDiffers(engine, step.readBackDifference);
    if (step.unreadable !== null) throw errorOfStatus(engine.binding.codes, step.unreadable, engine.names);
    const paid = bytesTotal - step.bytesLeft;
    const bytes = Math.max(0, paid - bytesDone);
    bytesDone = Math.max(bytesDone, paid);
    work.onProgress?.({ step: 'copy', bytesDone, bytesTotal });
    await pace.rest(bytes, performance.now() - began);
  }
  return copied;
}

function atFullSpeed({ binding }: Engine, bytesTotal: number): Pace {
  const fullSpeed = new FullSpeed(binding.limits.resyncBytes, bytesTotal);
  return {
    longest: () => fullSpeed.length,
    rest: async (bytes, tookMs) => fullSpeed.took(bytes, tookMs),
  };
}

function readBackDiffers(engine: Engine, at: { slave: number; position: number }): BlockmirrorError {
  const image = engine.names.images[at.slave];
  return new BlockmirrorError('READ_BACK_DIFFERS', {
    image: image?.name ?? `slave${at.slave}`,
    ...(image === undefined || image.path === '' ? {} : { path: image.path }),
    position: at.position,
  });
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

/** The log lets go of what was paid, and remembers how it went. */
export async function endRecovery(
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
  await work.engine.command('endRecovery', summary);
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
