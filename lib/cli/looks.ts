/**
 * Looks at a mirror, one a second, until it is stopped: by a signal (SIGINT, SIGTERM, SIGHUP), or because nobody reads stdout any
 * more. The first look that fails is an error; a later one is told as an event, and the looks go on. Where the mirror's process
 * tells by its control socket, what it tells in between is an event at once, and a look follows soon.
 *
 * Invariants:
 *  - One look at a time, and never sooner than SOONEST_MS after the last one ended, however long it took and whatever is told.
 *  - What is told and not yet shown is bounded: the oldest goes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlEvent, MirrorClient, Problem, Status } from '../index';
import { isBlockmirrorError } from '../base/errors';
import { type StatusChange, changesBetween } from '../look/changes';
import { type Sight, Sights } from './sight';
import type { ImagePaths, TrustFolders } from './commands/shared';

const INTERVAL_MS = 1000;
const SOONEST_MS = 200;
const MOST_TOLD = 256;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Of what a mirror tells, what no two statuses show. */
type Told = Extract<ControlEvent, { event: 'repaired' | 'resync' | 'stalled' }>;

export type WatchEvent =
  | StatusChange
  | { event: 'status'; status: Status; live: boolean }
  /** From now on its process tells it itself; or it does not any more, and why, where somebody has it open. */
  | { event: 'live'; live: boolean; problem: Problem | null }
  | { [Name in Told['event']]: { event: Name } & Extract<Told, { event: Name }>['data'] }[Told['event']]
  | { event: 'unseen'; error: Problem }
  | { event: 'seen' };

/** With the newest status that there is, and what is new since the look before. */
export type OnLook = (sight: Sight, events: readonly WatchEvent[]) => void;

export async function lookUntilStopped(log: string, options: ImagePaths & TrustFolders, onLook: OnLook): Promise<void> {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  const onOutputError = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE') stop();
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  process.stdout.on('error', onOutputError);
  const sights = new Sights(log, options, controller.signal);
  try {
    await lookOn(sights, onLook, controller.signal);
  } catch (error) {
    if (!controller.signal.aborted) throw error;
  } finally {
    sights.close();
    for (const signal of SIGNALS) process.off(signal, stop);
    process.stdout.off('error', onOutputError);
  }
}

async function lookOn(sights: Sights, onLook: OnLook, signal: AbortSignal): Promise<void> {
  const ear = new Ear();
  let sight: Sight = await sights.look();
  let unseen: string | null = null;
  onLook(sight, [{ event: 'status', status: sight.status, live: sight.live }]);
  while (!signal.aborted) {
    ear.listenTo(sights.living);
    await ear.rest(signal);
    const look = await lookOnce(sights);
    const events: WatchEvent[] = ear.take();
    if ('problem' in look) {
      if (unseen !== look.problem.code) events.push({ event: 'unseen', error: look.problem });
      unseen = look.problem.code;
    } else {
      if (unseen !== null) events.push({ event: 'seen' });
      unseen = null;
      if (sight.live !== look.live) events.push({ event: 'live', live: look.live, problem: look.notLive });
      events.push(...changesBetween(sight.status, look.status));
      sight = look;
    }
    onLook(sight, events);
  }
}

async function lookOnce(sights: Sights): Promise<Sight | { problem: Problem }> {
  try {
    return await sights.look();
  } catch (error) {
    if (isBlockmirrorError(error)) return { problem: error.toJSON() };
    throw error;
  }
}

/** Hears what a living mirror tells between two looks. */
class Ear {
  private heard: MirrorClient | null = null;
  private told: WatchEvent[] = [];
  private wake: (() => void) | null = null;
  private isNews = false;

  /** Of one client after the other; a client that is closed tells nothing more. */
  listenTo(client: MirrorClient | null): void {
    if (client === null || client === this.heard) return;
    this.heard = client;
    void this.hear(client);
  }

  /** What was told since it was asked last. */
  take(): WatchEvent[] {
    this.isNews = false;
    return this.told.splice(0);
  }

  /** Until the next look is due, or something happened that is to be seen. */
  async rest(signal: AbortSignal): Promise<void> {
    const began = performance.now();
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.wake = null;
        resolve();
      };
      const timer = setTimeout(done, INTERVAL_MS);
      signal.addEventListener('abort', done);
      this.wake = done;
      if (this.isNews || signal.aborted) done();
    });
    const early = SOONEST_MS - (performance.now() - began);
    if (early > 0) await sleep(early, undefined, { signal });
  }

  private async hear(client: MirrorClient): Promise<void> {
    try {
      for await (const told of client.events()) {
        // The first of them; the next looks show it better.
        if (told.event === 'status') continue;
        if (told.event === 'repaired' || told.event === 'resync' || told.event === 'stalled') this.keep(told);
        this.isNews = true;
        this.wake?.();
      }
    } catch (error) {
      // The next look says what became of it.
      if (!isBlockmirrorError(error)) throw error;
    } finally {
      if (this.heard === client) this.heard = null;
    }
  }

  private keep({ event, data }: Told): void {
    this.told.push({ event, ...data } as WatchEvent);
    if (this.told.length > MOST_TOLD) this.told.shift();
  }
}
