/**
 * The public types: options, results, status and reports. Types only; no code.
 *
 * The JSON of the command line is exactly these shapes. All positions, lengths and sizes are bytes. Times are
 * milliseconds (`…Ms`) or ISO 8601 strings (`…At`).
 *
 * Functions over them (lib/index.ts exports all):
 *   Mirror.create(options: CreateOptions): Promise<CreateReport>
 *   Mirror.open(log: string, options?: OpenOptions): Promise<Mirror>
 *   inspect(log: string, options?: InspectOptions): Promise<Inspection>          writes nothing, not exclusive
 *   recover(log: string, options?: RecoverOptions): Promise<RecoveryReport>      dryRun writes nothing
 *   verify(log: string, options?: VerifyOptions): Promise<VerifyReport>
 *   verify(log: string, options: VerifyFromOptions): Promise<VerifyFromReport>   one extent, by the content of a slave
 *   resync(log: string, options?: ResyncOptions): Promise<ResyncReport>
 *   set(log: string, options: SetOptions): Promise<SetReport>                    policies of a mirror that nobody has open
 *   fracture(log: string, options: FractureOptions): Promise<FractureReport>
 *   recoveryReportToText(report: RecoveryReport): string                          lib/look/report.ts
 *   verifyReportToText(report: VerifyReport): string
 *   verifyFromReportToText(report: VerifyFromReport): string
 *   resyncReportToText(report: ResyncReport): string
 *   setReportToText(report: SetReport): string
 *   parseSize(text: string | number): number, formatSize(bytes: number): string   lib/base/size.ts; '4GiB', '512KiB', '4096'
 *   parseDuration(text: string | number): number, formatDuration(ms: number | null): string   lib/base/duration.ts; '30s'
 *   findUses(path: string): Promise<DeviceUse[]>                                  lib/system/uses.ts; mounted, swap, holders
 *   findSignatures(path: string): Promise<Signatures>                             lib/look/signatures.ts; asks blkid
 */
import type { Readable, Writable } from 'node:stream';
import type { ControlOption, ControlStatus } from './control';
import type { ErrorCode } from './errors';

export type DeviceKind = 'io_uring' | 'threads';
export type ImageRole = 'master' | 'slave';

/**
 * - `synchronized`: identical to the master, and provably so: nothing in flight, nothing uncertain.
 * - `consistent`: in sync; writes are in flight, or were when the mirror was last stopped without being closed.
 * - `assumed`: declared identical by the operator, not compared yet.
 * - `behind`: fractured, but a crash-consistent point in time.
 * - `synchronizing`: being copied from the master; not usable yet.
 * - `inconsistent`: known to differ from the master: a verify found it so, or a copy began and did not end; not usable.
 * - `failed`: it returned an error, or cannot be attached; `error` says why.
 */
export type ImageState =
  'synchronized' | 'consistent' | 'assumed' | 'behind' | 'synchronizing' | 'inconsistent' | 'failed';

/**
 * - `creating`: create did not finish; there is no mirror yet.
 * - `closed`: closed cleanly, not open anywhere.
 * - `unclean`: not open, and not closed cleanly: recovery is needed.
 * - `held`: open in another process.
 * - `recovering`: open with recovery 'manual' and not recovered yet, or just being recovered.
 * - `running`: open, takes reads and writes.
 * - `stopped`: open, here or in another process, but the master or the log failed; `stopped` says why.
 */
export type Phase = 'creating' | 'closed' | 'unclean' | 'held' | 'recovering' | 'running' | 'stopped';

export interface Extent {
  position: number;
  length: number;
}

export type Bytes = ArrayBufferView;

/** A size in bytes: a number, or text with a binary unit such as '64MiB', '4GiB' or '512KiB'. */
export type Size = number | string;

/** A duration: milliseconds, or text with a unit such as '500ms', '30s', '5m' or '1h'. Infinity: without an end. */
export type Duration = number | string;

/** Steps of long work, in the order in which they are reached. */
export type ProgressStep = 'waitForImages' | 'prepare' | 'format' | 'scan' | 'copy' | 'compare' | 'retire' | 'resync';

export interface Progress {
  step: ProgressStep;
  bytesDone: number;
  /** 0 where the step has no length (flushes, format, retire). */
  bytesTotal: number;
  /** Of 'compare': everything before it has been compared; a verify can go on from there. */
  position?: number;
}
export type ProgressListener = (progress: Progress) => void;

export interface ImageChoice {
  path: string;
  /** 1 to 31 letters, digits, '-', '_' and '.', the first a letter or a digit, not 'log'; default 'master', 'slave1', 'slave2', … */
  name?: string;
}

export interface DeviceOption {
  /** How log and images are reached, all of them; default 'auto': io_uring where it is allowed, else threads. */
  device?: 'auto' | DeviceKind;
}

export interface CreateOptions extends DeviceOption, PolicyOptions {
  log: string;
  master: string | ImageChoice;
  slaves: readonly (string | ImageChoice)[];
  /** Default: the largest that all images allow. Needed where an image is a file that does not exist yet. */
  size?: Size;
  /** The caller says that all images hold the same bytes already: no copy. Slaves stay 'assumed' until a verify. */
  assumeIdentical?: boolean;
  /** The master's content is the truth and stays. */
  keepData?: boolean;
  /** What the slaves and the log hold now may go. */
  overwriteSignature?: boolean;
  /**
   * The master is known not to be the newest image of the mirror it comes from, and its content shall win nevertheless:
   * its name in that mirror, as the refusal (STALE_MASTER) gives it.
   */
  acceptStale?: string;
  /** Read the copy back and compare; default true. */
  readBack?: boolean;
  /** What the log holds now is a mirror that was left open on another host, and that host is dead for good. */
  takeOver?: boolean;
  /**
   * Root takes no path through a folder that other users may write (UNSAFE_FOLDER): they could put another file in the
   * place of the log or an image. True: everybody who may write those folders is trusted.
   */
  trustFolders?: boolean;
  /** Records of the log's ring; default by the size of the log's device, or the most usual for a file. */
  ringRecords?: number;
  /** Images that the log has room for, the master counted; default 4, or as many as there are. */
  maxImages?: number;
  onProgress?: ProgressListener;
  signal?: AbortSignal;
}

/** Of an opening: what it does about images that are not there. */
export interface PresenceOptions {
  /**
   * How long images that are absent are waited for, milliseconds or text such as '60s'; Infinity: until they come. Default: as
   * the mirror was made, 10 s. A slave that is absent then, or is not what it should be, is fractured, durably, and the mirror
   * goes on without it. Without its master no mirror is opened. A slave that is out already is not waited for.
   */
  waitForImages?: Duration;
  /** Refuse the opening where an image that should receive writes is absent or not what it should be; default false. */
  requireAll?: boolean;
  /**
   * How long a request to a device may take, milliseconds or text such as '30s'; Infinity: for ever. Default: as the mirror
   * was made, 30 s. A slave that takes longer is fractured, and is asked nothing until it has answered. For the log and the
   * master there is nothing else to go on with: requests wait.
   */
  deviceTimeout?: Duration;
}

export interface OpenOptions extends DeviceOption, PresenceOptions, ControlOption {
  /**
   * 'auto': a slave that went out by a fault is taken back when its device answers again: tried after a second, then less and
   * less often, at most once a minute. One that failed five times within an hour comes back only by resync(), as does one that
   * the operator took out. 'manual': all of them do. Default: as the mirror has it ('auto' unless it was set).
   */
  rejoin?: 'auto' | 'manual';
  /**
   * 'auto' (default): an unclean mirror is recovered before open resolves. 'background': it takes requests at once and is
   * recovered beside them; recover() waits for that and gives its report. 'manual': it rejects I/O until recover().
   */
  recovery?: 'auto' | 'background' | 'manual';
  /** Paths by image name, instead of those the log has stored; remembered once the images proved to be the right ones. */
  images?: Readonly<Record<string, string>>;
  /**
   * The log was not closed, and the process that it names is dead for good, although that cannot be seen from here: it
   * ran on another host. Never overrides a process that is seen to have the log open.
   */
  takeOver?: boolean;
  /** As in CreateOptions. */
  trustFolders?: boolean;
  /** Upper bound, in bytes, of what has to be copied after a crash. */
  recoveryBudget?: Size;
  /** As in PolicyOptions, for this opening alone. It may only raise what the mirror's own is (set() changes that). */
  minInSync?: number;
  /**
   * 'auto' (default): while requests follow one another within 0.4 ms, both the engine's thread and the event loop look
   * for what comes next instead of sleeping, which on fast devices takes much off every request and costs processor
   * time; it stops by itself where that does not pay, and is off with a single processor. 'never': sleep at once.
   */
  polling?: 'auto' | 'never';
  onProgress?: ProgressListener;
  signal?: AbortSignal;
}

export interface InspectOptions {
  images?: Readonly<Record<string, string>>;
  /** As in CreateOptions: a folder that others may write is then no obstacle. */
  trustFolders?: boolean;
  /** Heeded between two steps of reading the ring; what it was aborted with is thrown. */
  signal?: AbortSignal;
}

export interface RecoverOptions extends DeviceOption, PresenceOptions, ControlOption {
  /** Writes nothing: the report says what would be copied. */
  dryRun?: boolean;
  /**
   * Read the slaves before they are overwritten, to count the bytes that differ; default true. What is copied is the
   * same without, and copied faster. A full compare compares in any case.
   */
  compare?: boolean;
  /** Read the copy back and compare; default true. */
  readBack?: boolean;
  /** As in OpenOptions. */
  takeOver?: boolean;
  /** As in CreateOptions. */
  trustFolders?: boolean;
  images?: Readonly<Record<string, string>>;
  onProgress?: ProgressListener;
  signal?: AbortSignal;
}

/** How a resync is made. */
export interface ResyncChoice {
  /**
   * Most bytes a second that are written to the slaves, all together: a number, or text such as '100MiB'. 'auto': it makes way
   * for the application, and takes all that an idle mirror has. Default: the mirror's `resyncRate`, whatever it is at each step.
   */
  rate?: Size;
  /** A slave that is taken back owes everything, whatever is known. One that is being resynced already goes on as it began. */
  full?: boolean;
  /**
   * Read the slave before, and write only what differs: spares a slave that holds most of it, or that reads faster than it
   * writes. Default false.
   */
  compare?: boolean;
  onProgress?: ProgressListener;
  /** Looked at between two steps: the slaves stay synchronizing, and the next resync goes on from there. */
  signal?: AbortSignal;
}

export interface ResyncOptions extends DeviceOption, PresenceOptions, ControlOption, ResyncChoice {
  /** Names of the slaves; default: all that are out of the mirror, or being resynced. */
  slaves?: readonly string[];
  /** As in OpenOptions. */
  takeOver?: boolean;
  /** As in CreateOptions. */
  trustFolders?: boolean;
  images?: Readonly<Record<string, string>>;
}

/** How slaves are taken out. */
export interface FractureChoice {
  /**
   * Their devices are let go too, so that they can be pulled, mounted or copied from; default false. resync() opens them again,
   * and so does the next opening where it finds them. A slave that is out already is let go as well, and comes back only by hand.
   */
  detach?: boolean;
}

/** What a mirror goes by, as it is given: to create, and to set, where what is not given stays. It stands in the log. */
export interface PolicyOptions {
  /**
   * Images in sync that writes ask for, the master counted: 1 (default) to the number of images. With fewer, writes are rejected
   * (TOO_FEW_IN_SYNC) and reading goes on. A slave that is being resynced does not count. 1: the master alone goes on.
   */
  minInSync?: number;
  /** Whether a slave comes back when its device is there again (default), or only when it is asked for. */
  rejoin?: 'auto' | 'manual';
  /** How long a request to a device may take, as in OpenOptions; default 30 s. Of create itself too. */
  deviceTimeout?: Duration;
  /** How long an opening waits for images that are absent, as in OpenOptions; default 10 s. */
  waitForImages?: Duration;
  /**
   * Most bytes a second of a resync that is given no rate of its own: a number, or text such as '100MiB'. 'auto' (default): it
   * makes way for the application, and takes all that an idle mirror has.
   */
  resyncRate?: Size;
}

/** What a mirror goes by, as it is told. */
export interface Policies {
  /** Images in sync that writes ask for, the master counted. */
  minInSync: number;
  rejoin: 'auto' | 'manual';
  /** null: devices may take any time. */
  deviceTimeoutMs: number | null;
  /** null: an opening waits until they come. */
  waitForImagesMs: number | null;
  /** null: automatic. */
  resyncRateBytesPerSecond: number | null;
}

/** And what is of one opening, and not in the log. */
export interface Settings extends Policies {
  /** Bytes; null where the mirror is not open here. */
  recoveryBudget: number | null;
}

/** What is to be changed of a mirror that nobody has open; the rest stays. */
export interface SetOptions extends PolicyOptions {
  /** As in OpenOptions. */
  takeOver?: boolean;
  /** As in CreateOptions. */
  trustFolders?: boolean;
}

/** What is to be changed of a mirror that is open; the rest stays. */
export interface MirrorSetOptions extends PolicyOptions {
  /** As in OpenOptions; of this opening. */
  recoveryBudget?: Size;
}

export interface WriteOptions {
  /** Byte of the mirror; a multiple of `status().blockSize`, unless `unaligned`. */
  position: number;
  /** First byte of the buffer; default 0. */
  offset?: number;
  /** Bytes; default the rest of the buffer. A multiple of `status().blockSize`, unless `unaligned`. */
  length?: number;
  /** Durable on every image in sync when the promise resolves; default false (see datasync). */
  dsync?: boolean;
  /**
   * `position` and `length` may be any bytes; default false. The other bytes of the first and last block keep what they
   * hold: they are read and written back under the write's own lock, so that writers of one block never undo one another.
   */
  unaligned?: boolean;
  /** Hand the buffer's memory over instead of copying: it is detached now, and given back in the result. */
  transfer?: boolean;
  signal?: AbortSignal;
}

export interface ReadOptions {
  position: number;
  offset?: number;
  length?: number;
  signal?: AbortSignal;
}

export interface WritevOptions {
  dsync?: boolean;
  signal?: AbortSignal;
}
export interface ReadvOptions {
  signal?: AbortSignal;
}
export interface DiscardOptions {
  signal?: AbortSignal;
}
export interface DatasyncOptions {
  signal?: AbortSignal;
}

export interface WriteResult<B extends Bytes = Bytes> {
  bytesWritten: number;
  buffer: B;
}
export interface ReadResult<B extends Bytes = Bytes> {
  bytesRead: number;
  buffer: B;
}
export interface WritevResult {
  bytesWritten: number;
  buffers: readonly Bytes[];
}
export interface ReadvResult {
  bytesRead: number;
  buffers: readonly Bytes[];
}

export interface ReadStreamOptions {
  /** First byte; default 0. */
  start?: number;
  /** Last byte, inclusive as in node:fs; default the last of the mirror. */
  end?: number;
  /** Chunks are texts in this encoding; default: Buffers. */
  encoding?: BufferEncoding | null;
  /** Emit 'close' at the end; default true. */
  emitClose?: boolean;
  /** Largest chunk in bytes, up to 1 MiB, and how many bytes wait for the consumer; default 1 MiB. */
  highWaterMark?: number;
  signal?: AbortSignal;
}

export interface WriteStreamOptions {
  /** First byte; default 0. */
  start?: number;
  /** Flush every image in sync before 'finish'; default false: finish alone is acknowledged, not durable. */
  flush?: boolean;
  /** Of the texts that are written; default 'utf8'. */
  encoding?: BufferEncoding | null;
  /** Emit 'close' at the end; default true. */
  emitClose?: boolean;
  /** Bytes that wait in the stream before write() answers false; default 1 MiB. */
  highWaterMark?: number;
  signal?: AbortSignal;
}
export type MirrorReadStream = Readable & { readonly bytesRead: number };
export type MirrorWriteStream = Writable & { readonly bytesWritten: number };

/** An error as JSON. */
export interface Problem {
  code: ErrorCode;
  message: string;
}

/** An image changed for good; the passing change between synchronized and consistent is no event. */
export interface StateEvent {
  /** Name of the image. */
  image: string;
  from: RecordedState;
  to: RecordedState;
  /** Why it stopped receiving writes; null when it did not. */
  reason: FractureCause | null;
}
/** A resync that has something to copy began, goes on, or ended. */
export interface ResyncEvent {
  /** Names of the slaves. */
  images: string[];
  /** 'progress': at most once a second. */
  step: 'begun' | 'progress' | 'ended';
  /** Over all slaves. */
  bytesDone: number;
  bytesTotal: number;
  /** Over the last ten seconds. */
  bytesPerSecond: number;
  /** At that rate; null: nothing can be said yet, or it moves nothing. */
  timeLeftMs: number | null;
  /**
   * Of 'ended': every slave is in sync; or one is not, as status says; or it was stopped, by its signal, by a close, or because
   * the mirror stopped.
   */
  reason: 'in-sync' | 'not-in-sync' | 'stopped' | null;
}

/** States as the log holds them: 'in-sync' is shown as synchronized or consistent. */
export type RecordedState = 'in-sync' | 'assumed' | 'behind' | 'synchronizing' | 'inconsistent' | 'failed';

/** A device has a request past its deadline (`deviceTimeout`), and has not answered it yet. */
export interface StalledDevice {
  /** Name of the image, or 'log'. A slave is fractured; for the master and the log the requests that need them wait. */
  device: string;
  /** What the oldest of those requests asks for. */
  operation: 'read' | 'write' | 'flush';
  /** When the first of them was asked. */
  since: string;
}

/** A device stalled, or its stall is over. */
export interface StalledEvent extends StalledDevice {
  /** When it was seen that it had answered, or was let go; null: it hangs. */
  until: string | null;
}

/**
 * Bytes of an image were written anew with what another one holds: it could not read them, and they were read back; or a
 * verify found them different from the master, and copied them.
 */
export interface Repair {
  /** Name of the image whose bytes they are. */
  image: string;
  position: number;
  length: number;
  /** Name of the image that has them. */
  from: string;
}

export interface Generation {
  counter: number;
  id: string;
  parent: string;
}

/** Why a slave stopped receiving writes, as the log records it. */
export type FractureCause =
  | 'write-error'
  | 'flush-error'
  | 'read-error'
  | 'label-error'
  | 'deadline'
  | 'absent'
  | 'blank'
  | 'foreign'
  | 'stale'
  | 'too-small'
  | 'grown'
  | 'unreadable'
  | 'lost-allocation'
  | 'block-too-large'
  | 'operator-request'
  | 'promoted'
  | 'added'
  | 'flapping'
  | 'differs';

/** How long a device took to answer, of all requests of a kind; counted to an eighth of a power of two. */
export interface LatencySummary {
  /** Requests that were answered; one that hangs is none yet. */
  count: number;
  /** Half of them took no longer. */
  p50Ms: number;
  p99Ms: number;
  /** 99.9 % of them. */
  p999Ms: number;
  maxMs: number;
}
/** By what was asked for; null: nothing was. */
export interface LatencyByOperation {
  read: LatencySummary | null;
  write: LatencySummary | null;
  flush: LatencySummary | null;
}
export interface DeviceLatency {
  /** To ten seconds. */
  lastMinute: LatencyByOperation;
  sinceOpen: LatencyByOperation;
}

export interface ImageStatus {
  name: string;
  role: ImageRole;
  path: string;
  state: ImageState;
  /** Where it was expected, when it was found elsewhere by its label; null otherwise. A copy that was put there has the label too. */
  expectedAt: string | null;
  /** Why it is failed, or why it cannot be used as it is now (mounted, read-only, …). */
  error: Problem | null;
  /** When its state last changed for good; null: not since the mirror was made. */
  changedAt: string | null;
  /** Bytes that a verify found different from the master, and that were neither mended nor verified equal since. */
  bytesDiffered: number;
  /** Of a slave that is out, or being taken back: when it stopped receiving writes, and why. */
  fracture: { at: string | null; cause: FractureCause } | null;
  /** What it may miss: nothing, what a map in the log names, or everything. */
  debt: 'none' | 'map' | 'everything';
  /** Bytes that its resync has to copy, at most; null: not known until its map is read, as resync does. */
  bytesOwed: number | null;
  /** How its device is reached; null where it is not attached, or the mirror is not open here. */
  device: DeviceKind | null;
  /** Of its device, also of one that it had before in this opening; null when the mirror is not open here. */
  latency: DeviceLatency | null;
  /** What its resync, which is under way or was cut off, copies: what it owed, or everything. */
  resync: 'none' | 'debt' | 'full-compare' | 'full-copy';
}

export interface RecoverySummary {
  finishedAt: string;
  liveIntents: number;
  bytesCovered: number;
  bytesCopied: number;
  durationMs: number;
  readBack: boolean;
  fullCompare: boolean;
}

/** The last verify that went over the whole mirror. */
export interface VerifySummary {
  finishedAt: string;
  /** Of the mirror. */
  bytesCompared: number;
  /** Over all slaves. */
  bytesDiffered: number;
  /** Of those: copied from the master by the same verify. */
  bytesRepaired: number;
  /** 'repaired': what differed was copied from the master, all of it. */
  result: 'identical' | 'repaired' | 'differs';
}

/** Who holds the lock of the log now, as this machine tells; the owner record says who opened the mirror last. */
export interface Holder {
  /** null: held, by a process that cannot be seen from here (another pid namespace). */
  process: number | null;
  processName: string | null;
  /** Number of the user whose process it is; null: not known. */
  uid: number | null;
  /** Whether it is the process that the owner record names; anybody who may read a log can lock it. null: not known. */
  isOwner: boolean | null;
  /** 'frozen': it was stopped by a signal, a debugger or a freezer, and answers nobody. null: not known. */
  state: 'running' | 'frozen' | null;
}

/** Who has the mirror open, or had it open last. */
export interface Owner {
  host: string;
  bootId: string;
  process: number;
  /** Name of that process, when it is certain that it runs on this host now. */
  processName: string | null;
  /** Whether `process` is a number of the reader's own pid namespace; elsewhere it names another process here, or none. */
  pidNamespace: 'same' | 'other' | 'unknown';
  startedAt: string;
}

/** 'openmetrics': OpenMetrics 1.0. 'prometheus': its text format 0.0.4, as node_exporter's textfile collector reads it. */
export type MetricsFormat = 'openmetrics' | 'prometheus';

export interface MetricsOptions {
  /** Default 'openmetrics'. */
  format?: MetricsFormat;
}

/** One shape for `mirror.status()`, `inspect(log).status` and `blockmirror status --json`. */
export interface Status {
  uuid: string;
  log: string;
  size: number;
  blockSize: number;
  generation: Generation;
  phase: Phase;
  /**
   * Why phase is 'stopped', or why a mirror that is 'unclean' had stopped. From outside only a failure of the master is
   * known: where the log failed nothing could be noted.
   */
  stopped: Problem | null;
  /** This and the next four as in Policies; of this opening where it is open here, else as the log has it. */
  minInSync: number;
  rejoin: Policies['rejoin'];
  deviceTimeoutMs: number | null;
  /** As the log has it. */
  waitForImagesMs: number | null;
  resyncRateBytesPerSecond: number | null;
  images: ImageStatus[];
  logUse: {
    recordCount: number;
    /** Records that still hold live intents. */
    recordsLive: number;
    recordSize: number;
    sequence: number;
    tail: number;
    /** How its device is reached; null when the mirror is not open here. */
    device: DeviceKind | null;
    /** Of the device of the log; null when the mirror is not open here. */
    latency: DeviceLatency | null;
  };
  coverage: {
    /** Bytes that a crash now would have recovery copy. */
    bytes: number;
    /** Upper bound of `bytes`; null when the mirror is not open here. */
    budget: number | null;
    regions: number;
    /** Bytes of `bytes` in which the images may really differ: the debt of a recovery that has not ended. */
    uncertainBytes: number;
  };
  /** Since open, by name (docs/API.md); empty when the mirror is not open here. */
  counters: Record<string, number>;
  /** Requests given to the mirror that have not settled. */
  pendingRequests: number;
  /** Requests that their signal abandoned while a device hangs (OUTCOME_UNKNOWN), and that have not ended: their ranges are locked. */
  abandonedRequests: number;
  /** What does not answer in time, the log first; null when the mirror is not open here: only its process knows. */
  stalled: StalledDevice[] | null;
  lastRecovery: RecoverySummary | null;
  /** null when the mirror was never verified. */
  lastVerify: VerifySummary | null;
  /** Resync waits for resumeResync(); null when the mirror is not open here. */
  resyncPaused: boolean | null;
  /** null: the mirror was opened without, or is not open here. */
  control: ControlStatus | null;
  /** Who has it open; null when nobody has. */
  owner: Owner | null;
  /** Who holds its log now; null when nobody does, or it cannot be found out. */
  holder: Holder | null;
}

export interface DeviceFacts {
  path: string;
  size: number;
  logicalBlockSize: number;
  physicalBlockSize: number;
  memoryAlignment: number;
  offsetAlignment: number;
  blockDevice: boolean;
  /** Owner, group and permission bits (as 0o640) of the file, or of the node of the device. */
  uid: number;
  gid: number;
  mode: number;
  readOnly: boolean;
  volatileCache: boolean;
  forceUnitAccess: 'native' | 'emulated';
}

export interface LiveIntent {
  /** Of the log record that holds it. */
  sequence: number;
  position: number;
  length: number;
}

/** What log and images say now. While phase is 'held' it is a moving picture: the owner goes on writing. */
export interface Inspection {
  status: Status;
  clean: boolean;
  /** The ring holds damage: what is covered is unknown, so every slave needs a full compare. */
  damaged: boolean;
  /** In plain words, one line each: the first 64 of `damageCount`. */
  damage: string[];
  damageCount: number;
  tornRecords: number;
  /** In order of sequence: the first 1000 of `liveIntentCount`. */
  liveIntents: LiveIntent[];
  liveIntentCount: number;
  /** Merged, sorted, disjoint: all that recovery would copy. At most 262144: neighbours are one where it would be more. */
  extents: Extent[];
  bytesCovered: number;
  logUuid: string;
  /** Who opened it last, whether or not it still does. */
  lastOwner: Owner | null;
  logDevice: DeviceFacts;
  /** In the order of status.images; null for an image that cannot be opened. */
  imageDevices: (DeviceFacts | null)[];
  /** Whether open() or recover() would take the log and the images as they are now. */
  attachable: boolean;
  /** Everything because of which open() would refuse now, of the log and of every image. */
  obstacles: Problem[];
  /**
   * False: this is root, and another user may have written the log. Where it says that images are is not believed for
   * images of other users, and no command should name it.
   */
  believed: boolean;
  /** Copies of superblock and labels that are not whole: the other copy counts, and the next opening writes both. */
  lostCopies: LostCopy[];
}

export interface LostCopy {
  /** 'log', or the name of the image. */
  where: string;
  copy: 'A' | 'B';
  state: 'damaged' | 'unknown' | 'unreadable' | 'absent';
}

/** What a device or file is to blockmirror. */
export interface IdentifiedPath {
  path: string;
  /** A log, an image (by its label), or neither. */
  kind: 'log' | 'image' | 'other';
  /** Bytes. */
  size: number;
  /** In words; null when nothing on it is of blockmirror. */
  description: string | null;
  /** Of the superblock of a log, or the label of an image: copies A and B. */
  copies: readonly [CopyState, CopyState];
  /** UUID of its mirror; null when nothing on it can be read. */
  mirror: string | null;
  /** Bytes of its mirror; null when nothing on it can be read. */
  mirrorSize: number | null;
  logUuid: string | null;
  /** Of an image. */
  image: { name: string; role: ImageRole; state: RecordedState; sealed: boolean } | null;
  generation: Generation | null;
  /** How often the mirror had been opened when this was written. */
  openings: number | null;
  /** Of a log. */
  lastOpenedAt: string | null;
  /** The rest of its mirror, as far as it was found. */
  parts: { path: string; kind: 'log' | 'image'; image: IdentifiedPath['image']; description: string }[];
  problem: Problem | null;
}

/** `unknown`: whole, and of a version or with a feature that this program does not know. */
export type CopyState = 'whole' | 'damaged' | 'unknown' | 'unreadable' | 'absent';

/** Why a device or file is not ours to write. */
export interface DeviceUse {
  kind: 'mounted' | 'swap' | 'holder';
  /** In plain words: where it is mounted, which holder. */
  detail: string;
  /** The command that ends this use, to be pasted into a shell; null where that is for its owner to say. */
  release: string | null;
}

export interface Signature {
  /** As blkid names it ('ext4', 'gpt', 'linux_raid_member'), or 'blockmirror image', 'blockmirror log'. */
  type: string;
  kind: 'filesystem' | 'partition-table' | 'raid' | 'blockmirror' | 'other';
  label: string | null;
  /** Bytes from the start that it is known to reach; null when not known. */
  reaches: number | null;
}

export interface Signatures {
  signatures: Signature[];
  /** False: blkid is not installed or failed, so that only blockmirror's own marks were looked for. */
  probed: boolean;
  problem: string | null;
}

export type { ErrorCode };
export type * from './history';
export type * from './reports';
export type * from './verify_types';
