/**
 * The contract between lib/ and the native addon: types only.
 *
 * The addon translates and decides nothing; it answers with code numbers and plain objects, never with Error
 * objects (a native Error fails `instanceof Error` in another context). lib/base/load.ts is the only file that loads it.
 * All positions and lengths are bytes, as JavaScript numbers (below 2^53).
 */
import type { DeviceLatency, Policies, Settings } from './types';

/** Outcome of a native call: `code` indexes `NativeBinding.codes` (0 is OK). image: 0 master, 1.. slaves, -1 none, -2 log. */
export interface NativeOutcome {
  code: number;
  systemError: number;
  image: number;
  position: number;
  /**
   * LOG_DAMAGED, LABEL_DAMAGED: what contradicts, in plain words; position is then where the copy begins that does, counted
   * from the first copy. Otherwise '' or absent.
   */
  reason?: string;
}

export interface NativeDeviceFacts {
  path: string;
  size: number;
  logicalBlockSize: number;
  physicalBlockSize: number;
  memoryAlignment: number;
  offsetAlignment: number;
  blockDevice: boolean;
  /** 'major:minor' of a block device, or of the file system of a file. */
  device: string;
  /** Of a file; '0' of a block device. */
  inode: string;
  /** Owner, group and permission bits of the file or the device's node, of the descriptor that is open. */
  uid: number;
  gid: number;
  mode: number;
  /** By this opening: 'file', it was not there; 'length', it was an empty file. */
  made: 'no' | 'length' | 'file';
  /** By which it is held until `close`; -1: by nobody. */
  descriptor: number;
  readOnly: boolean;
  volatileCache: boolean;
  forceUnitAccess: 'native' | 'emulated';
}

export type NativeRole = 'master' | 'slave';
/** How a path in the superblock is meant: 'absolute' also holds stable links (by-id, WWN), 'relative' is to the log's folder. */
export type NativePathKind = 'absolute' | 'relative';
/** Durable states of an image, as the superblock holds them. 'in-sync' becomes 'synchronized' or 'consistent' when shown. */
export type NativeImageState = 'in-sync' | 'assumed' | 'behind' | 'synchronizing' | 'inconsistent' | 'failed';

export interface NativeGeneration {
  counter: number;
  id: string;
  parent: string;
}

export interface NativeImageRecord {
  name: string;
  uuid: string;
  role: NativeRole;
  state: NativeImageState;
  path: string;
  pathKind: NativePathKind;
  deviceSize: number;
  labelPosition: number;
  /** errno that failed it; 0: none, or none is known. */
  error: number;
  /** When its state changed last, ms since 1970; 0: not since the mirror was made. */
  changedAtMs: number;
  /** Bytes that a verify found different, and that were neither mended nor verified equal since. */
  bytesDiffered: number;
  /** What it may miss, beyond what the ring of the log says. */
  debt: NativeDebt;
  /** Why it stopped receiving writes: 'none', 'write-error', 'flush-error', … (docs/FORMAT.md). */
  cause: string;
  /** When it did, ms since 1970; 0: it did not. */
  fracturedAtMs: number;
  /** How what it owes is being paid. */
  resync: NativeResyncKind;
}
export type NativeDebt = 'none' | 'map' | 'everything';
export type NativeResyncKind = 'none' | 'debt' | 'full-compare' | 'full-copy';

export interface NativeRecoverySummary {
  finishedAtMs: number;
  liveIntents: number;
  bytesCovered: number;
  bytesCopied: number;
  durationMs: number;
  readBack: boolean;
  fullCompare: boolean;
}

export interface NativeVerifySummary {
  finishedAtMs: number;
  bytesCompared: number;
  /** Over all slaves. */
  bytesDiffered: number;
  bytesRepaired: number;
}

/** Who opened the mirror last. */
export interface NativeOwner {
  host: string;
  bootId: string;
  process: number;
  startedAtMs: number;
  /** When that process began, in ticks since boot (proc(5), field 22 of stat); 0: not known. */
  processStarted: number;
  /** Inode of its pid namespace; 0: not known. */
  pidNamespace: number;
}

export interface NativeSuperblock extends Policies {
  version: number;
  mirrorUuid: string;
  logUuid: string;
  size: number;
  blockSize: number;
  physicalBlockSize: number;
  /** Bytes of the log. */
  logSize: number;
  /** Images that the log has room for. */
  maxImages: number;
  generation: NativeGeneration;
  openCount: number;
  lifecycle: 'creating' | 'opening' | 'open' | 'sealed';
  owner: NativeOwner;
  ring: { position: number; recordSize: number; recordCount: number; inFlightLimit: number };
  images: NativeImageRecord[];
  lastRecovery: NativeRecoverySummary | null;
  lastVerify: NativeVerifySummary | null;
}

/** Label of an image, as it stands on it. */
export interface NativeLabel {
  mirrorUuid: string;
  logUuid: string;
  imageUuid: string;
  name: string;
  role: NativeRole;
  state: NativeImageState;
  /** A clean close of its opening wrote it. */
  sealed: boolean;
  size: number;
  deviceSize: number;
  labelPosition: number;
  generation: NativeGeneration;
  openCount: number;
}

export interface NativeExtent {
  position: number;
  length: number;
}

/** Positions and lengths in turn: 1 to limits.copyExtents extents of at most limits.copyLength each. The engine works
 * on as many at once as limits.copyLanes and limits.copyBytes allow, over all commands together, in their order. */
export interface NativeExtents {
  extents: Float64Array;
}

/** What the log and the labels say; written nothing. */
export interface NativeAssessment {
  clean: boolean;
  /** The ring holds damage, not just a torn tail: coverage is unknown and everything must be compared. */
  damaged: boolean;
  /** In plain words, one line each, what is damaged and where. */
  damage: string[];
  /** Of all places; `damage` has the first. */
  damageCount: number;
  tornRecords: number;
  sequence: number;
  tail: number;
  liveRecords: number;
  liveIntentCount: number;
  /** The first thousand, in order of sequence. */
  liveIntents: { sequence: number; position: number; length: number }[];
  /** Merged, sorted, disjoint; the whole mirror when damaged or when creation is unfinished. At most 262144: neighbours
   * are one where it would be more. */
  extents: NativeExtent[];
  bytesCovered: number;
  /** One per image, in superblock order: OK or the code that says why it may not be attached. */
  images: NativeOutcome[];
}

/** Of an image, in a snapshot: as it is now. */
export interface NativeImageSnapshot extends Pick<
  NativeImageRecord,
  'state' | 'error' | 'changedAtMs' | 'bytesDiffered' | 'debt' | 'cause' | 'fracturedAtMs' | 'resync'
> {
  /** At most; null: its map was not read yet. */
  bytesOwed: number | null;
  stall: NativeStall | null;
}

/** A request to a device is past its deadline. */
export interface NativeStall {
  /** When the first of them was asked. */
  sinceMs: number;
  operation: 'read' | 'write' | 'flush';
}

export interface NativeResyncResult {
  /** Set of images that owe nothing any more. */
  inSync: number;
  /** Over all slaves. */
  bytesCopied: number;
  /** Of the slave that owes most. */
  bytesLeft: number;
  /** Of the master; left owed. */
  bytesUnreadable: number;
  /** READ_FAILED: the first of them. */
  unreadable: NativeOutcome | null;
  /** By image, slaves alone; 0 where nothing was compared. What a slave could not read counts as different. */
  slavesDiffered: number[];
  slavesCopied: number[];
  /** Bounded. */
  repairs: NativeRepair[];
  /** Of readBack: the first that differs; `slave` is the index of its image. */
  readBackDifference: { slave: number; position: number; length: number } | null;
}

/** Bytes of `image` that could not be read were written anew from image `from`; 0 is the master. */
export interface NativeRepair {
  image: number;
  from: number;
  position: number;
  length: number;
}
export interface NativeCompareResult {
  /** Less than was asked for: it was not compared there. */
  bytesCompared: number[];
  bytesDiffered: number[];
  /** Of those that differ: inside what an unfinished recovery is going to copy. */
  bytesExpected: number[];
  /** Of those that differ: where another slave holds the same. */
  bytesShared: number[];
  /** Of those that differ: they are owed now, durably (repair). */
  bytesOwed: number[];
  /** The first read of that slave that failed. */
  unread: (NativeOutcome | null)[];
  /** First differing extents, bounded; `slave` and `alone` are indices of images, `agreeing` a set of them. */
  differences: {
    slave: number;
    position: number;
    length: number;
    expected: boolean;
    agreeing: number;
    alone: number | null;
  }[];
}

export interface NativeHistory {
  /** Oldest first. */
  events: NativeEvent[];
  /** Sectors that hold something else, or cannot be read. */
  broken: number;
}

/** As docs/FORMAT.md has it; `length` 0: it has no extent. */
export interface NativeEvent {
  sequence: number;
  atMs: number;
  kind: string;
  /** Index among the images then; null: of none. */
  image: number | null;
  before: NativeImageState;
  after: NativeImageState;
  cause: string;
  error: number;
  generation: number;
  openCount: number;
  position: number;
  length: number;
  bytes: number;
  durationMs: number;
  name: string;
}

export interface NativeSnapshot {
  phase: NativePhase;
  /** The reason of phase 'stopped'. */
  stopped: NativeOutcome | null;
  inFlight: number;
  images: NativeImageSnapshot[];
  /** Of this opening. */
  minInSync: number;
  /** Of this opening; null: none. */
  deviceTimeoutMs: number | null;
  lastVerify: NativeVerifySummary | null;
  generation: NativeGeneration;
  log: { sequence: number; tail: number; recordCount: number; recordsLive: number; stall: NativeStall | null };
  coverage: { bytes: number; budget: number; regions: number; uncertainBytes: number };
  /** Slaves, by their index among the images, that owe what a crash left; of a mirror that is being made: everything. */
  recovering: number[];
  counters: Record<string, number>;
  /** The newest of counters.repairs, oldest first, bounded. */
  recentRepairs: NativeRepair[];
  /** Events of this opening that could not be written. */
  historyLost: number;
}

export type NativePhase =
  'idle' | 'loaded' | 'attached' | 'planned' | 'formatting' | 'recovering' | 'running' | 'stopped' | 'closed';

/**
 * Control commands, in the order in which a mirror's life needs them. Each is asynchronous: `command` takes a ticket,
 * the completion names it, `result(ticket)` returns the object. A command in the wrong phase answers WRONG_PHASE.
 */
export interface NativeCommands {
  /** idle. Opens the log's device; reads nothing. makeLength above 0: a file that is not there is made of that length,
   * held, and gets its name by linkLog; one that is empty gets that length. resolved: the links of the path were
   * followed before; one that is there by now is refused (OPEN_FAILED with ELOOP). */
  openLog: {
    arguments: {
      path: string;
      readOnly: boolean;
      exclusive: boolean;
      requireAllocated?: boolean;
      resolved?: boolean;
      makeLength?: number;
      /** Of each request to log and images; 0: none. As the log says where it is not given. */
      deviceTimeoutMs?: number;
    };
    result: NativeDeviceFacts;
  };
  /** idle -> loaded. NOT_A_LOG, LOG_DAMAGED, UNKNOWN_VERSION, UNKNOWN_FEATURE. */
  loadSuperblock: { arguments: Record<string, never>; result: NativeSuperblock };
  /** idle (before format) or loaded. In superblock order; an empty path leaves that image out (a failed slave that is
   * gone), and its facts are empty too. SAME_DEVICE when two are the same, or one is the log. Each on a thread of its own;
   * OPEN_FAILED (ETIMEDOUT): it took longer than deviceTimeout besides the wait for its lock, and closes when it opens. */
  openImages: {
    /** members: of a mirror that is there; what a file of theirs lost is for assess to judge, not refused as HOLE.
     * makeLengths: as makeLength of openLog, one per path. optional: slaves that may stay unopened; the result has their
     * outcome in the place of facts, and the engine knows it when it assesses. */
    arguments: {
      paths: string[];
      readOnly: boolean;
      exclusive: boolean;
      resolved?: boolean;
      members?: boolean;
      makeLengths?: readonly number[];
      optional?: readonly number[];
    };
    result: (NativeDeviceFacts | NativeOutcome)[];
  };
  /** idle -> planned. size 0: the largest the images allow. Decides everything (MISALIGNED, TOO_SMALL, BLOCK_TOO_LARGE,
   * OUT_OF_RANGE before anything is written) and writes it durably to the log, as a superblock that is `creating`. */
  planFormat: {
    arguments: {
      size: number;
      ringRecords: number;
      maxImages: number;
      assumeIdentical: boolean;
      images: { name: string; path: string; pathKind: NativePathKind }[];
    } & Partial<Policies>;
    result: NativeSuperblock;
  };
  /** planned. Gives files that were made, and have none yet, their names, durably. OPEN_FAILED with EEXIST. */
  linkLog: { arguments: Record<string, never>; result: null };
  linkImages: { arguments: Record<string, never>; result: null };
  /** idle, planned: what a create made is removed, or empty again: the very files, in the folders where they were made,
   * whatever the paths lead to by now. The log goes last: as long as anything of it is there, it says what that is for. */
  unmake: { arguments: Record<string, never>; result: null };
  /** planned. Zeroes over the extents of an image; without extents: flushes it. */
  fillImage: { arguments: { image: number; extents?: Float64Array }; result: null };
  /** planned -> formatting. Writes the rest of the log in full, then the labels; slaves start as 'synchronizing', or
   * 'assumed' with assumeIdentical. Flushes the master. Then resync until snapshot().recovering is empty, and endRecovery.
   * The first slave that fails in any of these steps ends it: SLAVE_FAILED. */
  format: { arguments: Record<string, never>; result: NativeSuperblock };
  /** loaded. The first part of assess, about so many bytes of the ring at a time; bytesTotal may grow. May be left out. */
  scanRing: { arguments: { bytes: number }; result: { done: boolean; bytesDone: number; bytesTotal: number } };
  /** loaded. Reads labels and ring, judges, writes nothing. */
  assess: { arguments: Record<string, never>; result: NativeAssessment };
  /** running, or loaded after assess, for a look: the snapshot says from then on what each slave owes. Writes nothing. */
  readDebts: {
    /** Of that extent the result tells who owes something of it. */
    arguments: { position?: number; length?: number };
    /** Set of images; bit 1 is the first slave. */
    result: number;
  };
  /** loaded or later. What the history of the log holds; of the mirror that runs here with all that was told until now. Writes nothing. */
  readHistory: { arguments: Record<string, never>; result: NativeHistory };
  /** loaded, after an assess that found every opened image attachable -> recovering, or running when clean.
   * Writes the new incarnation to log and labels (I8), and flushes the master (I4). leftOut: slaves that this
   * opening does without, durably, when what was found of them allows it (native/core/session/left_out.h).
   * minInSync: for this opening, never below what the log says (OUT_OF_RANGE). */
  activate: {
    arguments: {
      recoveryBudget: number;
      host: string;
      bootId: string;
      /** It takes requests at once; what a crash left is paid beside them. */
      background: boolean;
      leftOut?: readonly number[];
      minInSync?: number;
      paths?: { path: string; pathKind: NativePathKind }[];
    };
    result: NativeSuperblock;
  };
  /** loaded, recovering, running. Changes what the mirror goes by, durably; what is not named stays. What is changed of an open
   * mirror holds in place of what its opening asked for. recoveryBudget: of an open one alone; it answers when what is live
   * fits into it. OUT_OF_RANGE: nothing was changed. */
  setPolicies: { arguments: Partial<Settings>; result: NativeSuperblock };
  /** recovering or formatting -> running; or running, behind a recovery in the background. Every slave has paid what the
   * crash, or the plan, left owed, or receives no writes: the log lets it go. WRONG_PHASE: one has not. */
  endRecovery: {
    arguments: {
      liveIntents: number;
      bytesCovered: number;
      bytesCopied: number;
      durationMs: number;
      readBack: boolean;
      fullCompare: boolean;
    };
    result: null;
  };
  /** running, recovering: compares master and slaves under the range lock, writes nothing. all: slaves that receive no
   * writes too, where their device is attached. repair, running alone: what differs is owed by its slave, durably. */
  compare: { arguments: NativeExtents & { all: boolean; repair: boolean }; result: NativeCompareResult };
  /** running, recovering: what a verify found, by image, slaves alone; bytesDiffered leaves out what recovery is going to mend,
   * bytesRepaired are those of it that are owed, or were and are paid. It is
   * remembered durably; a slave that was compared all over and is equal is neither assumed nor different any more. */
  recordVerify: {
    arguments: { bytesCompared: number[]; bytesDiffered: number[]; bytesRepaired: number[] };
    result: null;
  };
  /** running: the operator takes these slaves out at one point in time. common: all of them hold it, and their labels say
   * so. pauseMs: the longest time that a request was held. */
  fracture: { arguments: { slaves: readonly number[] }; result: { common: boolean; pauseMs: number } };
  /** running: a durable write of what that slave holds in the extent, which lies inside one region of whole blocks.
   * UNUSABLE_SOURCE: it receives no writes, or owes any of it; READ_FAILED of it: nothing was written. bytesChanged: in which
   * the master differed before; bytesUnread: of those, in blocks that the master could not read. */
  writeFrom: {
    arguments: { image: number; position: number; length: number };
    result: { bytesChanged: number; bytesUnread: number };
  };
  /** running, recovering: opens the device of a slave that is out, exclusively, on a thread of its own. BUSY (ETIMEDOUT)
   * where that takes too long, also while an earlier one is still not over; else as openImages. WRONG_PHASE: the slave
   * receives writes, or has its device. */
  attachImage: { arguments: { image: number; path: string; resolved: boolean }; result: NativeDeviceFacts };
  /** running, recovering: lets the device of a slave go that is out. loaded, after assess: of one that is to be left out.
   * BUSY (ETIMEDOUT) while it still holds a request. */
  detachImage: { arguments: { image: number }; result: null };
  /** running: that slave, which is out and whose device is attached, receives writes again, and is to be resynced. Its label
   * is looked at anew: NO_LABEL, LABEL_DAMAGED, FOREIGN_IMAGE, SWAPPED_IMAGES, TRUNCATED_IMAGE, BLOCK_TOO_LARGE. full: it
   * owes everything, whatever is known. */
  rejoin: { arguments: { image: number; full: boolean }; result: null };
  /** running, recovering, formatting: one step of the resync of those slaves: at most `longest` bytes (up to
   * limits.resyncBytes) of each are copied, flushed and paid. compare: they are read first, and what differs is counted.
   * onlyDiffering: and only blocks that differ are written. readBack: what was copied is read again before it is paid; what
   * differs then stays owed. One at a time. */
  resync: {
    arguments: {
      slaves: readonly number[];
      longest: number;
      compare: boolean;
      onlyDiffering: boolean;
      readBack: boolean;
    };
    result: NativeResyncResult;
  };
  /** any -> closed. Seals when running; otherwise just lets go (an unclean mirror stays unclean). Waits for requests in
   * flight. The files are closed when it completes, whatever its outcome. From its submission on everything else, a
   * second close too, is answered CLOSED. */
  close: { arguments: Record<string, never>; result: null };
}

/** Memory of the addon's own that was taken over from a caller (I7); opaque. */
export type NativeMemory = object & { readonly __memory: unique symbol };

/** Numbers per completion in `completions`: ticket, code, systemError, image, position. */
export const COMPLETION_STRIDE = 5;

/** By bucket, and the sum of all lengths in ns at the end; null: there was no memory for it. */
export interface NativeHistograms {
  read: Float64Array | null;
  write: Float64Array | null;
  flush: Float64Array | null;
}

/** Since open. The last bucket has no end. */
export interface NativeLatencyHistograms {
  /** ns; the longest that counts into each bucket but the last. */
  bucketEnds: Float64Array | null;
  log: NativeHistograms;
  images: NativeHistograms[];
  requests: NativeHistograms & { discard: Float64Array | null };
}

export interface NativeEngine {
  /** Filled before each onCompletions(count) with `count` entries of COMPLETION_STRIDE numbers. */
  readonly completions: Float64Array;
  readonly deviceKind: 'io_uring' | 'threads';

  /**
   * Requests. `ticket` (0 .. limits.pendingRequests - 1) is the caller's, free for use again once its completion was
   * delivered (reads that succeeded: once finished). Answer 0, or a code at once and no completion: QUEUE_FULL, CLOSED,
   * WRONG_PHASE (no superblock yet), and, should the caller have missed it, MISALIGNED, OUT_OF_RANGE.
   * Arguments of a wrong type and a ticket in use are bugs of lib/: a TypeError is thrown.
   * The caller has validated types, range and alignment. submitWrite copies the bytes before it returns (I7).
   * unaligned (default false): begins and ends at any byte; the engine completes the blocks under the write's lock (I6).
   */
  submitWrite(
    ticket: number,
    bytes: ArrayBufferView,
    offset: number,
    length: number,
    position: number,
    dsync: boolean,
    unaligned?: boolean,
  ): number;
  submitWritev(ticket: number, buffers: readonly ArrayBufferView[], position: number, dsync: boolean): number;
  /**
   * A part of memory that was taken over; used without a copy where its address is aligned. It stays, and is not given
   * back, until the engine is done with it, whatever becomes of this environment.
   */
  submitWriteOwned(
    ticket: number,
    memory: NativeMemory,
    offset: number,
    length: number,
    position: number,
    dsync: boolean,
    unaligned?: boolean,
  ): number;
  submitRead(ticket: number, length: number, position: number): number;
  /** Copies a completed read out and frees the ticket: `length` bytes into the buffers, one after the other, from byte
   * `offset` of their sum. False: they are detached or too short now. `buffers` empty: drop it. */
  finishRead(
    ticket: number,
    target: ArrayBufferView | readonly ArrayBufferView[],
    offset: number,
    length: number,
  ): boolean;
  submitFlush(ticket: number): number;
  submitDiscard(ticket: number, position: number, length: number): number;
  /** Best effort: a request that has not begun, and a write of one region not yet submitted to any image, completes
   * with ABORTED. A request is aborted as a whole or not at all. */
  cancel(ticket: number): void;
  /** After cancel: the request has not ended, nothing of it is on any image, and nothing will be. */
  reachesNothing(ticket: number): boolean;

  command(ticket: number, name: keyof NativeCommands, args: object): number;
  /** Of a loadSuperblock that was refused: NativeOutcome.reason, where there is one. */
  result(ticket: number): unknown;

  snapshot(): NativeSnapshot;
  /** null: the engine is gone. */
  latencies(): { log: DeviceLatency; images: DeviceLatency[] } | null;
  /** null: the engine is gone. */
  latencyHistograms(): NativeLatencyHistograms | null;
  /** Delivers what has completed, as the engine's wake-up does. `more`: it is going to be called again soon, so that the
   * engine need not wake the event loop until a call says otherwise. Before, it offers the processor to other threads;
   * the result says for how many nanoseconds it was away. */
  poll(more: boolean): number;
  /** Whether pending completions keep the process alive. A new engine does not. */
  ref(): void;
  unref(): void;
  /**
   * Stops and joins the thread, without sealing: to the mirror it is as if the power went. Waits (bounded) only for
   * what the kernel holds; requests without an outcome complete with CLOSED, from the event loop. Idempotent. After
   * `close` has completed nothing is in flight, and it returns at once.
   */
  destroy(): void;
}

export interface NativeBinding {
  /** Names by number, codes[0] is 'OK'; the error code is 'ERR_BLOCKMIRROR_' + name. */
  readonly codes: readonly string[];
  readonly version: string;
  readonly limits: {
    slaves: number;
    /** Images that a log has room for, the master counted: the fewest, and where nobody says. */
    minimumMapSlots: number;
    defaultMapSlots: number;
    pendingRequests: number;
    pendingBytes: number;
    /** Largest single read or write, bytes. */
    requestLength: number;
    /** Of compare and fillImage: the largest extent, and how many of them one command takes. */
    copyLength: number;
    copyExtents: number;
    /** Of the same: pieces at once, and bytes of them (of each image), over all commands under way. */
    copyLanes: number;
    copyBytes: number;
    /** Of one step of a resync. */
    resyncBytes: number;
    minimumRecoveryBudget: number;
    maximumRecoveryBudget: number;
    defaultRecoveryBudget: number;
    defaultRingRecords: number;
    minimumRingRecords: number;
    maximumRingRecords: number;
    /** Bytes at the end of every image that hold the label. */
    labelAreaLength: number;
    imageNameLength: number;
    /** What a name of an image is: a regular expression, the same rule that a log is read by. */
    imageNamePattern: string;
    imagePathLength: number;
  };
  /** 0, or the errno with which io_uring is refused here. */
  probeIoUring(): number;
  /** Opens read-only, not exclusive, asks, closes. requireAllocated (default false): HOLE for a file with a hole. */
  deviceFacts(path: string, requireAllocated?: boolean): NativeDeviceFacts | NativeOutcome;
  /** Pure: what the two copies of a superblock (40960 bytes each) say; null for one that cannot be read. */
  readonly superblockOf: (copyA: Uint8Array | null, copyB: Uint8Array | null) => NativeSuperblock | NativeOutcome;
  /** Pure: the same of a label (4096 bytes each). */
  readonly labelOf: (copyA: Uint8Array | null, copyB: Uint8Array | null) => NativeLabel | NativeOutcome;
  /** Size in bytes that a log needs: of so many ring records, for a mirror of that size and at most so many images. */
  logLength(ringRecords: number, size: number, maxImages: number): number;
  /** The view's address modulo the alignment. */
  addressRemainder(view: ArrayBufferView, alignment: number): number;
  /** Zeroed memory at the start of a page, under an ArrayBuffer that can be taken over. Null where there is none to be had,
   * or where JavaScript takes no memory but its own. */
  allocateMemory(length: number): ArrayBuffer | null;
  /** Detaches an ArrayBuffer of allocateMemory or giveMemoryBack; null, and nothing is done, for every other. */
  takeMemory(store: ArrayBuffer): NativeMemory | null;
  /** Null while a device may still read it: after a write that was given up. Else `memory` is worth nothing any more. */
  giveMemoryBack(memory: NativeMemory): ArrayBuffer | null;
  /** Blocks of allocateMemory that somebody still needs, in this process. */
  memoryBlocks(): number;
  /** Engines that have not been destroyed, in this process; tests assert zero. */
  openEngines(): number;
  /** Throws a NativeOutcome (a plain object) when there is no such device kind here (UNSUPPORTED) or no memory. */
  Engine: new (
    /** polling: the engine thread looks for work for a while before it sleeps. */
    options: { device: 'auto' | 'io_uring' | 'threads'; polling: boolean },
    onCompletions: (count: number) => void,
  ) => NativeEngine;
}
