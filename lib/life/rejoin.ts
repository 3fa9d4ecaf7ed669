/**
 * Automatic rejoin: slaves that went out by a fault are taken back when their devices answer again.
 *
 * Invariants:
 *  - Not those that the operator took out, or whose devices he let go: they wait for resync().
 *  - Tries are bounded: the wait between two doubles up to LONGEST_MS, with jitter, and nothing runs while nobody is out. The
 *    timer keeps no process alive.
 *  - A slave that failed FAILURES times within an hour comes back only by hand (flapping): every failure costs the application
 *    a pause.
 */
import type { NativeImageSnapshot } from '../base/binding';
import { isOut } from '../look/status';

const SHORTEST_MS = 1000;
const LONGEST_MS = 60_000;
const JITTER = 0.2;
export const FAILURES = 5;
const WITHIN_MS = 3_600_000;

export class RejoinWatch {
  private timer: NodeJS.Timeout | null = null;
  private waitMs = SHORTEST_MS;
  private trying = false;
  private stopped = false;
  private readonly failures = new Map<number, number[]>();
  private readonly keptOut = new Set<number>();

  /**
   * @param images as they are now
   * @param takeBack resolves when the resync of those slaves has ended, however it did
   */
  constructor(
    private readonly images: () => readonly NativeImageSnapshot[],
    private readonly takeBack: (slaves: readonly number[]) => Promise<void>,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Something may be out; for whoever has noticed a change. */
  look(): void {
    if (this.stopped || this.trying || this.timer !== null || this.wanted().length === 0) return;
    const wait = this.waitMs * (1 + JITTER * (2 * Math.random() - 1));
    this.timer = setTimeout(() => void this.attempt(), wait);
    this.timer.unref();
  }

  /** The slave went out by an error. */
  noteFailure(index: number): void {
    const since = this.now() - WITHIN_MS;
    const recent = (this.failures.get(index) ?? []).filter((at) => at > since);
    this.failures.set(index, [...recent, this.now()].slice(-FAILURES));
    this.waitMs = SHORTEST_MS;
  }

  /** It failed again and again, and comes back only by hand. */
  isFlapping(index: number): boolean {
    const since = this.now() - WITHIN_MS;
    return (this.failures.get(index) ?? []).filter((at) => at > since).length >= FAILURES;
  }

  /** The operator let its device go: it comes back only by hand. */
  keepOut(index: number): void {
    this.keptOut.add(index);
  }

  /** Somebody took it back by hand: it is trusted again. */
  forgive(index: number): void {
    this.keptOut.delete(index);
    this.failures.delete(index);
  }

  stop(): void {
    this.stopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private wanted(): number[] {
    return this.images().flatMap((image, index) => (index > 0 && this.isWanted(image, index) ? [index] : []));
  }

  private isWanted({ state, cause }: NativeImageSnapshot, index: number): boolean {
    if (this.isFlapping(index) || this.keptOut.has(index)) return false;
    return state === 'synchronizing' || (isOut(state) && cause !== 'operator-request');
  }

  private async attempt(): Promise<void> {
    this.timer = null;
    this.trying = true;
    try {
      await this.takeBack(this.wanted());
    } catch {
      // Of the mirror as a whole, which says so itself; it is tried again.
    }
    this.trying = false;
    this.waitMs = this.wanted().length === 0 ? SHORTEST_MS : Math.min(LONGEST_MS, 2 * this.waitMs);
    this.look();
  }
}
