/**
 * Ctrl-C, TERM and HUP during long work: the first asks the work to stop between two steps and says what that means; the second
 * ends the process at once, which every command survives too (that is what the log is for).
 */
import { exitCodeOfSignal } from './exit_codes';
import type { Output } from './output';

export class Interrupted extends Error {
  readonly code = 'ERR_BLOCKMIRROR_INTERRUPTED';
  constructor(
    readonly signal: NodeJS.Signals,
    readonly remedy: string,
  ) {
    super(`Stopped by ${signal}`);
    this.name = 'Interrupted';
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** @param meaning what stopping here means, in a sentence, and what to do next; a function: as of that moment */
export async function interruptible<T>(
  meaning: string | (() => string),
  output: Pick<Output, 'note'>,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(exitCodeOfSignal(signal));
    output.note(`Stopping after the step under way (${signal}); once more ends it at once.`);
    controller.abort(new Interrupted(signal, typeof meaning === 'string' ? meaning : meaning()));
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    return await work(controller.signal);
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}
