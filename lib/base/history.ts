/** What is asked of a history, and of one block, and what is answered. */
import type { Extent, FractureCause, ImageState, InspectOptions, LiveIntent, Phase, RecordedState } from './types';

/** A point in time: a Date, milliseconds since 1970, how long ago ('2h', '7d'), or an ISO date ('2026-11-27', in UTC). */
export type Moment = Date | number | string;

/** What history() is asked for. */
export interface HistoryChoice {
  /** Events of that image alone. */
  image?: string;
  /** Events from then on. */
  since?: Moment;
}

export interface HistoryOptions extends HistoryChoice {
  signal?: AbortSignal;
}

/** What explain() is given; as inspect(). */
export type ExplainOptions = InspectOptions;

/** What the history of a log tells of, by docs/FORMAT.md. */
export type HistoryKind =
  | 'created'
  | 'opened'
  | 'recovered'
  | 'fractured'
  | 'rejoined'
  | 'resync-begun'
  | 'resync-ended'
  | 'verified'
  | 'repaired'
  | 'error'
  | 'promoted'
  | 'added'
  | 'removed'
  | 'replaced'
  | 'grown'
  | 'moved'
  | 'policy-changed'
  | 'closed';

export interface HistoryEvent {
  /** Grows with every event; what is missing between two has used its sequences up. */
  sequence: number;
  at: string;
  kind: HistoryKind;
  /** Its name then; null: it is of none. */
  image: string | null;
  /** null: the event changed no state. */
  before: RecordedState | null;
  after: RecordedState | null;
  /** Why an image went out, or had gone out before it came back. */
  cause: FractureCause | null;
  /** Of what failed: ENOSPC, EIO …; null: there is none. */
  error: string | null;
  generation: number;
  /** The how many-th opening of the mirror it was in. */
  opening: number;
  extent: Extent | null;
  /**
   * created: size of the mirror; opened: what a crash left to be copied; recovered, rejoined, resync-ended: copied;
   * resync-begun: owed at most; verified: that differed; repaired, error: of how much.
   */
  bytes: number | null;
  durationMs: number | null;
  /** Of policy-changed: the key of docs/API.md, and its new value. */
  policy: { key: string; value: string | number | null } | null;
  /** Of opened: the mirror had not been closed, as far as this history tells. */
  afterCrash: boolean;
}

export interface HistoryReport {
  uuid: string;
  log: string;
  /** The first moment that was asked for; null: all that there is. */
  since: string | null;
  /** null: of all images, and of the mirror itself. */
  image: string | null;
  /** Oldest first: at most 1024. */
  events: HistoryEvent[];
  /** Older events that newer ones have been written over. */
  overwritten: number;
  /** Events between the oldest and the newest that are missing: they could not be written, or not be read. */
  missing: number;
  /** Events of this opening that could not be written; null where the mirror is not open here. */
  lost: number | null;
}

export interface ExplainedSlave {
  name: string;
  state: ImageState;
  /** It may differ from the master in this block; null: that is not known. */
  owes: boolean | null;
  /** Since when it is out, or did not count as equal, and why; null: it is in sync. */
  fracture: { at: string | null; cause: FractureCause } | null;
}

/** What superblock, log, maps and history say of one block. */
export interface ExplainReport {
  uuid: string;
  log: string;
  position: number;
  /** The block that holds this byte: what an intent covers at least. */
  block: Extent;
  phase: Phase;
  /** The ring holds damage, so that any block may differ. */
  damaged: boolean;
  /** Inside a live intent: a crash now would have it copied, or one has left it to be copied. */
  covered: boolean;
  /** Those among the first thousand that name it. */
  liveIntents: LiveIntent[];
  /** Images may differ there, as far as the log knows. */
  uncertain: boolean;
  slaves: ExplainedSlave[];
  /** Events that name it, and those of the slaves that owe it; oldest first. */
  events: HistoryEvent[];
}
