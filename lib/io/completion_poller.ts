/**
 * While requests are under way, looks for their completions from turn to turn of the event loop, instead of sleeping
 * until the engine wakes it: being woken takes about as long as a fast device takes for the request.
 *
 * Invariants:
 *  - It looks only while something is pending, and gives up when nothing came for `WINDOW_MS`; then the engine wakes the
 *    loop as it does without polling. Nothing depends on polling but time.
 *  - The event loop goes on: every look is a turn of its own (setImmediate), timers and sockets have theirs.
 *  - With more than `FEW` requests pending, completions come in batches that share the cost of one wake-up: not polled.
 *  - What does not pay stops: after a window in which nothing came, the next 1, 3, up to `MOST_SKIPPED` bursts of requests
 *    are left to the engine's wake-up (the same rule as native/devices/polling_window.h).
 *  - Where another process wants the processor it stops for longer: after one offer of the processor that took over
 *    `LONGEST_OFFER_NS` and brought nothing, or over `SLICE_NS`, the next `SKIPPED_WHEN_CROWDED` bursts are left (the same
 *    rule again).
 */
import { setImmediate } from 'node:timers';

const FEW = 8;
const WINDOW_MS = 0.4;
const MOST_SKIPPED = 7;
const LONGEST_OFFER_NS = 50_000;
const SLICE_NS = 500_000;
const SKIPPED_WHEN_CROWDED = 256;

export interface PolledEngine {
  readonly pending: number;
  /**
   * Delivers what is there. `more`: the engine need not wake the loop, it is going to be asked again.
   * @returns nanoseconds for which this thread offered its processor to others
   */
  poll(more: boolean): number;
}

export class CompletionPoller {
  private polling = false;
  private deadline = 0;
  private cameInWindow = false;
  private cameInLook = false;
  private skippedLast = 0;
  private toSkip = 0;

  constructor(private readonly engine: PolledEngine) {}

  /** After a request was submitted. */
  submitted(): void {
    if (this.polling || this.engine.pending > FEW) return;
    if (this.toSkip > 0) {
      this.toSkip -= 1;
      return;
    }
    this.polling = true;
    this.cameInWindow = false;
    this.deadline = performance.now() + WINDOW_MS;
    setImmediate(this.look);
  }

  /** When completions were delivered, by polling or not. */
  delivered(): void {
    if (!this.polling) return;
    this.cameInLook = true;
    this.cameInWindow = true;
    this.deadline = performance.now() + WINDOW_MS;
  }

  private readonly look = (): void => {
    const { engine } = this;
    this.cameInLook = false;
    const offered = engine.poll(true);
    const crowded = offered > (this.cameInLook ? SLICE_NS : LONGEST_OFFER_NS);
    const few = engine.pending <= FEW;
    if (engine.pending > 0 && few && !crowded && performance.now() < this.deadline) {
      setImmediate(this.look);
      return;
    }
    this.polling = false;
    this.skippedLast = this.cameInWindow || !few ? 0 : Math.min(2 * this.skippedLast + 1, MOST_SKIPPED);
    this.toSkip = crowded ? SKIPPED_WHEN_CROWDED : this.skippedLast;
    engine.poll(false);
  };
}
