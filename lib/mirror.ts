/**
 * Mirror: an open mirror, with the habits of node:fs FileHandle.
 *
 * Invariants:
 *  - Whatever is wrong with a request is said before anything is logged or written.
 *  - Never emits 'error': a slave that fails must not kill the application it serves.
 *  - close() waits for requests in flight, stops long work between two batches, and happens once.
 *  - status() is derived (I10).
 */
import { EventEmitter } from 'node:events';
import {
  type Geometry,
  checkBytes,
  checkLength,
  checkPosition,
  toNumber,
  wholeNumberOutOfRange,
} from './base/arguments';
import { type Attached, attach, letGo, tooFewPresent } from './life/attach';
import { attachAnew, detachSlave } from './life/attach_slave';
import { RejoinWatch } from './life/rejoin';
import type { NativeSuperblock } from './base/binding';
import { alignedBuffer, HandedOver } from './io/buffers';
import type { MirrorControl } from './base/control';
import { type Control, offerControl } from './control/server';
import { createMirror } from './life/create';
import { attachFailed } from './life/failed_slaves';
import type { Engine } from './io/engine';
import { BlockmirrorError, isBlockmirrorError } from './base/errors';
import { elsewhereOf, mirrorFacts } from './life/find_images';
import { readHistory } from './life/history';
import { loadBinding } from './base/load';
import { type MirrorFacts, command } from './base/remedies';
import { minInSyncOfOpening } from './base/policies';
import { byteLengthOf, isView } from './base/intrinsics';
import { checkHistoryChoice, checkMirrorSet, checkOpen, checkPath, checkStoredPath, someNames } from './base/options';
import { type RecoveryContext, nothingLeftReport, runRecovery, shownRepair, summaryOf } from './life/recovery';
import {
  checkMetrics,
  checkMirrorFracture,
  checkMirrorRecover,
  checkMirrorResync,
  checkMirrorVerify,
  checkMode,
  checkRange,
  listedOptions,
  readOptions,
  refuseMore,
} from './base/request_options';
import { fractureSlaves } from './life/fracture';
import { type ResyncContext, chooseSlaves, paceBeside, runResync } from './life/resync';
import { changeSettings } from './life/settings';
import { isAborted, reasonOf, throwIfAborted } from './base/signals';
import { whenThereIsRoom } from './io/room';
import { readSlices, writeOwnedSlices, writeSlices } from './io/sliced';
import { fitsVector, gather, inSlices, isOversized, scatter, sliceOf } from './io/split';
import { StallWatch, stalledDevices } from './io/stalls';
import { refuseStopped, whyStopped } from './io/stopped';
import { metricsToText } from './metrics/exposition';
import { ResyncTally } from './metrics/resync_totals';
import { MirrorReadable, MirrorWritable, type StreamSource } from './io/streams';
import { type LiveFacts, isOut, liveStatus, shownOwner, shownRecovery } from './look/status';
import { refuseWithoutConsent, runVerifyFrom } from './life/verify_from';
import { processName, thisHost } from './system/processes';
import type { LongWorkOptions, MirrorEvents } from './base/mirror_events';
import type {
  Bytes,
  CreateOptions,
  CreateReport,
  DatasyncOptions,
  DiscardOptions,
  FractureCause,
  FractureChoice,
  FractureReport,
  MetricsOptions,
  HistoryChoice,
  HistoryReport,
  MirrorReadStream,
  MirrorSetOptions,
  MirrorWriteStream,
  OpenOptions,
  Owner,
  Phase,
  Policies,
  ReadOptions,
  ReadResult,
  ReadStreamOptions,
  ReadvOptions,
  ReadvResult,
  RecoveryReport,
  RecoverySummary,
  ResyncChoice,
  ResyncEvent,
  ResyncReport,
  SetReport,
  Status,
  VerifyChoice,
  VerifyFromChoice,
  VerifyFromReport,
  VerifyReport,
  WriteOptions,
  WriteResult,
  WriteStreamOptions,
  WritevOptions,
  WritevResult,
} from './base/types';
import { type Repairing, runVerification } from './life/verification';
import { checkVector } from './io/vectors';
import { StateWatch, tell } from './io/watch';

/** What an opening is asked for. */
interface Opening {
  recoveryBudget: number;
  /** null: what the log says. */
  minInSync?: number | null;
  /** What a crash left is paid beside the requests. */
  background?: boolean;
  /** Offer a control socket. */
  control?: boolean;
}

export class Mirror extends EventEmitter<MirrorEvents> implements MirrorControl {
  private readonly engine: Engine;
  private readonly log: string;
  /** In superblock order; empty: not attached. */
  private readonly paths: string[];
  private readonly attached: Attached;
  private readonly owner: Owner;
  private readonly geometry: Geometry;
  /** What a crash left is not paid yet. */
  private recovering: boolean;
  /** And is paid beside the requests. */
  private readonly recoversBeside: boolean;
  private lastRecovery: RecoverySummary | null;
  private closing: Promise<void> | null = null;
  private closedStatus: Status | null = null;
  /** Work of several requests of the engine; close() lets it end, or stops it between two of them. */
  private readonly work = new Set<Promise<unknown>>();
  private recoveryUnderWay: Promise<RecoveryReport> | null = null;
  /** The last one that was asked for; the next begins when it has ended. */
  private lastResync: Promise<unknown> = Promise.resolve();
  private readonly resyncTally = new ResyncTally();
  private resyncPaused = false;
  /** Of this opening. */
  private rejoin: Policies['rejoin'];
  private attends = false;
  private readonly watch: StateWatch;
  private readonly stalls: StallWatch;
  private readonly rejoins: RejoinWatch;
  /** null: none was asked for. */
  private control: Control | null = null;

  /** @param before as it was when it was opened */
  private constructor(attached: Attached, owner: Owner, before: NativeSuperblock, recoversBeside: boolean) {
    super();
    this.attached = attached;
    this.engine = attached.engine;
    this.log = attached.logPath;
    this.paths = attached.images.map((image) => image.path);
    this.owner = owner;
    this.geometry = { size: attached.superblock.size, blockSize: attached.superblock.blockSize };
    this.recoversBeside = recoversBeside;
    this.recovering = !attached.assessment.clean || this.engine.snapshot().recovering.length > 0;
    this.lastRecovery = shownRecovery(attached.superblock.lastRecovery);
    this.rejoin = attached.superblock.rejoin;
    this.rejoins = new RejoinWatch(
      () => this.engine.snapshot().images,
      (slaves) => this.rejoinByItself(slaves),
    );
    const names = attached.superblock.images.map(({ name }) => name);
    this.stalls = new StallWatch(this.engine, names, (event) => tell(() => this.emit('stalled', event)));
    this.watch = new StateWatch(
      this.engine,
      before.images,
      (change) => {
        this.noteChange(change);
        this.emit('state', {
          image: attached.superblock.images[change.index]?.name ?? '',
          from: change.from,
          to: change.to,
          reason: isOut(change.to) ? (change.cause as FractureCause) : null,
        });
      },
      () => this.emit('degraded', this.status()),
      (repair) => this.emit('repaired', shownRepair(repair, attached.superblock)),
    );
  }

  /** Formats a log and the labels of the images, and copies the master to the slaves unless they are assumed identical. */
  static create(options: CreateOptions): Promise<CreateReport> {
    return createMirror(options);
  }

  static async open(log: string, options: OpenOptions = {}): Promise<Mirror> {
    checkPath(log, 'log');
    const checked = checkOpen(options, loadBinding().limits);
    const background = checked.recovery === 'background';
    const attached = await attach(log, { ...checked, requireNamed: false, attachFailed });
    const { recoveryBudget, minInSync, control } = checked;
    const mirror = await Mirror.fromAttached(attached, { recoveryBudget, minInSync, background, control });
    try {
      // Nobody would see how much differed: open() resolves with the mirror, not with a report.
      const how = { compare: false, readBack: true };
      if (mirror.recovering && checked.recovery === 'auto') await mirror.startRecovery(checked, how);
      // Whoever asks, by recover(), is told how it ended.
      if (background) mirror.startRecovery({}, how).catch(() => undefined);
      // Not before the caller, who has the mirror only now, had a chance to listen.
      mirror.rejoin = checked.rejoin ?? mirror.rejoin;
      setImmediate(() => mirror.beginWatching());
      return mirror;
    } catch (error) {
      await mirror.close().catch(() => undefined);
      throw error;
    }
  }

  /** @internal A mirror that has to be recovered is opened as with recovery 'manual'. On an error it is let go. */
  static async fromAttached(
    attached: Attached,
    { recoveryBudget, minInSync: asked = null, background = false, control = false }: Opening,
  ): Promise<Mirror> {
    try {
      const { engine, logPath } = attached;
      const minInSync = minInSyncOfOpening(asked, attached.superblock, `${command('set', logPath)} minInSync=${asked}`);
      engine.names = { ...engine.names, minInSync };
      const host = await thisHost();
      const paths = attached.images.map((image) => image.store);
      for (const { name, store } of attached.images) {
        checkStoredPath(name, store.path, attached.engine.binding.limits.imagePathLength);
      }
      const superblock = await attached.engine.command('activate', {
        recoveryBudget,
        ...host,
        background,
        leftOut: attached.leftOut,
        minInSync,
        paths,
      });
      const owner = shownOwner(superblock.owner, await processName(superblock.owner.process), 'same');
      attached.engine.names.mirror = mirrorFacts(attached.logPath, superblock, attached.images, attached.word);
      const mirror = new Mirror({ ...attached, superblock }, owner, attached.superblock, background);
      if (control) mirror.control = await offerControl(mirror, logPath, superblock);
      return mirror;
    } catch (error) {
      await letGo(attached.engine);
      throw isBlockmirrorError(error, 'TOO_FEW_IN_SYNC') ? tooFewPresent(error, attached) : error;
    }
  }

  /** Memory that `transfer: true` hands over without a copy: zeroed, alone in its store, aligned as devices want it. */
  static alignedBuffer(length: number): Buffer {
    return alignedBuffer(loadBinding(), length);
  }

  write<B extends Bytes>(buffer: B, options: WriteOptions): Promise<WriteResult<B>>;
  write<B extends Bytes>(
    buffer: B,
    offset?: number | null,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<WriteResult<B>>;
  write<B extends Bytes>(
    buffer: B,
    offsetOrOptions?: number | null | WriteOptions,
    lengthOrNone?: number | null,
    positionOrNone?: number | bigint | null,
    ...more: unknown[]
  ): Promise<WriteResult<B>> {
    try {
      this.refuseUnready();
      const named = typeof offsetOrOptions === 'object' && offsetOrOptions !== null;
      refuseMore(named ? (lengthOrNone ?? positionOrNone ?? more[0]) : more[0], 'write()');
      const mode = named
        ? readOptions(offsetOrOptions, 'write()')
        : listedOptions(offsetOrOptions, lengthOrNone, positionOrNone);
      checkMode(mode);
      const { signal, transfer } = mode;
      const aborted = isAborted(signal);
      // From here on no code of the caller's runs until the request is the engine's.
      checkBytes(buffer, 'buffer');
      checkRange(mode, byteLengthOf(buffer), this.geometry, mode.unaligned ? 'unaligned write' : 'write');
      const { offset, length, position } = mode;
      if (aborted) return Promise.reject(reasonOf(signal));
      if (length === 0) return Promise.resolve({ bytesWritten: 0, buffer });
      if (isOversized(this.engine, length)) {
        const work = transfer
          ? writeOwnedSlices(this.engine, buffer, offset, length, position, mode, signal)
          : writeSlices(this.engine, buffer, offset, length, position, mode, signal);
        return this.track(work);
      }
      if (transfer) {
        const held = HandedOver.take(this.engine.binding, buffer);
        return this.engine.writeOwned(held, offset, length, position, mode, signal);
      }
      return this.engine.write(buffer, offset, length, position, mode, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  read<B extends Bytes>(buffer: B, options: ReadOptions): Promise<ReadResult<B>>;
  read<B extends Bytes>(
    buffer: B,
    offset?: number | null,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<ReadResult<B>>;
  read<B extends Bytes>(options: ReadOptions & { buffer: B }): Promise<ReadResult<B>>;
  read<B extends Bytes>(
    bufferOrOptions: B | (ReadOptions & { buffer: B }),
    offsetOrOptions?: number | null | ReadOptions,
    lengthOrNone?: number | null,
    positionOrNone?: number | bigint | null,
    ...more: unknown[]
  ): Promise<ReadResult<B>> {
    try {
      this.refuseUnready();
      let buffer: unknown = bufferOrOptions;
      let mode;
      if (!isView(bufferOrOptions) && typeof bufferOrOptions === 'object' && bufferOrOptions !== null) {
        refuseMore(offsetOrOptions ?? lengthOrNone ?? positionOrNone ?? more[0], 'read({ buffer })');
        mode = readOptions(bufferOrOptions, 'read({ buffer })');
        ({ buffer } = mode);
      } else if (typeof offsetOrOptions === 'object' && offsetOrOptions !== null) {
        refuseMore(lengthOrNone ?? positionOrNone ?? more[0], 'read()');
        mode = readOptions(offsetOrOptions, 'read()');
      } else {
        refuseMore(more[0], 'read()');
        mode = listedOptions(offsetOrOptions, lengthOrNone, positionOrNone);
      }
      checkMode(mode);
      const { signal } = mode;
      const aborted = isAborted(signal);
      // As of a write: from here on no code of the caller's runs.
      checkBytes(buffer, 'buffer');
      checkRange(mode, byteLengthOf(buffer), this.geometry, 'read');
      const { offset, length, position } = mode;
      if (aborted) return Promise.reject(reasonOf(signal));
      if (length === 0) return Promise.resolve({ bytesRead: 0, buffer: buffer as B });
      if (isOversized(this.engine, length)) {
        return this.track(readSlices(this.engine, buffer as B, offset, length, position, signal));
      }
      return this.engine.read(buffer as B, offset, length, position, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async writev(buffers: readonly Bytes[], position: number | bigint, options?: WritevOptions): Promise<WritevResult> {
    this.refuseUnready();
    const mode = readOptions(options, 'writev()');
    checkMode(mode);
    const { dsync, signal } = mode;
    const { views, length, start } = checkVector(buffers, position, signal, this.geometry, 'writev');
    if (length === 0) return { bytesWritten: 0, buffers };
    if (!isOversized(this.engine, length) && fitsVector(views)) {
      await this.engine.writev(views, length, start, dsync, signal);
    } else {
      const lengths = views.map(byteLengthOf);
      const work = inSlices(this.engine, start, length, signal, (slice) => {
        const parts = sliceOf(views, lengths, slice);
        const joined = fitsVector(parts) ? parts : [gather(parts, slice.length)];
        return this.engine.writev(joined, slice.length, start + slice.offset, dsync, signal);
      });
      await this.track(work);
    }
    return { bytesWritten: length, buffers };
  }

  async readv(buffers: readonly Bytes[], position: number | bigint, options?: ReadvOptions): Promise<ReadvResult> {
    this.refuseUnready();
    const mode = readOptions(options, 'readv()');
    checkMode(mode);
    const { signal } = mode;
    const { views, length, start } = checkVector(buffers, position, signal, this.geometry, 'read');
    if (length === 0) return { bytesRead: 0, buffers };
    if (!isOversized(this.engine, length) && fitsVector(views)) {
      await this.engine.readv(views, length, start, signal);
    } else {
      const lengths = views.map(byteLengthOf);
      const work = inSlices(this.engine, start, length, signal, async (slice) => {
        const parts = sliceOf(views, lengths, slice);
        if (fitsVector(parts)) return this.engine.readv(parts, slice.length, start + slice.offset, signal);
        const whole = Buffer.allocUnsafeSlow(slice.length);
        const partLengths = parts.map(byteLengthOf);
        await this.engine.readv([whole], slice.length, start + slice.offset, signal);
        return scatter(whole, parts, partLengths);
      });
      await this.track(work);
    }
    return { bytesRead: length, buffers };
  }

  /** What was written before this call is on stable media of every image in sync once it resolves. */
  async datasync(options?: DatasyncOptions): Promise<void> {
    this.refuseUnready();
    const mode = readOptions(options, 'datasync()');
    checkMode(mode);
    const { signal } = mode;
    throwIfAborted(signal);
    await this.engine.flush(signal);
  }

  /** The range reads as zeroes afterwards, on every image. */
  async discard(position: number | bigint, length: number | bigint, options?: DiscardOptions): Promise<void> {
    this.refuseUnready();
    const mode = readOptions(options, 'discard()');
    checkMode(mode);
    const { signal } = mode;
    const bytes = toNumber(length, 'length');
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      const { size } = this.geometry;
      throw wholeNumberOutOfRange('length', `from 0 to ${size}, the size of the mirror`, bytes);
    }
    checkLength(bytes, this.geometry, 'discard');
    const start = toNumber(position, 'position');
    checkPosition(start, bytes, this.geometry, 'discard');
    throwIfAborted(signal);
    if (bytes > 0) await this.engine.discard(start, bytes, signal);
  }

  createReadStream(options: ReadStreamOptions = {}): MirrorReadStream {
    return new MirrorReadable(this.streamSource(), options);
  }

  createWriteStream(options: WriteStreamOptions = {}): MirrorWriteStream {
    return new MirrorWritable(this.streamSource(), options);
  }

  status(): Status {
    return this.closedStatus ?? this.statusWith(this.engine.latencies());
  }

  private statusWith(latencies: LiveFacts['latencies']): Status {
    const snapshot = this.engine.snapshot();
    const names = this.attached.superblock.images.map(({ name }) => name);
    return liveStatus({
      log: this.log,
      superblock: this.attached.superblock,
      expectedAt: this.attached.images.map(({ expectedAt }) => expectedAt ?? null),
      attached: this.paths.map((path) => path !== ''),
      paths: this.engine.names.mirror?.images.map(({ path }) => path) ?? this.paths,
      flapping: this.attached.superblock.images.map((_, index) => this.rejoinsItself && this.rejoins.isFlapping(index)),
      doubtful: this.engine.names.mirror?.images.map(({ doubtful }) => doubtful === true) ?? [],
      snapshot,
      rejoin: this.rejoin,
      latencies,
      stopped: whyStopped(this.engine, snapshot.stopped)?.toJSON() ?? null,
      phase: this.phaseOf(snapshot.phase),
      pendingRequests: this.engine.pending,
      abandonedRequests: this.engine.abandoned,
      pendingWrites: this.engine.pendingWrites,
      stalled: stalledDevices(snapshot, names),
      lastRecovery: this.lastRecovery,
      device: this.engine.deviceKind,
      resyncPaused: this.resyncPaused,
      control: this.control?.status ?? null,
      owner: this.owner,
      holder: {
        process: process.pid,
        processName: this.owner.processName,
        uid: process.geteuid?.() ?? null,
        isOwner: true,
        state: 'running',
      },
    });
  }

  /** What monitoring takes, as text (docs/METRICS.md). One scrape costs a snapshot of the engine. */
  async metrics(options: MetricsOptions = {}): Promise<string> {
    const { format } = checkMetrics(options);
    const { version } = this.engine.binding;
    const status = this.closedStatus ?? this.statusWith(null);
    const latencies = this.engine.latencyHistograms();
    const resync = this.resyncTally.totals();
    return metricsToText([{ version, status, damaged: false, latencies, resync }], format);
  }

  /**
   * Of a mirror opened with recovery 'manual'; with 'background' it waits for what is under way already, or tries again what
   * failed. Of one that needs none, a report that says so.
   */
  async recover(options: LongWorkOptions & { compare?: boolean; readBack?: boolean } = {}): Promise<RecoveryReport> {
    const { compare, readBack, ...work } = checkMirrorRecover(options);
    return this.startRecovery(work, { compare, readBack });
  }

  /**
   * Compares every slave with the master, while the mirror is in use; an assumed slave found equal is proven by it. `repair`
   * copies from the master what differs.
   */
  async verify(options?: LongWorkOptions & VerifyChoice): Promise<VerifyReport>;
  /**
   * What a slave holds in one extent becomes the content of the mirror, while it is in use: a write like any other, of all images,
   * durable when it is answered. What the master held there is gone.
   * @throws UNUSABLE_SOURCE where the slave is out, or owes any of it
   */
  async verify(options: LongWorkOptions & VerifyFromChoice): Promise<VerifyFromReport>;
  async verify(
    options: LongWorkOptions & (VerifyChoice | VerifyFromChoice) = {},
  ): Promise<VerifyReport | VerifyFromReport> {
    const { all, repair, rate, position, source, ...work } = checkMirrorVerify(options);
    if (source !== null) refuseWithoutConsent(this.log, source);
    if (this.closing !== null) throw new BlockmirrorError('CLOSED');
    refuseStopped(this.engine);
    if (repair || source !== null) this.refuseUnready();
    if (source !== null) return this.track(runVerifyFrom({ ...this.longWork(work), source }));
    const { unattached, assessment } = this.attached;
    const { recovering } = this;
    const how = { all, rate, position, repair: repair ? this.repairing(work.signal) : null };
    return this.track(
      runVerification({ ...this.longWork(work), extents: assessment.extents, recovering, unattached, ...how }),
    );
  }

  /** What the history of the log tells, with all that happened here until now. */
  async history(options: HistoryChoice = {}): Promise<HistoryReport> {
    const query = checkHistoryChoice(options, Date.now());
    if (this.closing !== null) throw new BlockmirrorError('CLOSED');
    return this.track(readHistory(this.engine, this.log, this.attached.superblock, query));
  }

  private repairing(signal: AbortSignal | undefined): Repairing {
    return {
      pay: async (names) => {
        this.watch.lookNow();
        await this.resyncSlaves({ names, rate: this.ownRate, full: false, compare: false, signal });
        this.watch.lookNow();
      },
      onRepaired: (repair) => this.emit('repaired', repair),
    };
  }

  /**
   * Takes slaves back that are out, and copies what they miss, while the mirror is in use. One that stays out is named in the
   * report, with the reason. A second call waits for the first.
   * @param images names of slaves; default: all that are not in sync
   */
  async resync(images?: readonly string[] | null, options: ResyncChoice = {}): Promise<ResyncReport> {
    const { names, rate, full, compare, ...work } = checkMirrorResync(images, options);
    this.refuseUnready();
    refuseStopped(this.engine);
    const chosen = rate === null ? this.ownRate : (): number | null => (rate === 'auto' ? null : rate);
    const report = await this.resyncSlaves({ ...work, names, rate: chosen, full, compare });
    for (const [index, { name }] of this.attached.superblock.images.entries()) {
      if (report.slaves.some((slave) => slave.name === name && slave.error === null)) this.rejoins.forgive(index);
    }
    if (this.rejoinsItself) this.rejoins.look();
    return report;
  }

  private resyncSlaves(
    options: LongWorkOptions & Pick<ResyncContext, 'names' | 'rate' | 'full' | 'compare'>,
  ): Promise<ResyncReport> {
    const { names, rate, full, compare, ...work } = options;
    chooseSlaves(this.attached.superblock, names);
    const context = {
      ...this.longWork(work),
      mirror: this.engine.names.mirror as MirrorFacts,
      ...{ names, rate, full, compare },
      attach: (index: number) => attachAnew(this.attached, this.paths, index),
      isPaused: () => this.resyncPaused,
      onChange: () => this.watch.lookNow(),
      onTold: (event: ResyncEvent) => {
        this.resyncTally.note(event);
        tell(() => this.emit('resync', event));
      },
    };
    const resync = this.lastResync.then(() => runResync(context));
    this.lastResync = resync.catch(() => undefined);
    return this.track(resync);
  }

  /** Of a slave that is out. */
  private async letGo(index: number): Promise<boolean> {
    this.rejoins.keepOut(index);
    const gone = await detachSlave(this.attached, index);
    if (gone) this.paths[index] = '';
    return gone;
  }

  /** Slaves that came back by themselves, as far as they could. */
  private async rejoinByItself(slaves: readonly number[]): Promise<void> {
    if (this.closing !== null || this.recovering || this.resyncPaused || !this.rejoinsItself) return;
    const names = slaves.map((index) => this.attached.superblock.images[index]?.name ?? '');
    await this.resyncSlaves({ names, rate: this.ownRate, full: false, compare: false });
  }

  /**
   * Takes slaves out of the mirror at one point in time, while it is in use: writes are held for a moment, everything is flushed,
   * and each slave keeps what was acknowledged until then, which its label and the log say. Nothing is written to it until
   * resync() takes it back. A slave that is out already stays as it is, and there is then no common point.
   * With `detach` their devices are let go.
   * @param images names of slaves
   * @throws TOO_FEW_IN_SYNC where fewer would be in sync than the mirror asks for: nothing was done
   */
  async fracture(images: readonly string[], options: FractureChoice = {}): Promise<FractureReport> {
    const names = someNames(images, 'images');
    const { detach } = checkMirrorFracture(options);
    this.refuseUnready();
    refuseStopped(this.engine);
    const { engine, log } = this;
    const { superblock } = this.attached;
    const foundElsewhere = elsewhereOf(this.attached.images);
    const mirror = engine.names.mirror as MirrorFacts;
    const letGo = detach ? (index: number): Promise<boolean> => this.letGo(index) : null;
    const work = fractureSlaves({ engine, log, superblock, mirror, foundElsewhere, names, letGo });
    return this.track(work).finally(() => this.watch.lookNow());
  }

  /**
   * Changes what the mirror goes by, durably in its log, while it is in use; what is not named stays. It holds from now on, in
   * place of what the opening was given: the deadline of devices and `rejoin` at once, a rate with the next step of a resync.
   * A recovery budget is of this opening: lowered, it resolves when what a crash would have to copy fits into it.
   */
  async set(options: MirrorSetOptions): Promise<SetReport> {
    const settings = checkMirrorSet(options, this.engine.binding.limits);
    if (this.closing !== null) throw new BlockmirrorError('CLOSED');
    refuseStopped(this.engine);
    const report = await this.track(changeSettings(this.attached, settings, this.rejoin));
    this.rejoin = report.policies.rejoin;
    if (this.rejoinsItself) this.rejoins.look();
    return report;
  }

  /** A resync under way, and any to come, waits after its step until resumeResync(). */
  pauseResync(): Promise<void> {
    return this.letResyncWait(true);
  }

  resumeResync(): Promise<void> {
    return this.letResyncWait(false);
  }

  private letResyncWait(paused: boolean): Promise<void> {
    if (this.closing !== null) return Promise.reject(new BlockmirrorError('CLOSED'));
    this.resyncPaused = paused;
    return Promise.resolve();
  }

  /** Waits for requests in flight, seals the mirror and lets its devices go. Idempotent. */
  close(): Promise<void> {
    return (this.closing ??= this.closeOnce());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** As the log has it now. */
  private readonly ownRate = (): number | null => this.attached.superblock.resyncRateBytesPerSecond;

  private get rejoinsItself(): boolean {
    return this.attends && this.rejoin === 'auto';
  }

  /** @internal From now on events are told. @param attends and slaves come back by themselves, where the mirror has it so */
  beginWatching(attends = true): void {
    if (this.closing !== null) return;
    this.attends = attends;
    this.watch.begin();
    this.stalls.begin();
    if (this.rejoinsItself) this.rejoins.look();
  }

  private noteChange({ index, to }: { index: number; to: string }): void {
    if (to === 'failed' || to === 'inconsistent') this.rejoins.noteFailure(index);
    if (this.rejoinsItself) this.rejoins.look();
  }

  private async closeOnce(): Promise<void> {
    this.rejoins.stop();
    // What a close waits for may hang.
    this.stalls.begin();
    await Promise.allSettled(this.work);
    this.watch.stop();
    // While the lock is held: the next opener has a socket of its own.
    await this.control?.close();
    try {
      await this.engine.command('close', {});
    } finally {
      this.stalls.stop();
      this.closedStatus = {
        ...this.status(),
        phase: 'closed',
        pendingRequests: 0,
        control: null,
        owner: null,
        holder: null,
      };
      this.engine.destroy();
    }
  }

  private startRecovery(
    options: LongWorkOptions,
    how: Pick<RecoveryContext, 'compare' | 'readBack'>,
  ): Promise<RecoveryReport> {
    if (this.closing !== null) return Promise.reject(new BlockmirrorError('CLOSED'));
    if (!this.recovering) {
      return Promise.resolve(nothingLeftReport(this.longWork(options)));
    }
    this.recoveryUnderWay ??= this.track(this.recoverInTurn(options, how)).finally(() => {
      this.recoveryUnderWay = null;
    });
    return this.recoveryUnderWay;
  }

  /** One resync at a time; beside requests it makes way for them. */
  private recoverInTurn(
    options: LongWorkOptions,
    how: Pick<RecoveryContext, 'compare' | 'readBack'>,
  ): Promise<RecoveryReport> {
    const work = this.longWork(options);
    const pace = this.recoversBeside ? { pace: paceBeside(this.engine, work.checkpoint, this.ownRate) } : {};
    const recovery = this.lastResync.then(() => this.recoverOnce({ ...work, ...how, ...pace }));
    this.lastResync = recovery.catch(() => undefined);
    return recovery;
  }

  private async recoverOnce(context: RecoveryContext): Promise<RecoveryReport> {
    const report = await runRecovery(context);
    this.recovering = false;
    this.lastRecovery = summaryOf(report, new Date());
    return report;
  }

  private longWork(options: LongWorkOptions): Omit<RecoveryContext, 'compare' | 'readBack'> {
    const { signal } = options;
    return {
      engine: this.engine,
      log: this.log,
      superblock: this.attached.superblock,
      paths: this.paths,
      foundElsewhere: elsewhereOf(this.attached.images),
      assessment: this.attached.assessment,
      onProgress: options.onProgress,
      checkpoint: (): void => {
        throwIfAborted(signal);
        if (this.closing !== null) throw new BlockmirrorError('CLOSED');
      },
    };
  }

  private streamSource(): StreamSource {
    return {
      ...this.geometry,
      allocate: (length) => alignedBuffer(this.engine.binding, length),
      read: (buffer, position) => whenThereIsRoom(this.engine, () => this.read(buffer, { position })),
      write: (buffer, offset, length, position) => {
        let memory = buffer;
        return whenThereIsRoom(
          this.engine,
          () => this.write(memory, { offset, length, position, unaligned: true, transfer: true }),
          (error) => (memory = error.buffer as Buffer),
        );
      },
      datasync: () => this.datasync(),
    };
  }

  private refuseUnready(): void {
    if (this.closing !== null) throw new BlockmirrorError('CLOSED');
    if (this.recovering && !this.recoversBeside) throw new BlockmirrorError('NOT_RECOVERED');
  }

  private track<T>(work: Promise<T>): Promise<T> {
    this.work.add(work);
    const forget = (): void => {
      this.work.delete(work);
    };
    work.then(forget, forget);
    return work;
  }

  private phaseOf(phase: string): Phase {
    if (phase === 'stopped') return 'stopped';
    if (phase === 'closed') return 'closed';
    return this.recovering && !this.recoversBeside ? 'recovering' : 'running';
  }
}
