/**
 * Looks at a mirror from outside, one a second, until it is stopped: by a signal (SIGINT, SIGTERM, SIGHUP), or because nobody
 * reads stdout any more. The first look that fails is an error; a later one is told as an event, and the looks go on.
 *
 * Invariant: one look at a time, and never sooner than INTERVAL_MS after the last one ended, however long it took.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect, type Problem, type Status } from '../index';
import { isBlockmirrorError } from '../base/errors';
import { type StatusChange, changesBetween } from '../look/changes';

const INTERVAL_MS = 1000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export type WatchEvent =
  StatusChange | { event: 'status'; status: Status } | { event: 'unseen'; error: Problem } | { event: 'seen' };

/** @param onLook with the newest status that there is, and what is new since the look before */
export async function lookUntilStopped(
  log: string,
  options: Parameters<typeof inspect>[1],
  onLook: (status: Status, events: readonly WatchEvent[]) => void,
): Promise<void> {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  const onOutputError = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE') stop();
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  process.stdout.on('error', onOutputError);
  try {
    let { status } = await inspect(log, options);
    let unseen: string | null = null;
    onLook(status, [{ event: 'status', status }]);
    while (!controller.signal.aborted) {
      await sleep(INTERVAL_MS, undefined, { signal: controller.signal });
      const look = await lookOnce(log, options);
      const events: WatchEvent[] = [];
      if ('problem' in look) {
        if (unseen !== look.problem.code) events.push({ event: 'unseen', error: look.problem });
        unseen = look.problem.code;
      } else {
        if (unseen !== null) events.push({ event: 'seen' });
        unseen = null;
        events.push(...changesBetween(status, look.status));
        ({ status } = look);
      }
      onLook(status, events);
    }
  } catch (error) {
    if (!controller.signal.aborted) throw error;
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
    process.stdout.off('error', onOutputError);
  }
}

async function lookOnce(
  log: string,
  options: Parameters<typeof inspect>[1],
): Promise<{ status: Status } | { problem: Problem }> {
  try {
    return { status: (await inspect(log, options)).status };
  } catch (error) {
    if (isBlockmirrorError(error)) return { problem: error.toJSON() };
    throw error;
  }
}
