/**
 * Resync: slaves that are out are taken back, and what they owe is copied, in bounded steps, while requests go on. The engine
 * copies, flushes and pays (native/core/mirror/resync.h); which slaves, how fast, and what to tell is decided here.
 *
 * Invariants:
 *  - What keeps one slave out keeps no other out: it is told of that slave, and the mirror goes on.
 *  - It ends: when nothing is left, or when a whole round over what is owed copied nothing.
 *  - Stopped between two steps it leaves the slaves synchronizing, and the next resync goes on from there.
 */
import type { NativeImageSnapshot, NativeResyncResult, NativeSuperblock } from '../base/binding';
import { BlockmirrorError, isBlockmirrorError } from '../base/errors';
import type { Engine } from '../io/engine';
import type { LongWork, Pace } from './recovery';
import { FullSpeed, restAfter, stepLength } from './resync_pace';
import { failureOfSlave, isOut, shownImageState } from '../look/status';
import { type MirrorFacts, command } from '../base/remedies';
import { ResyncTelling } from './resync_telling';
import type { FoundElsewhere, Problem, ResyncEvent, ResyncReport, ResyncSlave } from '../base/types';

export interface ResyncContext extends LongWork {
  log: string;
  superblock: NativeSuperblock;
  mirror: MirrorFacts;
  /** Empty for a slave that is not attached. */
  paths: readonly string[];
  foundElsewhere: readonly FoundElsewhere[];
  /** Opens the device of that slave, anew where it has one. @throws why that cannot be */
  attach: (index: number) => Promise<void>;
  /** null: all that are not in sync. */
  names: readonly string[] | null;
  /** Bytes a second, asked for before each step; null: automatic. */
  rate: () => number | null;
  full: boolean;
  /** A slave is read before it is written, and only what differs is written. */
  compare: boolean;
  isPaused: () => boolean;
  /** After each change of a slave's state. */
  onChange: () => void;
  onTold: (event: ResyncEvent) => void;
}

/** A wait is looked at this often: whether to stop, to pause, or to go on. */
const LOOK_MS = 50;
/** Steps that copy nothing, and could read all, before it is taken to be stuck. */
const IDLE_STEPS = 3;

/** @throws INVALID_OPTION for names that are no slaves of the mirror */
export function chooseSlaves(superblock: NativeSuperblock, names: readonly string[] | null): number[] | null {
  if (names === null) return null;
  const slaves = superblock.images.slice(1).map(({ name }) => name);
  const unknown = names.find((name) => !slaves.includes(name));
  if (unknown === undefined) return [...new Set(names.map((name) => slaves.indexOf(name) + 1))];
  throw new BlockmirrorError('INVALID_OPTION', {
    detail: `'${unknown}' is no slave of this mirror`,
    remedy: `Its slaves are ${slaves.join(', ')}`,
  });
}

export async function runResync(context: ResyncContext): Promise<ResyncReport> {
  const started = performance.now();
  const chosen = chooseSlaves(context.superblock, context.names) ?? notInSync(context);
  const work = new Resync(context, chosen);
  context.checkpoint();
  await work.readDebts();
  try {
    await work.takeBack();
    await work.copy();
  } catch (error) {
    work.told.end('stopped');
    throw error;
  }
  const report = work.report(Math.round(performance.now() - started));
  work.told.end(report.inSync ? 'in-sync' : 'not-in-sync');
  return report;
}

function notInSync({ engine }: ResyncContext): number[] {
  const { images } = engine.snapshot();
  return images.flatMap(({ state }, index) =>
    index > 0 && (isOut(state) || state === 'synchronizing') ? [index] : [],
  );
}

class Resync {
  private readonly refused = new Map<number, Problem>();
  private readonly paid = new Map<number, number>();
  private readonly copied = new Map<number, number>();
  private readonly differed = new Map<number, number>();
  readonly told: ResyncTelling;
  private unreadable = 0;

  constructor(
    private readonly context: ResyncContext,
    private readonly chosen: readonly number[],
  ) {
    this.told = new ResyncTelling(
      chosen.map((index) => this.nameOf(index)),
      context.onTold,
    );
  }

  /** What each owes, so that it can be told how much was paid: of one that was cut off nobody has read the map. */
  async readDebts(): Promise<void> {
    if (this.chosen.some((index) => this.seen(index).bytesOwed === null)) {
      await this.context.engine.command('readDebts', {});
    }
  }

  /** One after the other: each waits until the writes that did not reach the slave have landed. */
  async takeBack(): Promise<void> {
    const { checkpoint, onChange, full } = this.context;
    for (const index of this.chosen) {
      checkpoint();
      if (!isOut(this.seen(index).state)) continue;
      try {
        await this.rejoin(index, full);
      } catch (error) {
        // Of the slave, and of nobody else: the log or the master ends it all.
        if (!isBlockmirrorError(error) || error.image !== this.nameOf(index)) throw error;
        this.refused.set(index, error.toJSON());
      }
      onChange();
    }
  }

  /**
   * A device that went away and came back is another one to the kernel: what is held of it answers no more, or refuses writes
   * for ever. Where it erred it is opened anew, and found by its label wherever it is now.
   */
  private async rejoin(index: number, full: boolean): Promise<void> {
    const { engine, attach, paths } = this.context;
    const isHeld = (paths[index] ?? '') !== '';
    if (isHeld && this.seen(index).cause === 'operator-request') {
      try {
        await engine.command('rejoin', { image: index, full });
        return;
      } catch (error) {
        if (!isBlockmirrorError(error) || error.image !== this.nameOf(index)) throw error;
      }
    }
    await attach(index);
    await engine.command('rejoin', { image: index, full });
  }

  async copy(): Promise<void> {
    const { engine, checkpoint, onChange, compare } = this.context;
    const total = this.owed().reduce((sum, bytes) => sum + bytes, 0);
    const advance = this.progress(total);
    const fullSpeed = new FullSpeed(engine.binding.limits.resyncBytes, total);
    let seen = engine.requestsTaken;
    let idleSteps = 0;
    let unread = 0;
    while (this.resyncing().length > 0) {
      await this.whilePaused();
      checkpoint();
      const busy = engine.requestsTaken !== seen;
      seen = engine.requestsTaken;
      const before = this.owed();
      const began = performance.now();
      const slaves = this.resyncing();
      const rate = this.context.rate();
      const longest = rate === null && !busy ? fullSpeed.length : stepLength(rate);
      const step = await engine.command('resync', {
        ...{ slaves, longest, compare, readBack: false },
        onlyDiffering: compare,
      });
      const tookMs = performance.now() - began;
      const paid = this.count(before, step);
      // Of one that compares, mostly more than it wrote.
      const bytes = Math.max(step.bytesCopied, paid);
      if (longest === fullSpeed.length) fullSpeed.took(bytes, tookMs);
      onChange();
      advance(bytes);
      if (step.bytesLeft === 0) break;
      const moved = bytes > 0 || step.inSync !== 0;
      idleSteps = moved || step.bytesUnreadable > 0 ? 0 : idleSteps + 1;
      unread = moved ? 0 : unread + step.bytesUnreadable;
      if (unread >= step.bytesLeft || idleSteps >= IDLE_STEPS) break;
      await this.rest(restAfter(rate, busy, { bytes: bytes + step.bytesUnreadable, tookMs }));
    }
    this.unreadable = unread;
  }

  report(durationMs: number): ResyncReport {
    const { superblock, log, foundElsewhere } = this.context;
    const slaves = this.chosen.map((index) => this.slaveReport(index));
    return {
      uuid: superblock.mirrorUuid,
      log,
      foundElsewhere: [...foundElsewhere],
      inSync: slaves.every(({ error }) => error === null),
      bytesCopied: slaves.reduce((sum, { bytesCopied }) => sum + bytesCopied, 0),
      bytesUnreadable: this.unreadable,
      slaves,
      durationMs,
    };
  }

  private slaveReport(index: number): ResyncSlave {
    const { engine, compare } = this.context;
    const { state, bytesDiffered, bytesOwed } = this.seen(index);
    return {
      name: this.nameOf(index),
      path: this.pathOf(index),
      state: shownImageState(state, bytesDiffered, engine.pendingWrites === 0),
      bytesCopied: (compare ? this.copied : this.paid).get(index) ?? 0,
      bytesCompared: compare ? (this.paid.get(index) ?? 0) : null,
      bytesDiffered: compare ? (this.differed.get(index) ?? 0) : null,
      bytesLeft: bytesOwed,
      error: this.whyNotInSync(index),
    };
  }

  private whyNotInSync(index: number): Problem | null {
    const refused = this.refused.get(index);
    if (refused !== undefined) return refused;
    const seen = this.seen(index);
    if (isOut(seen.state)) return failureOfSlave(this.context.mirror, index, this.pathOf(index), seen);
    if (seen.state !== 'synchronizing') return null;
    const { superblock, paths, log } = this.context;
    const [master] = superblock.images;
    return new BlockmirrorError('READ_FAILED', {
      image: master?.name ?? 'master',
      path: paths[0] ?? '',
      detail: `${seen.bytesOwed ?? 0} bytes could not be read from the master, and are still owed`,
      remedy: `Write those blocks anew, or mend the master; \`${command('resync', log)}\` goes on from there`,
    }).toJSON();
  }

  /** What each slave that is being resynced was paid in the step, as its debt says; of all together. */
  private count(before: readonly number[], step: NativeResyncResult): number {
    let all = 0;
    for (const [at, bytes] of this.owed().entries()) {
      const index = this.chosen[at] ?? 0;
      const paid = Math.max(0, (before[at] ?? 0) - bytes);
      all += paid;
      add(this.paid, index, paid);
      add(this.copied, index, step.slavesCopied[index] ?? 0);
      add(this.differed, index, step.slavesDiffered[index] ?? 0);
    }
    return all;
  }

  private owed(): number[] {
    return this.chosen.map((index) => (this.refused.has(index) ? 0 : (this.seen(index).bytesOwed ?? 0)));
  }

  private resyncing(): number[] {
    return this.chosen.filter((index) => this.seen(index).state === 'synchronizing');
  }

  private progress(bytesTotal: number): (bytes: number) => void {
    let bytesDone = 0;
    const tell = (): void => {
      if (bytesTotal === 0) return;
      const done = Math.min(bytesDone, bytesTotal);
      this.context.onProgress?.({ step: 'resync', bytesDone: done, bytesTotal });
      this.told.progress(done, bytesTotal);
    };
    tell();
    return (bytes) => {
      bytesDone += bytes;
      tell();
    };
  }

  private async whilePaused(): Promise<void> {
    while (this.context.isPaused()) {
      this.context.checkpoint();
      await wait(LOOK_MS);
    }
  }

  private rest(ms: number): Promise<void> {
    return restFor(ms, this.context.checkpoint);
  }

  private seen(index: number): NativeImageSnapshot {
    return this.context.engine.snapshot().images[index] as NativeImageSnapshot;
  }
  private nameOf(index: number): string {
    return this.context.superblock.images[index]?.name ?? '';
  }
  private pathOf(index: number): string {
    return this.context.paths[index] || (this.context.mirror.images[index]?.path ?? '');
  }
}

function add(sums: Map<number, number>, index: number, bytes: number): void {
  sums.set(index, (sums.get(index) ?? 0) + bytes);
}

/**
 * Of a recovery beside requests.
 * @param rate bytes a second; null: it makes way for the application, and uses an idle mirror in full
 */
export function paceBeside(engine: Engine, checkpoint: () => void, rate: () => number | null): Pace {
  const fullSpeed = new FullSpeed(engine.binding.limits.resyncBytes);
  let seen = engine.requestsTaken;
  let busy = false;
  return {
    longest: () => {
      busy = engine.requestsTaken !== seen;
      seen = engine.requestsTaken;
      return rate() === null && !busy ? fullSpeed.length : stepLength(rate());
    },
    rest: (bytes, tookMs) => {
      if (rate() === null && !busy) fullSpeed.took(bytes, tookMs);
      return restFor(restAfter(rate(), busy, { bytes, tookMs }), checkpoint);
    },
  };
}

export async function restFor(ms: number, checkpoint: () => void): Promise<void> {
  const until = performance.now() + ms;
  for (let left = ms; left > 0; left = until - performance.now()) {
    checkpoint();
    await wait(Math.min(left, LOOK_MS));
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
