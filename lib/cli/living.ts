/**
 * On which mirror a verb acts: the one that another process has open, by its control socket; or one that nobody has open, which
 * the verb opens itself. Every verb goes by this.
 *
 * Invariants:
 *  - A mirror that answers is operated there; no verb tries to open it.
 *  - A process that does not answer ends the verb, within the limits of lib/control/limits.ts: nothing may be opened beside it.
 *  - Whatever else keeps the socket from being used is no reason to refuse: the lock of the log decides, and where somebody holds
 *    it the error says why the socket is none.
 */
import { connect, type MirrorClient } from '../index';
import { type BlockmirrorError, ERRORS, isBlockmirrorError } from '../base/errors';
import { isAborted } from '../base/signals';
import type { OpeningChoice } from './commands/shared';
import type { Output } from './output';

export interface Ways<T> {
  /** Of the mirror that another process has open. */
  living: (mirror: MirrorClient) => Promise<T>;
  /** Opens it here. */
  here: () => Promise<T>;
}

interface Asked {
  options: Partial<OpeningChoice>;
  output: Pick<Output, 'note'>;
  signal: AbortSignal;
}

/** @throws NO_ANSWER, BUSY, and what the verb itself throws */
export async function onMirror<T>(log: string, { options, output, signal }: Asked, ways: Ways<T>): Promise<T> {
  const living = async (mirror: MirrorClient): Promise<T> => {
    try {
      noteUnused(options, output);
      return await ways.living(mirror);
    } finally {
      mirror.close();
    }
  };
  const found = await reach(log, options, signal);
  if (!(found instanceof Error)) return living(found);
  try {
    return await ways.here();
  } catch (error) {
    if (!isBusyLog(error)) throw error;
    // One that was just being opened has its lock before its socket.
    const again = await reach(log, options, signal);
    if (!(again instanceof Error)) return living(again);
    throw withoutSocket(error, again);
  }
}

/** For what makes sense of a mirror alone that is open. @throws NO_CONTROL where it is not, or has no socket; NO_ANSWER */
export async function onLiving<T>(log: string, asked: Asked, act: (mirror: MirrorClient) => Promise<T>): Promise<T> {
  const { options, signal } = asked;
  const found = await reach(log, options, signal);
  if (found instanceof Error) throw found;
  try {
    return await act(found);
  } finally {
    found.close();
  }
}

/** The client, or why there is none. @throws NO_ANSWER; the reason of the signal */
export async function reach(
  log: string,
  { trustFolders }: Partial<OpeningChoice>,
  signal?: AbortSignal,
): Promise<MirrorClient | Error> {
  try {
    return await connect(log, { trustFolders: trustFolders === true, ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    if (isAborted(signal) || isBlockmirrorError(error, 'NO_ANSWER') || !(error instanceof Error)) throw error;
    return error;
  }
}

/** Of the log, which is the mirror; of an image it is another matter. */
function isBusyLog(error: unknown): error is BlockmirrorError {
  return isBlockmirrorError(error, 'BUSY') && error.image === 'log';
}

const WITHOUT = 'it has no control socket that can be reached from here: it was opened without, or by another user';

function withoutSocket(error: BlockmirrorError, why: Error): BlockmirrorError {
  const unusable = isBlockmirrorError(why, 'CONTROL_UNAVAILABLE') ? why.facts().detail : undefined;
  const told = error.withDetail(unusable === undefined ? WITHOUT : `its control socket cannot be used: ${unusable}`);
  // Whoever found out who holds it has said what to do about that one.
  if (error.remedy !== ERRORS.BUSY.remedy) return told;
  return told.withRemedy(
    `${ERRORS.BUSY.remedy}; or open it there with \`{ control: true }\`: then this command acts on it while it is open`,
  );
}

interface OpeningRow {
  flag: string;
  isGiven: (options: Partial<OpeningChoice>) => boolean;
}

/** Options that say how a mirror is opened. */
const OF_OPENING: readonly OpeningRow[] = [
  { flag: '--image', isGiven: ({ image }) => image !== undefined },
  { flag: '--device', isGiven: ({ device = 'auto' }) => device !== 'auto' },
  { flag: '--take-over', isGiven: ({ takeOver }) => takeOver === true },
  { flag: '--wait-for-images', isGiven: ({ waitForImages }) => waitForImages !== undefined },
  { flag: '--require-all', isGiven: ({ requireAll }) => requireAll === true },
  { flag: '--device-timeout', isGiven: ({ deviceTimeout }) => deviceTimeout !== undefined },
];

function noteUnused(options: Partial<OpeningChoice>, output: Pick<Output, 'note'>): void {
  const unused = OF_OPENING.filter(({ isGiven }) => isGiven(options)).map(({ flag }) => flag);
  if (unused.length === 0) return;
  output.note(`The mirror is open already, and is operated where it is; of no effect: ${unused.join(', ')}`);
}
