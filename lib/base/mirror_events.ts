/** What an open mirror tells, and what long work on it takes. */
import type { ProgressListener, Repair, ResyncEvent, StalledEvent, StateEvent, Status } from './types';

export interface MirrorEvents {
  /** An image changed its state for good (not the passing change between synchronized and consistent). */
  state: [event: StateEvent];
  /** Bytes of an image could not be read, or a verify found them different: they were written anew from another one. */
  repaired: [repair: Repair];
  /** A resync that has something to copy began, goes on (at most once a second), or ended. */
  resync: [event: ResyncEvent];
  /** A device does not answer in time, or its stall is over. */
  stalled: [event: StalledEvent];
  /** Fewer slaves are in sync than before, or the mirror stopped: the status that shows it. */
  degraded: [status: Status];
}

/** What long work on an open mirror takes. */
export interface LongWorkOptions {
  onProgress?: ProgressListener | undefined;
  /** Looked at between batches: what was begun is ended, and nothing is undone. */
  signal?: AbortSignal | undefined;
}
