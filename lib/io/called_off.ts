/**
 * Requests whose signal has fired and that have not ended yet.
 *
 * One that a device may have by now ends with its real outcome; only while the log or the master hangs (I15), so that nobody
 * knows when that will be, is it abandoned. Not at once: what needs no device that hangs ends meanwhile, as it ever did.
 */

/** How long after its signal a request is let be at least, and how often is looked. */
const PATIENCE_MS = 500;

export class CalledOff {
  private readonly since = new Map<number, number>();
  private timer: NodeJS.Timeout | null = null;

  /**
   * @param hangs whether the mirror waits for a device without which it cannot go on
   * @param abandon called once for a ticket at most
   */
  constructor(
    private readonly hangs: () => boolean,
    private readonly abandon: (ticket: number) => void,
  ) {}

  add(ticket: number): void {
    this.since.set(ticket, performance.now());
    this.timer ??= setInterval(() => this.look(), PATIENCE_MS).unref();
  }

  /** It has ended. */
  delete(ticket: number): void {
    if (this.since.delete(ticket)) this.rest();
  }

  private look(): void {
    if (!this.hangs()) return;
    const end = performance.now() - PATIENCE_MS;
    for (const [ticket, since] of this.since) {
      if (since > end) continue;
      this.since.delete(ticket);
      this.abandon(ticket);
    }
    this.rest();
  }

  private rest(): void {
    if (this.since.size > 0 || this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
  }
}
