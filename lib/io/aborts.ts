/**
 * Abort signals of pending requests: one listener per signal and mirror, however many requests share it (the eleventh
 * listener on one signal prints a warning). Nothing here throws, whatever a signal does.
 */
import { listen, unlisten } from '../base/signals';

export class AbortRegistry {
  private readonly watches = new Map<AbortSignal, AbortWatch>();

  /** @param cancel called for each ticket that is still watched when the signal aborts */
  constructor(private readonly cancel: (ticket: number) => void) {}

  watch(signal: AbortSignal, ticket: number): void {
    let watch = this.watches.get(signal);
    if (watch === undefined) {
      watch = new AbortWatch(signal, this.cancel);
      this.watches.set(signal, watch);
    }
    watch.tickets.add(ticket);
    // A signal that was tampered with aborts nothing: the request ends as it ends.
    if (!watch.begin()) this.unwatch(signal, ticket);
  }

  unwatch(signal: AbortSignal, ticket: number): void {
    const watch = this.watches.get(signal);
    if (watch === undefined) return;
    watch.tickets.delete(ticket);
    if (watch.tickets.size > 0) return;
    // First forgotten: what the signal runs now may come back here.
    this.watches.delete(signal);
    watch.stop();
  }

  get size(): number {
    return this.watches.size;
  }
}

class AbortWatch {
  readonly tickets = new Set<number>();
  private begun = false;
  private readonly listener = (): void => {
    for (const ticket of this.tickets) this.cancel(ticket);
  };

  constructor(
    private readonly signal: AbortSignal,
    private readonly cancel: (ticket: number) => void,
  ) {}

  begin(): boolean {
    if (!this.begun) this.begun = listen(this.signal, this.listener);
    return this.begun;
  }

  stop(): void {
    unlisten(this.signal, this.listener);
  }
}
