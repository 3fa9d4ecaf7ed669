/** What the verbs of a mirror answer. */
import type { ControlOption } from './control';
import type {
  DeviceOption,
  Extent,
  FractureChoice,
  ImageState,
  ImageStatus,
  PresenceOptions,
  Problem,
  ProgressListener,
  Repair,
  Settings,
} from './types';

/** An image that was not where the log remembers it, and was taken from where its label was found. */
export interface FoundElsewhere {
  name: string;
  expectedAt: string;
  /** If that is a copy, and not the image itself, it should be detached. */
  path: string;
}

export interface RecoverySlave {
  name: string;
  path: string;
  state: ImageState;
  /** Before the copy; null: not known, since nothing was compared (compare: false, a dry run, nothing to recover). */
  bytesDiffered: number | null;
  bytesCopied: number;
}

export interface RecoveryReport {
  uuid: string;
  log: string;
  foundElsewhere: FoundElsewhere[];
  /** Nothing had to be done. */
  clean: boolean;
  damaged: boolean;
  /** In plain words, one line each: the first 64 of `damageCount`. */
  damage: string[];
  damageCount: number;
  /** Coverage was unknown: everything was compared, and what differed was copied. */
  fullCompare: boolean;
  liveIntents: number;
  /** All of them, at most 262144. */
  extents: Extent[];
  bytesCovered: number;
  /** Over all slaves. */
  bytesCopied: number;
  slaves: RecoverySlave[];
  /** What could not be read: of the master, then chosen from a slave; of a slave, then overwritten. Bounded. */
  repairs: Repair[];
  durationMs: number;
  /** The copy was read back and compared. */
  readBack: boolean;
  dryRun: boolean;
  /** Of a dry run: somebody has the mirror open, so that nothing has to be recovered; `extents` is what a crash now would leave. */
  held: boolean;
}

export interface VerifySlave {
  name: string;
  path: string;
  state: ImageState;
  /** All of it was compared with the master. */
  compared: boolean;
  bytesCompared: number;
  /** Of those compared; null when nothing can be said: it took no part, or failed meanwhile. */
  bytesDiffered: number | null;
  /** Of those that differ: inside live intents of a mirror that was not closed cleanly; recovery copies them. */
  bytesExpected: number | null;
  /** Of those that differ: where another slave holds the same, so that the master may be the damaged one. */
  bytesShared: number | null;
  /** Of those that differ: copied from the master. */
  bytesRepaired: number | null;
  /** Why it was not compared, or not all of it. */
  error: Problem | null;
}

export interface VerifyDifference {
  slave: string;
  position: number;
  length: number;
  /** Inside live intents: recovery copies it. */
  expected: boolean;
  /** Slaves that hold the same there. */
  agreesWith: string[];
  /** The one image that differs there from all others, which agree; null: not known, or of a mirror of two images. */
  standsAlone: string | null;
}

/** Every image holds in the extent what the slave held there, durably. */
export interface VerifyFromReport {
  uuid: string;
  log: string;
  foundElsewhere: FoundElsewhere[];
  from: string;
  position: number;
  length: number;
  /** In which the master differed before. */
  bytesChanged: number;
  /** Of those: in blocks that the master could not read, which count whole. */
  bytesUnread: number;
  durationMs: number;
}

export interface VerifyReport {
  uuid: string;
  log: string;
  foundElsewhere: FoundElsewhere[];
  /**
   * 'identical': every slave of the mirror was compared, all of it, and is equal. 'repaired': it is now, for what differed was
   * copied from the master. 'incomplete': what was compared is equal, or is now.
   */
  result: 'identical' | 'repaired' | 'differs' | 'incomplete';
  /** result is 'identical'. */
  identical: boolean;
  /** False: the mirror was not closed cleanly, so that differences inside `extents` are what recovery will mend. */
  clean: boolean;
  /** Byte of the mirror at which it began; what lies before was not compared. */
  position: number;
  /** Of the mirror, with at least one slave. */
  bytesCompared: number;
  /** Over all slaves. */
  bytesRepaired: number;
  slaves: VerifySlave[];
  /** The first differences found, bounded. */
  differences: VerifyDifference[];
  /** Live intents, merged; empty when clean. */
  extents: Extent[];
  durationMs: number;
}

export interface ResyncSlave {
  name: string;
  path: string;
  /** In sync: it was taken back. `synchronizing`: it receives writes, and still owes `bytesLeft`. */
  state: ImageState;
  bytesCopied: number;
  /** Of what it owed; null without `compare`. */
  bytesCompared: number | null;
  /** Of those; null without `compare`. What it could not read counts. */
  bytesDiffered: number | null;
  /** null: not known, of one that was not taken back. */
  bytesLeft: number | null;
  /** Why it is not in sync. */
  error: Problem | null;
}

export interface ResyncReport {
  uuid: string;
  log: string;
  foundElsewhere: FoundElsewhere[];
  /** Every slave that was asked for is in sync. */
  inSync: boolean;
  /** Over all slaves. */
  bytesCopied: number;
  /** Of the master, in the last round: nothing was copied there, and it is still owed. */
  bytesUnreadable: number;
  slaves: ResyncSlave[];
  durationMs: number;
}

export interface FracturedSlave {
  name: string;
  path: string;
  /** `behind`: it holds the point in time. Anything else: it does not, and `error` says why. */
  state: ImageState;
  error: Problem | null;
  /** Its device was let go. */
  detached: boolean;
}

/** Slaves that the operator took out of the mirror together. */
export interface FractureReport {
  uuid: string;
  log: string;
  foundElsewhere: FoundElsewhere[];
  /** Every slave that was named holds the mirror as it was at `at`, one and the same point in time, and its label says so. */
  common: boolean;
  /** When; null: no slave went out by this. */
  at: string | null;
  /** How long writes were held, milliseconds. */
  pauseMs: number;
  slaves: FracturedSlave[];
}

export interface FractureOptions extends DeviceOption, PresenceOptions, ControlOption, FractureChoice {
  /** Names of the slaves. */
  slaves: readonly string[];
  /** As in OpenOptions. */
  takeOver?: boolean;
  /** As in CreateOptions. */
  trustFolders?: boolean;
  images?: Readonly<Record<string, string>>;
  onProgress?: ProgressListener;
  signal?: AbortSignal;
}

export interface CreateReport {
  uuid: string;
  log: string;
  size: number;
  blockSize: number;
  images: ImageStatus[];
  bytesCopied: number;
  readBack: boolean;
  durationMs: number;
}

export interface SetReport {
  uuid: string;
  log: string;
  before: Settings;
  policies: Settings;
}
