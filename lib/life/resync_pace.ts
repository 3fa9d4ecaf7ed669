/**
 * How fast a resync goes: how much a step copies, and how long to wait after it. Policy as data. Pure.
 *
 * Without a rate it makes way for the application: while requests come, its steps are small, and it rests as long as it
 * worked; a mirror that is idle is used in full.
 */

const MIB = 1024 * 1024;

export const PACE = {
  /** Nothing was asked of the mirror since the last step. */
  idle: { longest: 16 * MIB, restPerWork: 0 },
  /** Requests come. */
  busy: { longest: MIB, restPerWork: 1 },
} as const;

/** With a rate: steps in a second, as long as the engine's limits allow. */
const STEPS_PER_SECOND = 8;
const SMALLEST_STEP = 64 * 1024;

/** Bytes of the next step. @param rate bytes a second; null: automatic */
export function stepLength(rate: number | null, busy: boolean): number {
  if (rate === null) return busy ? PACE.busy.longest : PACE.idle.longest;
  return Math.min(PACE.idle.longest, Math.max(SMALLEST_STEP, Math.floor(rate / STEPS_PER_SECOND)));
}

/** Milliseconds to wait after a step that moved so many bytes in so long. */
export function restAfter(rate: number | null, busy: boolean, step: { bytes: number; tookMs: number }): number {
  if (rate === null) return step.tookMs * (busy ? PACE.busy : PACE.idle).restPerWork;
  return Math.max(0, (step.bytes / rate) * 1000 - step.tookMs);
}
