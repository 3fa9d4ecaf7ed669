/**
 * Notices that an image changed its state, or that the mirror stopped. The engine has no events of its own: completions
 * are the sign to look, and looking costs a snapshot, so under load it is done once per interval.
 */
import type { NativeImageState, NativeRepair, NativeSnapshot } from '../base/binding';
import type { Engine } from './engine';

/** How late, at most, a change is told after the completion that shows it. */
const INTERVAL_MS = 50;
/** How late one that no completion shows: the engine retires, and looks for losses, by itself. */
const UNASKED_MS = 1000;

export interface StateChange {
  /** Of the image, in superblock order. */
  index: number;
  from: NativeImageState;
  to: NativeImageState;
  /** As NativeImageSnapshot has it. */
  cause: string;
}

export class StateWatch {
  private timer: NodeJS.Timeout | null = null;
  private unasked: NodeJS.Timeout | null = null;
  private states: NativeImageState[];
  private inSync: number;
  private stopped = false;
  private repairs: number;
  /** Nobody can listen yet. */
  private held = true;

  /**
   * Tells nothing before begin().
   * @param before the images as they were opened
   * @param onDegraded fewer slaves are in sync than before, or the mirror stopped
   */
  constructor(
    private readonly engine: Engine,
    before: readonly { state: NativeImageState; bytesDiffered: number }[],
    private readonly onChange: (change: StateChange) => void,
    private readonly onDegraded: () => void,
    private readonly onRepaired: (repair: NativeRepair) => void,
  ) {
    const snapshot = engine.snapshot();
    this.states = before.map((image) => image.state);
    this.inSync = inSync(before);
    this.repairs = repairsOf(snapshot);
    engine.afterCompletions = (): void => this.lookSoon();
  }

  /** Tells what the opening itself has changed, and from then on whatever is new. */
  begin(): void {
    this.held = false;
    this.lookNow();
    this.unasked = setInterval(() => this.lookNow(), UNASKED_MS);
    this.unasked.unref();
  }

  /** Tells what completions have shown so far, and looks no more. */
  stop(): void {
    this.engine.afterCompletions = null;
    if (this.timer !== null) clearTimeout(this.timer);
    if (this.unasked !== null) clearInterval(this.unasked);
    this.timer = null;
    this.unasked = null;
    this.held = false;
    this.look();
  }

  private lookSoon(): void {
    if (this.timer !== null) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.look();
    }, INTERVAL_MS);
    this.timer.unref();
  }

  /** Tells what is new at once; for whoever knows that something is. */
  lookNow(): void {
    if (this.engine.afterCompletions !== null) this.look();
  }

  private look(): void {
    if (this.held) return;
    const snapshot = this.engine.snapshot();
    const states = snapshot.images.map((image) => image.state);
    const changes = states.flatMap((to, index): StateChange[] => {
      const from = this.states[index] ?? to;
      return from === to ? [] : [{ index, from, to, cause: snapshot.images[index]?.cause ?? 'none' }];
    });
    const stopped = snapshot.phase === 'stopped';
    const count = inSync(snapshot.images);
    const degraded = count < this.inSync || (stopped && !this.stopped);
    this.states = states;
    this.inSync = count;
    this.stopped = stopped;
    const repairs = repairsOf(snapshot);
    // Of more than the engine remembers only the newest are told; all are counted.
    const told = Math.min(repairs - this.repairs, snapshot.recentRepairs.length);
    const newest = snapshot.recentRepairs.slice(snapshot.recentRepairs.length - told);
    this.repairs = repairs;
    for (const repair of newest) tell(() => this.onRepaired(repair));
    for (const change of changes) tell(() => this.onChange(change));
    if (degraded) tell(() => this.onDegraded());
  }
}

/** What a listener throws is an uncaught exception, as with any emitter, and keeps no other event from being told. */
export function tell(event: () => void): void {
  try {
    event();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

function repairsOf(snapshot: NativeSnapshot): number {
  return snapshot.counters['repairs'] ?? 0;
}

/** One that a verify found different is not. */
function inSync(images: readonly { state: NativeImageState; bytesDiffered: number }[]): number {
  return images.filter(
    ({ state, bytesDiffered }) => (state === 'in-sync' || state === 'assumed') && bytesDiffered === 0,
  ).length;
}
