/**
 * How fast a resync goes: how much a step copies, and how long to wait after it. Policy as data. Pure.
 *
 * Without a rate it makes way for the application: while requests come, its steps are small, and it rests as long as it
 * worked; a mirror that is idle is used in full.
 *
 * A step ends with a flush, and with nothing under way: on a quick device a small step is mostly that. On a slow one a large
 * step is a long time in which nobody can be told anything, or stop it. So they grow as long as they are short in time.
 */

const MIB = 1024 * 1024;

/** While requests come: how long a step is, and how long it rests for the time that it took. */
const BUSY = { longest: MIB, restPerWork: 1 };

/** Of a step that nobody waits beside: as often as a person wants to be told. */
const TARGET_MS = 200;
const LEAST_STEP = MIB;
/** A step takes so many times as much as the last one, at most. */
const GROWTH = 2;

/** Steps at full speed. */
export class FullSpeed {
  private next: number;

  /**
   * @param most bytes that the engine takes in a step (limits.resyncBytes)
   * @param bytesTotal of the work, as far as it is known: a short one still has moments to stop at
   */
  constructor(
    private readonly most: number,
    bytesTotal = LEAST_STEP,
  ) {
    this.next = this.within(bytesTotal / 8);
  }

  /** Bytes of the next step. */
  get length(): number {
    return this.next;
  }

  /** What the last step moved, and how long it took. */
  took(bytes: number, ms: number): void {
    if (bytes > 0) this.next = this.within(bytes * Math.min(GROWTH, TARGET_MS / Math.max(ms, 1)));
  }

  private within(bytes: number): number {
    return Math.min(this.most, Math.max(LEAST_STEP, Math.floor(bytes)));
  }
}

/** With a rate: steps in a second, as long as the engine's limits allow. */
const STEPS_PER_SECOND = 8;
const SMALLEST_STEP = 64 * 1024;
const LONGEST_STEP = 16 * MIB;

/** Bytes of a step that makes way. @param rate bytes a second; null: for requests that come */
export function stepLength(rate: number | null): number {
  if (rate === null) return BUSY.longest;
  return Math.min(LONGEST_STEP, Math.max(SMALLEST_STEP, Math.floor(rate / STEPS_PER_SECOND)));
}

/** Milliseconds to wait after a step that moved so many bytes in so long. */
export function restAfter(rate: number | null, busy: boolean, step: { bytes: number; tookMs: number }): number {
  if (rate === null) return busy ? step.tookMs * BUSY.restPerWork : 0;
  return Math.max(0, (step.bytes / rate) * 1000 - step.tookMs);
}
