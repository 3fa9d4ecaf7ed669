/**
 * Devices that do not answer in time (I15). A slave is fractured by that; of the log and the master the mirror can only
 * say what it waits for, and does, until they answer.
 */
import type { NativeSnapshot, NativeStall } from '../base/binding';
import type { Engine } from './engine';
import type { StalledDevice, StalledEvent } from '../base/types';

/** How late a stall, or its end, is told: the engine has no events, and a device that hangs completes nothing. */
const LOOK_MS = 500;

/** The log first, then the images in their order. */
export function stalledDevices(snapshot: NativeSnapshot, names: readonly string[]): StalledDevice[] {
  const all: { device: string; stall: NativeStall | null }[] = [
    { device: 'log', stall: snapshot.log.stall },
    ...snapshot.images.map(({ stall }, index) => ({ device: names[index] ?? '', stall })),
  ];
  return all.flatMap(({ device, stall }) =>
    stall === null ? [] : [{ device, operation: stall.operation, since: new Date(stall.sinceMs).toISOString() }],
  );
}

export class StallWatch {
  private timer: NodeJS.Timeout | null = null;
  private told = new Map<string, StalledDevice>();

  /** @param tell must not throw */
  constructor(
    private readonly engine: Engine,
    private readonly names: readonly string[],
    private readonly tell: (event: StalledEvent) => void,
  ) {}

  begin(): void {
    this.timer ??= setInterval(() => this.look(), LOOK_MS);
    this.timer.unref();
  }

  /** Tells what has ended since. */
  stop(): void {
    if (this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
    this.look();
  }

  private look(): void {
    const now = new Map(stalledDevices(this.engine.snapshot(), this.names).map((stall) => [stall.device, stall]));
    const before = this.told;
    this.told = now;
    for (const [device, stall] of before) {
      const goesOn = now.get(device)?.since === stall.since;
      if (!goesOn) this.tell({ ...stall, until: new Date().toISOString() });
    }
    for (const [device, stall] of now) {
      if (before.get(device)?.since !== stall.since) this.tell({ ...stall, until: null });
    }
  }
}
