/**
 * Comparing the slaves with the master, all of it.
 *
 * Invariants:
 *  - I10: what was not compared is never called equal. A slave that failed before is compared on request alone; one that
 *    fails meanwhile missed writes, so that it counts as not compared, and what was found of it is dropped.
 *  - What differs outside of live intents is in the log before the report is given, and from the first find on: a verify
 *    that is stopped forgets nothing. Only one that went over the whole mirror clears what was remembered.
 *  - Writes nothing to an image, unless it is asked to repair: then what it finds is owed, durably, before the engine answers
 *    (native/core/session/session_maintenance.cc), and the resync of all others copies it: at once for the first ROUNDS finds,
 *    at the end for the rest, since each return of a slave is a generation of the mirror.
 */
import type { NativeCompareResult, NativeImageState, NativeOutcome, NativeSuperblock } from '../base/binding';
import { BlockmirrorError, errorOfStatus } from '../base/errors';
import { type Batch, batchesOf, cutExtents, totalLength } from '../base/pieces';
import { type LongWork, addTo, forEachBatch, sum } from './recovery';
import { restAfter, stepLength } from './resync_pace';
import { restFor } from './resync';
import { command } from '../base/remedies';
import { shownImageState } from '../look/status';
import type {
  Extent,
  FoundElsewhere,
  Problem,
  Repair,
  VerifyDifference,
  VerifyReport,
  VerifySlave,
} from '../base/types';

/** Differences named one by one in a report; all are counted. */
const DIFFERENCES_LIMIT = 1000;

export interface VerificationContext extends LongWork {
  log: string;
  superblock: NativeSuperblock;
  paths: readonly string[];
  foundElsewhere: readonly FoundElsewhere[];
  /** Merged live intents. */
  extents: readonly Extent[];
  /** Not clean and not recovered yet: differences inside the live intents are to be expected. */
  recovering: boolean;
  /** Slaves that receive no writes are compared too, where their devices are attached. */
  all: boolean;
  /** By name: why a slave that was asked for could not be attached. */
  unattached: ReadonlyMap<string, Problem>;
  /** Bytes a second; null: as fast as it goes. */
  rate: number | null;
  /** Where it begins. */
  position: number;
  /** null: nothing is to be repaired. */
  repair: Repairing | null;
}

export interface Repairing {
  /** Copies what these slaves owe; resolves when that has ended, however it did. */
  pay: (names: readonly string[]) => Promise<unknown>;
  onRepaired: (repair: Repair) => void;
}

/** Of one verify. */
const ROUNDS = 16;

type NativeDifference = NativeCompareResult['differences'][number];

/** What the steps found so far, by image: slaves alone. */
class Tally {
  readonly bytesCompared: number[];
  readonly bytesDiffered: number[];
  readonly bytesExpected: number[];
  readonly bytesShared: number[];
  /** A repair has them in the debt, or has paid them. */
  readonly bytesOwed: number[];
  /** The first read that failed. */
  readonly unread: (NativeOutcome | null)[];
  /** Where the first step began in which it was not compared all over. */
  readonly shortFrom: (number | null)[];
  readonly differences: NativeDifference[] = [];

  constructor(images: number) {
    const zeros = (): number[] => Array.from({ length: images }, () => 0);
    this.bytesCompared = zeros();
    this.bytesDiffered = zeros();
    this.bytesExpected = zeros();
    this.bytesShared = zeros();
    this.bytesOwed = zeros();
    this.unread = zeros().map(() => null);
    this.shortFrom = zeros().map(() => null);
  }

  add(batch: Batch, result: NativeCompareResult): void {
    addTo(this.bytesCompared, result.bytesCompared);
    addTo(this.bytesDiffered, result.bytesDiffered);
    addTo(this.bytesExpected, result.bytesExpected);
    addTo(this.bytesShared, result.bytesShared);
    addTo(this.bytesOwed, result.bytesOwed);
    for (const [slave, bytes] of result.bytesCompared.entries()) {
      if (slave === 0) continue;
      this.unread[slave] ??= result.unread[slave] ?? null;
      if (bytes < batch.bytes) this.stopAt(slave, batch.first.position);
    }
    this.differences.push(...result.differences.slice(0, DIFFERENCES_LIMIT - this.differences.length));
  }

  stopAt(slave: number, position: number): void {
    this.shortFrom[slave] = Math.min(this.shortFrom[slave] ?? Infinity, position);
  }

  /** Whether anything differs that nobody is going to mend. */
  get leavesAny(): boolean {
    return sum(this.bytesDiffered) > sum(this.bytesExpected) + sum(this.bytesOwed);
  }

  /** What recovery is not going to mend. */
  get toRemember(): { bytesCompared: number[]; bytesDiffered: number[]; bytesRepaired: number[] } {
    return {
      bytesCompared: this.bytesCompared,
      bytesRepaired: this.bytesOwed,
      bytesDiffered: this.bytesDiffered.map((bytes, slave) => bytes - (this.bytesExpected[slave] ?? 0)),
    };
  }
}

/** How far it is: batches end in any order, and only what has no gap before it counts. */
class Frontier {
  private readonly underWay = new Set<number>();
  private end: number;
  private bytesDone = 0;

  constructor(
    private readonly context: VerificationContext,
    private readonly extents: readonly Extent[],
  ) {
    this.end = extents[0]?.position ?? context.superblock.size;
    this.tell();
  }

  begin({ first }: Batch): void {
    this.underWay.add(first.position);
  }

  finish({ first, bytes }: Batch): void {
    this.underWay.delete(first.position);
    this.end = Math.max(this.end, first.position + bytes);
    this.bytesDone += bytes;
    this.tell();
  }

  private tell(): void {
    this.context.onProgress?.({
      step: 'compare',
      bytesDone: this.bytesDone,
      bytesTotal: totalLength(this.extents),
      position: Math.min(this.end, ...this.underWay),
    });
  }
}

/** Pays what was found, one round after the other. */
class Repairs {
  private turn: Promise<void> = Promise.resolve();
  private rounds = 0;
  private found: NativeDifference[] = [];

  constructor(
    private readonly context: VerificationContext,
    private readonly repairing: Repairing,
  ) {}

  /** Of one step. */
  add(result: NativeCompareResult): Promise<void> {
    if (sum(result.bytesOwed) === 0) return Promise.resolve();
    const owed = result.differences.filter(({ slave, expected }) => !expected && (result.bytesOwed[slave] ?? 0) > 0);
    this.found.push(...owed.slice(0, DIFFERENCES_LIMIT - this.found.length));
    if (this.rounds >= ROUNDS) return Promise.resolve();
    this.rounds += 1;
    return this.pay();
  }

  /** All that receive writes and owe something, whoever found it. */
  pay(): Promise<void> {
    this.turn = this.turn.then(() => this.payInTurn());
    return this.turn;
  }

  private async payInTurn(): Promise<void> {
    const { superblock } = this.context;
    const owing = imageStates(this.context).flatMap((state, slave) => (state === 'synchronizing' ? [slave] : []));
    const found = this.found;
    this.found = [];
    const nameOf = (image: number): string => superblock.images[image]?.name ?? '';
    if (owing.length > 0) await this.repairing.pay(owing.map(nameOf));
    const now = imageStates(this.context);
    for (const { slave, position, length } of found) {
      if (!isInSync(now[slave])) continue;
      this.repairing.onRepaired({ image: nameOf(slave), position, length, from: nameOf(0) });
    }
  }
}

/** In steps that fit the rate, each followed by the rest that it asks for. */
async function forEachStep(
  context: VerificationContext,
  extents: readonly Extent[],
  each: (batch: Batch) => Promise<void>,
): Promise<void> {
  const { rate, checkpoint } = context;
  if (rate === null) return forEachBatch(context, extents, each);
  const { copyLength, copyExtents, copyBytes } = context.engine.binding.limits;
  const bytes = Math.min(copyBytes, stepLength(rate));
  const pieces = cutExtents(extents, Math.min(copyLength, bytes));
  for (const batch of batchesOf(pieces, { extents: copyExtents, bytes })) {
    checkpoint();
    const began = performance.now();
    await each(batch);
    await restFor(restAfter(rate, false, { bytes: batch.bytes, tookMs: performance.now() - began }), checkpoint);
  }
}

export async function runVerification(context: VerificationContext): Promise<VerifyReport> {
  const started = performance.now();
  const { engine, superblock, recovering, all } = context;
  const before = imageStates(context);
  const tally = new Tally(superblock.images.length);
  const extents = extentsOf(context);
  const position = extents[0]?.position ?? superblock.size;
  const asked = totalLength(extents);
  const frontier = new Frontier(context, extents);
  const repairs = context.repair === null ? null : new Repairs(context, context.repair);
  let remembered = false;
  const remember = async (): Promise<void> => {
    remembered = true;
    await engine.command('recordVerify', tally.toRemember);
  };
  // What an earlier one that was stopped left owed would be found again.
  await repairs?.pay();
  try {
    await forEachStep(context, extents, async (batch) => {
      frontier.begin(batch);
      const found = await engine.command('compare', { extents: batch.extents, all, repair: repairs !== null });
      tally.add(batch, found);
      for (const [slave, state] of imageStates(context).entries()) {
        if (receives(before[slave]) && !receives(state)) tally.stopAt(slave, batch.first.position);
      }
      if (!remembered && tally.leavesAny) await remember();
      await repairs?.add(found);
      frontier.finish(batch);
    });
    await repairs?.pay();
  } catch (error) {
    // It ends with the error that stopped it; how much differed until then is worth an attempt.
    if (remembered) await remember().catch(() => undefined);
    throw error;
  }
  await remember();
  const { images } = engine.snapshot();
  const failedMeanwhile = images.map(({ state }, index) => receives(before[index]) && !receives(state));
  const slaves = superblock.images.slice(1).map((image, at): VerifySlave => {
    const slave = at + 1;
    const seen = images[slave] ?? { ...image, error: image.error };
    const bytesCompared =
      failedMeanwhile[slave] === true
        ? Math.max(0, (tally.shortFrom[slave] ?? 0) - position)
        : (tally.bytesCompared[slave] ?? 0);
    const whole = failedMeanwhile[slave] !== true && bytesCompared === superblock.size;
    const counts = bytesCompared > 0 && failedMeanwhile[slave] !== true;
    const bytesDiffered = counts ? (tally.bytesDiffered[slave] ?? 0) : null;
    // What it still owes is not repaired yet.
    const repaired = isInSync(seen.state) ? (tally.bytesOwed[slave] ?? 0) : 0;
    return {
      name: image.name,
      path: context.paths[slave] || image.path,
      state: shownImageState(seen.state, seen.bytesDiffered, whole && bytesDiffered === repaired && !recovering),
      compared: whole,
      bytesCompared,
      bytesDiffered,
      bytesExpected: counts ? (tally.bytesExpected[slave] ?? 0) : null,
      bytesShared: counts ? (tally.bytesShared[slave] ?? 0) : null,
      bytesRepaired: counts ? repaired : null,
      error:
        bytesCompared === asked && failedMeanwhile[slave] !== true
          ? null
          : whyNot(context, slave, tally, failedMeanwhile[slave] === true, seen),
    };
  });
  const result = resultOf(slaves);
  return {
    uuid: superblock.mirrorUuid,
    log: context.log,
    foundElsewhere: [...context.foundElsewhere],
    result,
    identical: result === 'identical',
    clean: !recovering,
    position,
    bytesCompared: Math.max(0, ...slaves.map((slave) => slave.bytesCompared)),
    bytesRepaired: sum(slaves.map(({ bytesRepaired }) => bytesRepaired ?? 0)),
    slaves,
    differences: differencesOf(
      tally.differences.filter(({ slave }) => failedMeanwhile[slave] !== true),
      superblock,
      failedMeanwhile,
    ),
    extents: recovering ? [...context.extents] : [],
    durationMs: Math.round(performance.now() - started),
  };
}

/** @throws OUT_OF_RANGE */
function extentsOf({ superblock, engine, position: asked }: VerificationContext): Extent[] {
  const { size } = superblock;
  if (asked > size) {
    const detail = `a verify from byte ${asked}, of a mirror of ${size} bytes`;
    throw new BlockmirrorError('OUT_OF_RANGE', { position: asked, detail });
  }
  if (asked === size) return [];
  const { copyLength } = engine.binding.limits;
  const position = Math.floor(asked / copyLength) * copyLength;
  return [{ position, length: size - position }];
}

function imageStates(context: VerificationContext): NativeImageState[] {
  return context.engine.snapshot().images.map(({ state }) => state);
}

/** Every write of the mirror reaches it. */
function receives(state: NativeImageState | undefined): boolean {
  return state === 'in-sync' || state === 'assumed' || state === 'synchronizing';
}

function isInSync(state: NativeImageState | undefined): boolean {
  return state === 'in-sync' || state === 'assumed';
}

function resultOf(slaves: readonly VerifySlave[]): VerifyReport['result'] {
  const leavesSome = ({ bytesDiffered, bytesRepaired }: VerifySlave): boolean =>
    (bytesDiffered ?? 0) > (bytesRepaired ?? 0);
  if (slaves.some(leavesSome)) return 'differs';
  if (!slaves.every(({ compared }) => compared)) return 'incomplete';
  return slaves.some(({ bytesDiffered }) => (bytesDiffered ?? 0) > 0) ? 'repaired' : 'identical';
}

function whyNot(
  context: VerificationContext,
  slave: number,
  tally: Tally,
  failedMeanwhile: boolean,
  seen: { state: NativeImageState; error: number },
): Problem {
  const { engine, superblock, paths, all, unattached } = context;
  const image = superblock.images[slave];
  const name = image?.name ?? `slave${slave}`;
  const path = paths[slave] || (image?.path ?? '');
  const unread = tally.unread[slave];
  if (failedMeanwhile) {
    return new BlockmirrorError('SLAVE_FAILED', {
      image: name,
      path,
      position: tally.shortFrom[slave] ?? 0,
      detail: 'it failed while it was being compared, and was not compared from there on',
    }).toJSON();
  }
  if (unread !== undefined && unread !== null)
    return errorOfStatus(engine.binding.codes, unread, engine.names).toJSON();
  const problem = all ? unattached.get(name) : undefined;
  if (problem !== undefined) return problem;
  const remedy = all
    ? undefined
    : `\`${command('verify', context.log, {}, '--all')}\`, of the closed mirror, compares it too`;
  return new BlockmirrorError('SLAVE_FAILED', {
    image: name,
    path,
    detail: `it is ${seen.state}, and was not compared`,
    ...(remedy === undefined ? {} : { remedy }),
  }).toJSON();
}

function differencesOf(
  found: readonly NativeDifference[],
  superblock: NativeSuperblock,
  dropped: readonly boolean[],
): VerifyDifference[] {
  const nameOf = (slave: number): string => superblock.images[slave]?.name ?? `slave${slave}`;
  return found
    .map(({ slave, position, length, expected, agreeing, alone }) => ({
      slave: nameOf(slave),
      position,
      length,
      expected,
      agreesWith: dropped.flatMap((isDropped, other) =>
        !isDropped && ((agreeing >> other) & 1) === 1 ? [nameOf(other)] : [],
      ),
      standsAlone: alone === null ? null : (superblock.images[alone]?.name ?? null),
    }))
    .sort((one, other) => one.position - other.position);
}
