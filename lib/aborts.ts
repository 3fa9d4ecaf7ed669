/**
 * Abort signals of pending requests: one listener per signal and mirror, however many requests share it (the eleventh
 * listener on one signal prints a warning). Nothing here throws, whatever a signal does.
 */
import { listen, unlisten } from './signals';

export class AbortRegistry {
  private readonly watches = new Map<AbortSignal, AbortWatch>();

  /** @param cancel called for each slot that is still watched when the signal aborts */
  constructor(private readonly cancel: (slot: number) => void) {}

  watch(signal: AbortSignal, slot: number): void {
    let watch = this.watches.get(signal);
    if (watch === undefined) {
      watch = new AbortWatch(signal, this.cancel);
      this.watches.set(signal, watch);
    }
    watch.slots.add(slot);
    // A signal that was tampered with aborts nothing: the request ends as it ends.
    if (!watch.begin()) this.unwatch(signal, slot);
  }

  unwatch(signal: AbortSignal, slot: number): void {
    const watch = this.watches.get(signal);
    if (watch === undefined) return;
    watch.slots.delete(slot);
    if (watch.slots.size > 0) return;
    // First forgotten: what the signal runs now may come back here.
    this.watches.delete(signal);
    watch.stop();
  }

  get size(): number {
    return this.watches.size;
  }
}

class AbortWatch {
  readonly slots = new Set<number>();
  private begun = false;
  private readonly listener = (): void => {
    for (const slot of this.slots) this.cancel(slot);
  };

  constructor(
    private readonly signal: AbortSignal,
    private readonly cancel: (slot: number) => void,
  ) {}

  begin(): boolean {
    if (!this.begun) this.begun = listen(this.signal, this.listener);
    return this.begun;
  }

  stop(): void {
    unlisten(this.signal, this.listener);
  }
}
