/**
 * Abort signals of pending requests: one listener per signal and mirror, however many requests share it (the eleventh
 * listener on one signal prints a warning).
 */
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
  }

  unwatch(signal: AbortSignal, slot: number): void {
    const watch = this.watches.get(signal);
    if (watch === undefined) return;
    watch.slots.delete(slot);
    if (watch.slots.size > 0) return;
    watch.stop();
    this.watches.delete(signal);
  }

  get size(): number {
    return this.watches.size;
  }
}

class AbortWatch {
  readonly slots = new Set<number>();
  private readonly listener = (): void => {
    for (const slot of this.slots) this.cancel(slot);
  };

  constructor(
    private readonly signal: AbortSignal,
    private readonly cancel: (slot: number) => void,
  ) {
    signal.addEventListener('abort', this.listener, { once: true });
  }

  stop(): void {
    this.signal.removeEventListener('abort', this.listener);
  }
}
