/**
 * Comparing the slaves with the master, all of it.
 *
 * Invariants:
 *  - I10: what was not compared is never called equal. A slave that failed before is compared on request alone; one that
 *    fails meanwhile missed writes, so that it counts as not compared, and what was found of it is dropped.
 *  - What differs outside of live intents is in the log before the report is given, and from the first find on: a verify
 *    that is stopped forgets nothing. Only one that went over the whole mirror clears what was remembered.
 *  - Writes nothing to an image.
 */
import type { NativeCompareResult, NativeImageState, NativeOutcome, NativeSuperblock } from '../base/binding';
import { BlockmirrorError, errorOfStatus } from '../base/errors';
import type { Batch } from '../base/pieces';
import { type LongWork, addTo, forEachBatch, progressOf, sum } from './recovery';
import { command } from '../base/remedies';
import { shownImageState } from '../look/status';
import type { Extent, FoundElsewhere, Problem, VerifyDifference, VerifyReport, VerifySlave } from '../base/types';

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
}

type NativeDifference = NativeCompareResult['differences'][number];

/** What the steps found so far, by slave. */
class Tally {
  readonly bytesCompared: number[];
  readonly bytesDiffered: number[];
  readonly bytesExpected: number[];
  readonly bytesShared: number[];
  /** The first read that failed. */
  readonly unread: (NativeOutcome | null)[];
  /** Where the first step began in which it was not compared all over. */
  readonly shortFrom: (number | null)[];
  readonly differences: NativeDifference[] = [];

  constructor(slaves: number) {
    const zeros = (): number[] => Array.from({ length: slaves }, () => 0);
    [this.bytesCompared, this.bytesDiffered, this.bytesExpected, this.bytesShared] = [
      zeros(),
      zeros(),
      zeros(),
      zeros(),
    ];
    this.unread = zeros().map(() => null);
    this.shortFrom = zeros().map(() => null);
  }

  add(batch: Batch, result: NativeCompareResult): void {
    addTo(this.bytesCompared, result.bytesCompared);
    addTo(this.bytesDiffered, result.bytesDiffered);
    addTo(this.bytesExpected, result.bytesExpected);
    addTo(this.bytesShared, result.bytesShared);
    for (const [slave, bytes] of result.bytesCompared.entries()) {
      this.unread[slave] ??= result.unread[slave] ?? null;
      if (bytes < batch.bytes) this.stopAt(slave, batch.first.position);
    }
    this.differences.push(...result.differences.slice(0, DIFFERENCES_LIMIT - this.differences.length));
  }

  stopAt(slave: number, position: number): void {
    this.shortFrom[slave] = Math.min(this.shortFrom[slave] ?? Infinity, position);
  }

  /** What recovery is not going to mend. */
  get toRemember(): { bytesCompared: number[]; bytesDiffered: number[] } {
    return {
      bytesCompared: this.bytesCompared,
      bytesDiffered: this.bytesDiffered.map((bytes, slave) => bytes - (this.bytesExpected[slave] ?? 0)),
    };
  }
}

export async function runVerification(context: VerificationContext): Promise<VerifyReport> {
  const started = performance.now();
  const { engine, superblock, recovering, all } = context;
  const before = slaveStates(context);
  const tally = new Tally(superblock.images.length - 1);
  const advance = progressOf(context, 'compare', wholeOf(superblock));
  let remembered = false;
  const remember = async (): Promise<void> => {
    remembered = true;
    await engine.command('recordVerify', tally.toRemember);
  };
  try {
    await forEachBatch(context, wholeOf(superblock), async (batch) => {
      tally.add(batch, await engine.command('compare', { extents: batch.extents, all }));
      for (const [slave, state] of slaveStates(context).entries()) {
        if (receives(before[slave]) && !receives(state)) tally.stopAt(slave, batch.first.position);
      }
      if (!remembered && sum(tally.toRemember.bytesDiffered) > 0) await remember();
      advance(batch.bytes);
    });
  } catch (error) {
    // It ends with the error that stopped it; how much differed until then is worth an attempt.
    if (remembered) await remember().catch(() => undefined);
    throw error;
  }
  await remember();
  const { images } = engine.snapshot();
  const failedMeanwhile = images.slice(1).map(({ state }, slave) => receives(before[slave]) && !receives(state));
  const slaves = superblock.images.slice(1).map((image, slave): VerifySlave => {
    const seen = images[slave + 1] ?? { ...image, error: image.error };
    const bytesCompared =
      failedMeanwhile[slave] === true ? (tally.shortFrom[slave] ?? 0) : (tally.bytesCompared[slave] ?? 0);
    const whole = failedMeanwhile[slave] !== true && bytesCompared === superblock.size;
    const counts = bytesCompared > 0 && failedMeanwhile[slave] !== true;
    const bytesDiffered = counts ? (tally.bytesDiffered[slave] ?? 0) : null;
    return {
      name: image.name,
      path: context.paths[slave + 1] || image.path,
      state: shownImageState(seen.state, seen.bytesDiffered, whole && bytesDiffered === 0 && !recovering),
      compared: whole,
      bytesCompared,
      bytesDiffered,
      bytesExpected: counts ? (tally.bytesExpected[slave] ?? 0) : null,
      bytesShared: counts ? (tally.bytesShared[slave] ?? 0) : null,
      error: whole ? null : whyNot(context, slave, tally, failedMeanwhile[slave] === true, seen),
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
    bytesCompared: Math.max(0, ...slaves.map((slave) => slave.bytesCompared)),
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

function wholeOf(superblock: NativeSuperblock): Extent[] {
  return [{ position: 0, length: superblock.size }];
}

function slaveStates(context: VerificationContext): NativeImageState[] {
  return context.engine
    .snapshot()
    .images.slice(1)
    .map(({ state }) => state);
}

/** Every write of the mirror reaches it. */
function receives(state: NativeImageState | undefined): boolean {
  return state === 'in-sync' || state === 'assumed' || state === 'synchronizing';
}

function resultOf(slaves: readonly VerifySlave[]): VerifyReport['result'] {
  if (slaves.some(({ bytesDiffered }) => bytesDiffered !== null && bytesDiffered > 0)) return 'differs';
  return slaves.every(({ compared }) => compared) ? 'identical' : 'incomplete';
}

function whyNot(
  context: VerificationContext,
  slave: number,
  tally: Tally,
  failedMeanwhile: boolean,
  seen: { state: NativeImageState; error: number },
): Problem {
  const { engine, superblock, paths, all, unattached } = context;
  const image = superblock.images[slave + 1];
  const name = image?.name ?? `slave${slave + 1}`;
  const path = paths[slave + 1] || (image?.path ?? '');
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
  const nameOf = (slave: number): string => superblock.images[slave + 1]?.name ?? `slave${slave + 1}`;
  return found
    .map(({ slave, position, length, expected, agreeing }) => ({
      slave: nameOf(slave),
      position,
      length,
      expected,
      agreesWith: dropped.flatMap((isDropped, other) =>
        !isDropped && ((agreeing >> (other + 1)) & 1) === 1 ? [nameOf(other)] : [],
      ),
    }))
    .sort((one, other) => one.position - other.position);
}
