/**
 * Seeing a mirror: as its process tells by its control socket, where it has one; else from outside, by log and labels. Writes
 * nothing.
 *
 * Invariants:
 *  - A process that does not answer hides nothing: what log and labels say is shown instead, with the reason.
 *  - What is shown says how it was seen (`live`).
 */
import { inspect, type Inspection, type MirrorClient, type Problem, type Status } from '../index';
import { BlockmirrorError, isBlockmirrorError } from '../base/errors';
import { reach } from './living';
import { imagesOf, type ImagePaths, type TrustFolders } from './commands/shared';

/** How a status was seen. */
export interface Seeing {
  /** Its process tells it itself; else it is what log and labels say. */
  live: boolean;
  /** Why it is not, of a mirror that somebody has open. */
  notLive: Problem | null;
}

export interface Sight extends Seeing {
  status: Status;
}

/** One look, with all that a look from outside finds. */
export async function see(log: string, options: ImagePaths & TrustFolders): Promise<Inspection & Seeing> {
  const sight = new Sights(log, options);
  try {
    return await sight.inspect();
  } finally {
    sight.close();
  }
}

/** Look after look at one mirror, over one connection for as long as it lasts. */
export class Sights {
  private client: MirrorClient | null = null;

  constructor(
    private readonly log: string,
    private readonly options: ImagePaths & TrustFolders,
    private readonly signal?: AbortSignal,
  ) {}

  /** Of the mirror that is seen live now; null: it is not. */
  get living(): MirrorClient | null {
    return this.client;
  }

  async look(): Promise<Sight> {
    return (await this.ask()) ?? this.inspect();
  }

  async inspect(): Promise<Inspection & Seeing> {
    const { trustFolders } = this.options;
    const seen = await inspect(this.log, { ...imagesOf(this.options), trustFolders: trustFolders === true });
    const { status } = seen;
    const open = status.phase === 'held' || status.phase === 'stopped';
    if (!open) return { ...seen, live: false, notLive: null };
    // Nothing would come from it but a wait.
    const notLive =
      status.holder?.state === 'frozen' ? new BlockmirrorError('NO_ANSWER', frozen(this.log)) : await this.connect();
    if (notLive !== null) return { ...seen, live: false, notLive: notLive.toJSON() };
    const living = await this.ask();
    // Closed in between: that it was open is true of the moment of the look.
    if (living === null) return { ...seen, live: false, notLive: new BlockmirrorError('CLOSED').toJSON() };
    return { ...seen, ...living };
  }

  close(): void {
    this.client?.close();
    this.client = null;
  }

  /** null: it does not tell any more, or nobody was connected to. */
  private async ask(): Promise<Sight | null> {
    if (this.client === null) return null;
    try {
      return { status: await this.client.status(), live: true, notLive: null };
    } catch (error) {
      this.close();
      if (!isBlockmirrorError(error)) throw error;
      return null;
    }
  }

  /** null: it is connected. */
  private async connect(): Promise<BlockmirrorError | null> {
    const found = await reach(this.log, this.options, this.signal).catch((error: unknown) => {
      if (isBlockmirrorError(error)) return error;
      throw error;
    });
    if (!(found instanceof Error)) {
      this.client = found;
      return null;
    }
    if (isBlockmirrorError(found)) return found;
    throw found;
  }
}

function frozen(log: string): { image: string; path: string; detail: string } {
  return { image: 'log', path: log, detail: 'it is frozen' };
}
