/**
 * Streams over a mirror, with the conventions of node:fs: `start` and inclusive `end` at any byte.
 *
 * Requests are coalesced to 1 MiB and cut at its multiples, several in flight. Where a write stream begins or ends inside
 * of a block the engine keeps the other bytes of that block, under the lock of its range: any number of streams and
 * writes may share a block.
 * 'finish' means acknowledged (I4); it means durable only with the option `flush`.
 */
import { Readable, type ReadableOptions, Writable, type WritableOptions } from 'node:stream';
import { BlockmirrorError } from '../base/errors';
import { type CheckedStream, checkReadStream, checkWriteStream } from '../base/request_options';
import type { ReadResult, ReadStreamOptions, WriteResult, WriteStreamOptions } from '../base/types';

const CHUNK = 1024 * 1024;
const IN_FLIGHT = 4;

/** What a stream needs of a mirror. */
export interface StreamSource {
  size: number;
  blockSize: number;
  /** Memory that can be handed over. */
  allocate(length: number): Buffer;
  read(buffer: Buffer, position: number): Promise<ReadResult<Buffer>>;
  /** Consumes the buffer; the result gives its memory back. */
  write(buffer: Buffer, offset: number, length: number, position: number): Promise<WriteResult<Buffer>>;
  datasync(): Promise<void>;
}

/** What both kinds of streams of Node take; a `read` or `objectMode` that somebody put on Object.prototype is none of it. */
function streamOptions(
  checked: CheckedStream,
  encodings: ReadableOptions & WritableOptions,
): ReadableOptions & WritableOptions {
  const { emitClose, highWaterMark, signal } = checked;
  const options = { emitClose, highWaterMark, ...(signal === undefined ? {} : { signal }), ...encodings };
  return Object.assign(Object.create(null) as object, options);
}

type Chunk = { buffer: Buffer; start: number } | { error: Error };

export class MirrorReadable extends Readable {
  bytesRead = 0;
  private readonly last: number;
  /** Bytes of a chunk, at most. */
  private readonly most: number;
  /** Where the next read starts, and where the next byte to be pushed is. */
  private ahead: number;
  private position: number;
  private readonly reads: Promise<Chunk>[] = [];
  /** Bytes of one read: whole blocks, enough for what the consumer lets wait, up to CHUNK. */
  private readonly chunkLength: number;
  /** What was read and the consumer did not want yet. */
  private rest: Buffer | null = null;
  private pushing = false;

  constructor(
    private readonly source: StreamSource,
    options: ReadStreamOptions,
  ) {
    const checked = checkReadStream(options, source.size, CHUNK);
    const { start, last, encoding, highWaterMark } = checked;
    super(streamOptions(checked, encoding === undefined ? {} : { encoding }));
    this.chunkLength = Math.min(CHUNK, Math.ceil(highWaterMark / source.blockSize) * source.blockSize);
    this.last = last;
    this.position = start;
    this.ahead = start;
    this.most = Math.min(CHUNK, highWaterMark);
  }

  override _read(): void {
    if (!this.pushing) void this.pushChunks();
  }

  private async pushChunks(): Promise<void> {
    this.pushing = true;
    for (;;) {
      if (this.rest === null && !(await this.nextRest())) return;
      while (this.rest !== null) {
        const chunk = this.rest.subarray(0, this.most);
        this.rest = chunk.length < this.rest.length ? this.rest.subarray(chunk.length) : null;
        this.bytesRead += chunk.length;
        if (!this.push(chunk) && !this.atEnd()) {
          this.pushing = false;
          return;
        }
      }
    }
  }

  private atEnd(): boolean {
    return this.rest === null && this.position > this.last;
  }

  /** False: there is nothing more, or the stream failed, or is destroyed. */
  private async nextRest(): Promise<boolean> {
    while (this.ahead <= this.last && this.reads.length < IN_FLIGHT) this.reads.push(this.readAhead());
    const first = this.reads.shift();
    if (first === undefined) {
      this.push(null);
      return false;
    }
    const outcome = await first;
    if (this.destroyed) return false;
    if ('error' in outcome) {
      this.destroy(outcome.error);
      return false;
    }
    const from = this.position - outcome.start;
    this.rest = outcome.buffer.subarray(from, Math.min(outcome.buffer.length, this.last + 1 - outcome.start));
    this.position += this.rest.length;
    return true;
  }

  /** One read, up to the next multiple of its length. Never rejects: the error is for whoever consumes it, in its turn. */
  private readAhead(): Promise<Chunk> {
    const { blockSize, size } = this.source;
    const { chunkLength } = this;
    const start = Math.floor(this.ahead / blockSize) * blockSize;
    // A chunk's length need not divide CHUNK: no read crosses a region all the same.
    const regionEnd = (Math.floor(start / CHUNK) + 1) * CHUNK;
    const chunkEnd = Math.min(size, regionEnd, (Math.floor(start / chunkLength) + 1) * chunkLength);
    const end = Math.min(chunkEnd, Math.ceil((this.last + 1) / blockSize) * blockSize);
    this.ahead = end;
    return this.source.read(Buffer.allocUnsafeSlow(end - start), start).then(
      ({ buffer }) => ({ buffer, start }),
      (error: Error) => ({ error }),
    );
  }
}

type Callback = (error?: Error | null) => void;

/** Bytes on their way into whole blocks. */
interface Filling {
  memory: Buffer;
  /** Position of memory[0]: the start of a block. */
  base: number;
  /** Bytes before the first of ours, which are another's. */
  head: number;
  filled: number;
  /** When filled, it is written: up to the next multiple of CHUNK, or the end of the mirror. */
  limit: number;
}

export class MirrorWritable extends Writable {
  bytesWritten = 0;
  /** Where the next byte goes. */
  private position: number;
  private filling: Filling | null = null;
  private readonly flushAtEnd: boolean;
  private readonly spare: Buffer[] = [];
  private inFlight = 0;
  private failure: Error | null = null;
  private waiters: (() => void)[] = [];

  constructor(
    private readonly source: StreamSource,
    options: WriteStreamOptions,
  ) {
    const checked = checkWriteStream(options, source.size, CHUNK);
    super(streamOptions(checked, { defaultEncoding: checked.encoding ?? 'utf8' }));
    this.position = checked.start;
    this.flushAtEnd = checked.flush;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.append(chunk).then(() => callback(), callback);
  }

  override _final(callback: Callback): void {
    this.writeRest().then(() => callback(), callback);
  }

  /** What is in flight cannot be taken back: the stream is closed once it is known how that ended. */
  override _destroy(error: Error | null, callback: Callback): void {
    this.filling = null;
    void this.settledBelow(1).then(() => callback(error));
  }

  private async append(chunk: Buffer): Promise<void> {
    if (chunk.length > this.source.size - this.position) {
      throw new BlockmirrorError('OUT_OF_RANGE', {
        position: this.position,
        detail: `${chunk.length} bytes more end beyond the mirror's ${this.source.size} bytes`,
      });
    }
    for (let used = 0; used < chunk.length;) {
      const filling = (this.filling ??= this.begin());
      const length = Math.min(chunk.length - used, filling.limit - filling.filled);
      chunk.copy(filling.memory, filling.filled, used, used + length);
      used += length;
      filling.filled += length;
      this.position += length;
      if (filling.filled === filling.limit) await this.submit(filling);
    }
  }

  private begin(): Filling {
    const { blockSize, size } = this.source;
    const base = Math.floor(this.position / blockSize) * blockSize;
    const limit = Math.min(size, (Math.floor(this.position / CHUNK) + 1) * CHUNK) - base;
    const memory = this.spare.pop() ?? this.source.allocate(CHUNK);
    const head = this.position - base;
    return { memory, base, head, filled: head, limit };
  }

  private async writeRest(): Promise<void> {
    if (this.filling !== null) await this.submit(this.filling);
    await this.settledBelow(1);
    this.throwFailure();
    if (this.flushAtEnd) await this.source.datasync();
  }

  /** Waits only while too many are in flight: that is the stream's backpressure. */
  private async submit(filling: Filling): Promise<void> {
    this.filling = null;
    await this.settledBelow(IN_FLIGHT);
    this.throwFailure();
    this.inFlight += 1;
    const { memory, base, head } = filling;
    const length = filling.filled - head;
    this.source.write(memory, head, length, base + head).then(
      ({ buffer }) => {
        this.bytesWritten += length;
        this.spare.push(buffer);
        this.oneSettled();
      },
      (error: Error) => {
        this.failure ??= error;
        this.oneSettled();
        this.destroy(this.failure);
      },
    );
  }

  private oneSettled(): void {
    this.inFlight -= 1;
    const { waiters } = this;
    this.waiters = [];
    for (const wake of waiters) wake();
  }

  private async settledBelow(count: number): Promise<void> {
    while (this.inFlight >= count) await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  private throwFailure(): void {
    if (this.failure !== null) throw this.failure;
  }
}
