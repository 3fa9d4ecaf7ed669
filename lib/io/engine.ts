/**
 * The native engine with promises: a table of tickets, each a request that is under way.
 *
 * Invariants:
 *  - A ticket belongs to one request from take() until its completion was delivered and, for a read, finished.
 *  - Every promise settles exactly once, from a completion or at once when the engine refuses. What the settling of one
 *    throws rejects that one.
 *  - A ticket that was taken comes back on every path, whatever the addon throws for a caller's object.
 *  - The engine keeps the process alive exactly while something is pending that was not abandoned.
 *  - An abandoned request keeps its ticket, its memory (I7) and its range (I6) until the engine is done with it; what it ends
 *    with then is nobody's. A read never touches its caller's buffer after that.
 *  - No closure, and no object but the promise and its result, per request: the entries of the table are used again.
 * Callers have checked types, range and alignment.
 */
import { AbortRegistry } from './aborts';
import {
  COMPLETION_STRIDE,
  type NativeBinding,
  type NativeCommands,
  type NativeEngine,
  type NativeSnapshot,
  type NativeOutcome,
} from '../base/binding';
import type { HandedOver } from './buffers';
import { BlockmirrorError, type ErrorContext, type StatusNames, errorOfStatus } from '../base/errors';
import { CalledOff } from './called_off';
import { CompletionPoller } from './completion_poller';
import { put } from '../base/intrinsics';
import { isAborted, reasonOf } from '../base/signals';
import type { Bytes, DeviceKind, ReadResult, ReadvResult, WriteResult, WritevResult } from '../base/types';

type Settler = (value: unknown) => void;

function unused(): void {}
let takenResolve: Settler = unused;
let takenReject: Settler = unused;
// The executor of a promise without a closure: it leaves the two functions here, for the caller to pick up at once.
function takeSettlers(resolve: Settler, reject: Settler): void {
  takenResolve = resolve;
  takenReject = reject;
}

type Kind = 'none' | 'write' | 'writeOwned' | 'writev' | 'read' | 'readv' | 'flush' | 'discard' | 'command';

/** How a write is made: durable when it completes; at any byte. */
export interface WriteMode {
  dsync: boolean;
  unaligned: boolean;
}

const NO_BUFFERS: readonly Bytes[] = [];

/** One entry of the table. */
class Request {
  /** The next free ticket after this one, while this one is free; -1: none. */
  nextFree = -1;
  kind: Kind = 'none';
  resolve: Settler = unused;
  reject: Settler = unused;
  /** What the result hands back. */
  buffer: Bytes | null = null;
  held: HandedOver<Bytes> | null = null;
  /** Targets of a readv, sources of a writev. */
  buffers: readonly Bytes[] = NO_BUFFERS;
  offset = 0;
  length = 0;
  signal: AbortSignal | undefined = undefined;
  /** Its promise is settled; the engine still has it. */
  abandoned = false;
}

/** Tickets that requests leave to commands: a full queue never keeps a mirror from being closed. */
const COMMAND_SLOTS = 64;

export class Engine {
  /** For the errors of statuses; set as the mirror becomes known. */
  names: StatusNames = { log: '', images: [] };
  /** Called after each batch of completions. */
  afterCompletions: (() => void) | null = null;

  private readonly native: NativeEngine;
  private readonly requests: Request[] = [];
  private firstFree = -1;
  private readonly aborts: AbortRegistry;
  private readonly poller: CompletionPoller | null = null;
  private readonly calledOff: CalledOff;
  private pendingCount = 0;
  private abandonedCount = 0;
  private writesPending = 0;
  private requestCount = 0;
  private destroyed = false;
  private settlementWaiters = new Set<() => void>();

  constructor(
    readonly binding: NativeBinding,
    device: 'auto' | DeviceKind,
    polling: boolean,
  ) {
    this.calledOff = new CalledOff(
      () => hangs(this.native.snapshot()),
      (ticket) => this.abandon(ticket),
    );
    this.aborts = new AbortRegistry((ticket) => {
      this.native.cancel(ticket);
      this.calledOff.add(ticket);
    });
    try {
      this.native = new binding.Engine({ device, polling }, (count) => this.complete(count));
    } catch (refusal) {
      // The addon throws a status where there is no engine that could complete with one.
      if (typeof (refusal as NativeOutcome).code !== 'number') throw refusal;
      throw errorOfStatus(binding.codes, refusal as NativeOutcome);
    }
    if (polling) this.poller = new CompletionPoller(this);
  }

  get deviceKind(): DeviceKind {
    return this.native.deviceKind;
  }
  /** Requests and commands that have not settled. */
  get pending(): number {
    return this.pendingCount - this.abandonedCount;
  }
  /** Requests that were abandoned, and that the engine still has. */
  get abandoned(): number {
    return this.abandonedCount;
  }
  /** Requests that were taken since the beginning, without commands. */
  get requestsTaken(): number {
    return this.requestCount;
  }
  /** Writes and discards that have not ended, abandoned ones too. */
  get pendingWrites(): number {
    return this.writesPending;
  }

  poll(more: boolean): number {
    return this.destroyed ? 0 : this.native.poll(more);
  }

  snapshot(): NativeSnapshot {
    return this.native.snapshot();
  }

  latencies(): ReturnType<NativeEngine['latencies']> {
    return this.native.latencies();
  }

  latencyHistograms(): ReturnType<NativeEngine['latencyHistograms']> {
    return this.native.latencyHistograms();
  }

  write<B extends Bytes>(
    buffer: B,
    offset: number,
    length: number,
    position: number,
    mode: WriteMode,
    signal: AbortSignal | undefined,
  ): Promise<WriteResult<B>> {
    const ticket = this.take(0);
    if (ticket < 0) return this.refuseFull(null);
    let code;
    try {
      code = this.native.submitWrite(ticket, buffer, offset, length, position, mode.dsync, mode.unaligned);
    } catch (error) {
      return this.refuseThrown(ticket, error);
    }
    if (code !== 0) return this.refuse(ticket, code, null);
    this.writesPending += 1;
    return this.enter(ticket, 'write', buffer, length, signal) as Promise<WriteResult<B>>;
  }

  /** The result, or the error, gives back what was handed over. */
  writeOwned<B extends Bytes>(
    held: HandedOver<B>,
    offset: number,
    length: number,
    position: number,
    mode: WriteMode,
    signal: AbortSignal | undefined,
  ): Promise<WriteResult<B>> {
    const ticket = this.take(0);
    if (ticket < 0) return this.refuseFull(held);
    let code;
    try {
      code = held.submit(this.native, ticket, offset, length, position, mode);
    } catch (error) {
      return this.refuseThrown(ticket, error);
    }
    if (code !== 0) return this.refuse(ticket, code, held);
    this.writesPending += 1;
    const promise = this.enter(ticket, 'writeOwned', null, length, signal);
    this.at(ticket).held = held;
    return promise as Promise<WriteResult<B>>;
  }

  writev(
    buffers: readonly Bytes[],
    length: number,
    position: number,
    dsync: boolean,
    signal: AbortSignal | undefined,
  ): Promise<WritevResult> {
    const ticket = this.take(0);
    if (ticket < 0) return this.refuseFull(null);
    let code;
    try {
      code = this.native.submitWritev(ticket, buffers, position, dsync);
    } catch (error) {
      return this.refuseThrown(ticket, error);
    }
    if (code !== 0) return this.refuse(ticket, code, null);
    this.writesPending += 1;
    const promise = this.enter(ticket, 'writev', null, length, signal);
    this.at(ticket).buffers = buffers;
    return promise as Promise<WritevResult>;
  }

  read<B extends Bytes>(
    buffer: B,
    offset: number,
    length: number,
    position: number,
    signal: AbortSignal | undefined,
  ): Promise<ReadResult<B>> {
    const ticket = this.take(0);
    if (ticket < 0) return this.refuseFull(null);
    let code;
    try {
      code = this.native.submitRead(ticket, length, position);
    } catch (error) {
      return this.refuseThrown(ticket, error);
    }
    if (code !== 0) return this.refuse(ticket, code, null);
    const promise = this.enter(ticket, 'read', buffer, length, signal);
    this.at(ticket).offset = offset;
    return promise as Promise<ReadResult<B>>;
  }

  readv(
    buffers: readonly Bytes[],
    length: number,
    position: number,
    signal: AbortSignal | undefined,
  ): Promise<ReadvResult> {
    const ticket = this.take(0);
    if (ticket < 0) return this.refuseFull(null);
    let code;
    try {
      code = this.native.submitRead(ticket, length, position);
    } catch (error) {
      return this.refuseThrown(ticket, error);
    }
    if (code !== 0) return this.refuse(ticket, code, null);
    const promise = this.enter(ticket, 'readv', null, length, signal);
    const request = this.at(ticket);
    request.buffers = buffers;
    request.offset = 0;
    return promise as Promise<ReadvResult>;
  }

  flush(signal: AbortSignal | undefined): Promise<void> {
    const ticket = this.take(0);
    if (ticket < 0) return this.refuseFull(null);
    const code = this.native.submitFlush(ticket);
    if (code !== 0) return this.refuse(ticket, code, null);
    return this.enter(ticket, 'flush', null, 0, signal) as Promise<void>;
  }

  discard(position: number, length: number, signal: AbortSignal | undefined): Promise<void> {
    const ticket = this.take(0);
    if (ticket < 0) return this.refuseFull(null);
    let code;
    try {
      code = this.native.submitDiscard(ticket, position, length);
    } catch (error) {
      return this.refuseThrown(ticket, error);
    }
    if (code !== 0) return this.refuse(ticket, code, null);
    this.writesPending += 1;
    return this.enter(ticket, 'discard', null, length, signal) as Promise<void>;
  }

  command<Name extends keyof NativeCommands>(
    name: Name,
    args: NativeCommands[Name]['arguments'],
  ): Promise<NativeCommands[Name]['result']> {
    const ticket = this.take(COMMAND_SLOTS);
    if (ticket < 0) return this.refuseFull(null);
    let code;
    try {
      code = this.native.command(ticket, name, args);
    } catch (error) {
      return this.refuseThrown(ticket, error);
    }
    if (code !== 0) return this.refuse(ticket, code, null);
    return this.enter(ticket, 'command', null, 0, undefined) as Promise<NativeCommands[Name]['result']>;
  }

  /** Resolves when something settles; for callers that were refused for want of room. */
  nextSettlement(): Promise<void> {
    return new Promise((resolve) => this.settlementWaiters.add(resolve));
  }

  /** Idempotent. Nothing may be pending but what close has let go of. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.afterCompletions = null;
    this.native.destroy();
  }

  /** A free ticket, or -1. Requests leave `COMMAND_SLOTS` to commands, which may take that many `extra`. */
  private take(extra: number): number {
    const limit = this.binding.limits.pendingRequests - COMMAND_SLOTS + extra;
    if (this.pendingCount >= limit || this.destroyed) return -1;
    let ticket = this.firstFree;
    if (ticket >= 0) this.firstFree = this.at(ticket).nextFree;
    else {
      ticket = this.requests.length;
      put(this.requests, ticket, new Request());
    }
    this.pendingCount += 1;
    if (this.pending === 1) this.native.ref();
    return ticket;
  }

  private release(ticket: number): void {
    this.at(ticket).nextFree = this.firstFree;
    this.firstFree = ticket;
    this.pendingCount -= 1;
    if (this.pending === 0) this.native.unref();
  }

  /** What the addon throws, because its caller's object is not what it was, costs no ticket. */
  private refuseThrown(ticket: number, error: unknown): Promise<never> {
    this.release(ticket);
    return Promise.reject(error);
  }

  private at(ticket: number): Request {
    return this.requests[ticket] as Request;
  }

  private enter(
    ticket: number,
    kind: Kind,
    buffer: Bytes | null,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const request = this.at(ticket);
    const promise = new Promise(takeSettlers);
    request.resolve = takenResolve;
    request.reject = takenReject;
    request.kind = kind;
    request.buffer = buffer;
    request.length = length;
    if (signal !== undefined) {
      request.signal = signal;
      this.aborts.watch(signal, ticket);
    }
    // Commands take longer than a look is worth.
    if (kind !== 'command') {
      this.requestCount += 1;
      this.poller?.submitted();
    }
    return promise;
  }

  private refuse(ticket: number, code: number, held: HandedOver<Bytes> | null): Promise<never> {
    this.release(ticket);
    return Promise.reject(this.errorOf({ code, systemError: 0, image: -1, position: 0 }, held));
  }

  private refuseFull(held: HandedOver<Bytes> | null): Promise<never> {
    return Promise.reject(new BlockmirrorError(this.destroyed ? 'CLOSED' : 'QUEUE_FULL', givenBack(held)));
  }

  private errorOf(status: NativeOutcome, held: HandedOver<Bytes> | null): BlockmirrorError {
    return errorOfStatus(this.binding.codes, status, this.names, givenBack(held));
  }

  private complete(count: number): void {
    this.poller?.delivered();
    const completions = this.native.completions;
    for (let index = 0; index < count; index++) {
      const at = index * COMPLETION_STRIDE;
      const ticket = completions[at] as number;
      const code = completions[at + 1] as number;
      if (code === 0) this.succeed(ticket);
      else {
        this.fail(ticket, {
          code,
          systemError: completions[at + 2] as number,
          image: completions[at + 3] as number,
          position: completions[at + 4] as number,
        });
      }
    }
    if (this.settlementWaiters.size > 0) {
      const waiters = this.settlementWaiters;
      this.settlementWaiters = new Set();
      for (const wake of waiters) wake();
    }
    if (this.afterCompletions !== null) this.afterCompletions();
  }

  private succeed(ticket: number): void {
    const request = this.at(ticket);
    if (request.abandoned) return this.endAbandoned(ticket, request);
    const { resolve, reject } = request;
    let result;
    try {
      result = this.resultOf(ticket, request);
    } catch (error) {
      this.leave(ticket, request);
      reject(error);
      return;
    }
    this.leave(ticket, request);
    resolve(result);
  }

  /** What a request that succeeded resolves with. @throws what it is rejected with all the same */
  private resultOf(ticket: number, request: Request): unknown {
    const { length } = request;
    switch (request.kind) {
      case 'write':
        return { bytesWritten: length, buffer: request.buffer };
      case 'writeOwned':
        return { bytesWritten: length, buffer: request.held?.giveBack() };
      case 'writev':
        return { bytesWritten: length, buffers: request.buffers };
      case 'read':
        this.finishRead(ticket, request.buffer as Bytes, request);
        return { bytesRead: length, buffer: request.buffer };
      case 'readv':
        this.finishRead(ticket, request.buffers, request);
        return { bytesRead: length, buffers: request.buffers };
      case 'command':
        return this.native.result(ticket);
      default:
        return undefined;
    }
  }

  private finishRead(ticket: number, target: Bytes | readonly Bytes[], { offset, length }: Request): void {
    if (!this.native.finishRead(ticket, target, offset, length)) throw new BlockmirrorError('BUFFER_DETACHED');
  }

  private fail(ticket: number, status: NativeOutcome): void {
    const request = this.at(ticket);
    if (request.abandoned) return this.leave(ticket, request);
    const { reject } = request;
    let error;
    try {
      error = this.errorOfRequest(request, this.withReason(ticket, request, status));
    } catch (thrown) {
      error = thrown;
    }
    this.leave(ticket, request);
    reject(error);
  }

  /** Of a log that is refused for its content the command itself says what contradicts. */
  private withReason(ticket: number, { kind }: Request, status: NativeOutcome): NativeOutcome {
    const reason = kind === 'command' ? this.native.result(ticket) : null;
    return typeof reason === 'string' ? { ...status, reason } : status;
  }

  private errorOfRequest({ signal, held }: Request, status: NativeOutcome): unknown {
    const aborted = this.binding.codes[status.code] === 'ABORTED' && isAborted(signal);
    return aborted ? reasonOf(signal) : this.errorOf(status, held);
  }

  /**
   * Its signal has fired, and the device that it waits for hangs. Nothing is unknown of a read, which has written nothing, nor of
   * a write that no image has: the engine, which was told before, gives it to none any more.
   */
  private abandon(ticket: number): void {
    const request = this.at(ticket);
    const { signal, reject, kind } = request;
    if (signal === undefined) return;
    const reason = reasonOf(signal);
    const isRead = kind === 'read' || kind === 'readv';
    const isKnown = isRead || (WRITES.has(kind) && this.native.reachesNothing(ticket));
    request.abandoned = true;
    request.resolve = unused;
    request.reject = unused;
    request.buffer = null;
    request.buffers = NO_BUFFERS;
    request.signal = undefined;
    this.aborts.unwatch(signal, ticket);
    this.abandonedCount += 1;
    if (this.pending === 0) this.native.unref();
    reject(isKnown ? reason : new BlockmirrorError('OUTCOME_UNKNOWN', { cause: reason }));
  }

  private endAbandoned(ticket: number, request: Request): void {
    const isRead = request.kind === 'read' || request.kind === 'readv';
    if (isRead) this.native.finishRead(ticket, NO_BUFFERS, 0, 0);
    this.leave(ticket, request);
  }

  /** Forgets what the request held, and gives its ticket back. */
  private leave(ticket: number, request: Request): void {
    const { signal } = request;
    if (WRITES.has(request.kind)) this.writesPending -= 1;
    if (request.abandoned) this.abandonedCount -= 1;
    request.abandoned = false;
    request.kind = 'none';
    request.resolve = unused;
    request.reject = unused;
    request.buffer = null;
    request.held = null;
    request.buffers = NO_BUFFERS;
    request.signal = undefined;
    // Before the ticket is anybody's again.
    if (signal !== undefined) {
      this.aborts.unwatch(signal, ticket);
      this.calledOff.delete(ticket);
    }
    this.release(ticket);
  }
}

/** The mirror can only wait: it has no other log, and no other master. A slave that hangs is fractured, and holds up nobody. */
function hangs({ log, images }: NativeSnapshot): boolean {
  return log.stall !== null || (images[0]?.stall ?? null) !== null;
}

function givenBack(held: HandedOver<Bytes> | null): ErrorContext {
  const buffer = held === null || held.shared ? null : held.giveBack();
  return buffer === null ? {} : { buffer };
}

const WRITES: ReadonlySet<Kind> = new Set<Kind>(['write', 'writeOwned', 'writev', 'discard']);
