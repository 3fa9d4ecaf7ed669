/**
 * Streams over a mirror, with the conventions of node:fs: `start` and inclusive `end` at any byte.
 *
 * Requests are whole blocks, coalesced to 1 MiB and cut at its multiples, several in flight.
 * Tail policy: a block that the stream begins or ends inside of is read first, and its other bytes are written back as
 * they were. Between that read and the write another writer of the same block would be overwritten: give each stream
 * blocks of its own, as with any file.
 * 'finish' means acknowledged (I4); it means durable only with the option `datasync`.
 */
import { Readable, Writable } from 'node:stream';
import { checkSlice, toNumber } from './arguments';
import { BlockmirrorError, invalidArgumentType } from './errors';
import { checkSignal } from './options';
import type { ReadResult, ReadStreamOptions, WriteResult, WriteStreamOptions } from './types';

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
  write(buffer: Buffer, length: number, position: number): Promise<WriteResult<Buffer>>;
  datasync(): Promise<void>;
}

type Chunk = { buffer: Buffer; start: number } | { error: Error };

export class MirrorReadable extends Readable {
  bytesRead = 0;
  private readonly last: number;
  /** Where the next read starts, and where the next byte to be pushed is. */
  private ahead: number;
  private position: number;
  private readonly reads: Promise<Chunk>[] = [];
  private pushing = false;

  constructor(
    private readonly source: StreamSource,
    options: ReadStreamOptions,
  ) {
    const signal = checkSignal(options.signal, 'options.signal');
    const { start, last } = checkStreamRange(options.start, options.end, source.size);
    super({ highWaterMark: options.highWaterMark ?? CHUNK, ...(signal === undefined ? {} : { signal }) });
    this.last = last;
    this.position = start;
    this.ahead = start;
  }

  override _read(): void {
    if (!this.pushing) void this.pushChunks();
  }

  private async pushChunks(): Promise<void> {
    this.pushing = true;
    for (;;) {
      while (this.ahead <= this.last && this.reads.length < IN_FLIGHT) this.reads.push(this.readAhead());
      const first = this.reads.shift();
      if (first === undefined) break;
      const outcome = await first;
      if (this.destroyed) return;
      if ('error' in outcome) {
        this.destroy(outcome.error);
        return;
      }
      const from = this.position - outcome.start;
      const chunk = outcome.buffer.subarray(from, Math.min(outcome.buffer.length, this.last + 1 - outcome.start));
      this.position += chunk.length;
      this.bytesRead += chunk.length;
      const wantsMore = this.push(chunk);
      if (this.position > this.last) break;
      if (!wantsMore) {
        this.pushing = false;
        return;
      }
    }
    this.push(null);
  }

  /** One chunk, up to the next multiple of CHUNK. Never rejects: the error is for whoever consumes it, in its turn. */
  private readAhead(): Promise<Chunk> {
    const { blockSize, size } = this.source;
    const start = Math.floor(this.ahead / blockSize) * blockSize;
    const chunkEnd = Math.min(size, (Math.floor(this.ahead / CHUNK) + 1) * CHUNK);
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
  /** Bytes before the first of ours, which the block already held. */
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
    const signal = checkSignal(options.signal, 'options.signal');
    const { start } = checkStreamRange(options.start, undefined, source.size);
    if (options.datasync !== undefined && typeof options.datasync !== 'boolean') {
      throw invalidArgumentType('options.datasync', 'a boolean', options.datasync);
    }
    super({ highWaterMark: options.highWaterMark ?? CHUNK, ...(signal === undefined ? {} : { signal }) });
    this.position = start;
    this.flushAtEnd = options.datasync ?? false;
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
      const filling = (this.filling ??= await this.begin());
      const length = Math.min(chunk.length - used, filling.limit - filling.filled);
      chunk.copy(filling.memory, filling.filled, used, used + length);
      used += length;
      filling.filled += length;
      this.position += length;
      if (filling.filled === filling.limit) await this.submit(filling, filling.filled);
    }
  }

  private async begin(): Promise<Filling> {
    const { blockSize, size } = this.source;
    const base = Math.floor(this.position / blockSize) * blockSize;
    const limit = Math.min(size, (Math.floor(this.position / CHUNK) + 1) * CHUNK) - base;
    const memory = this.spare.pop() ?? this.source.allocate(CHUNK);
    const head = this.position - base;
    if (head > 0) (await this.readBlock(base)).copy(memory, 0, 0, head);
    return { memory, base, head, filled: head, limit };
  }

  private async readBlock(position: number): Promise<Buffer> {
    const { buffer } = await this.source.read(Buffer.allocUnsafeSlow(this.source.blockSize), position);
    return buffer;
  }

  private async writeRest(): Promise<void> {
    const { filling } = this;
    if (filling !== null) {
      const { blockSize } = this.source;
      const tail = filling.filled % blockSize;
      let length = filling.filled;
      if (tail > 0) {
        const block = await this.readBlock(filling.base + filling.filled - tail);
        block.copy(filling.memory, filling.filled, tail);
        length += blockSize - tail;
      }
      await this.submit(filling, length);
    }
    await this.settledBelow(1);
    this.throwFailure();
    if (this.flushAtEnd) await this.source.datasync();
  }

  /** Waits only while too many are in flight: that is the stream's backpressure. */
  private async submit(filling: Filling, length: number): Promise<void> {
    this.filling = null;
    await this.settledBelow(IN_FLIGHT);
    this.throwFailure();
    this.inFlight += 1;
    this.source.write(filling.memory, length, filling.base).then(
      ({ buffer }) => {
        this.bytesWritten += filling.filled - filling.head;
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

/** As node:fs: an end beyond the last byte means the last byte. */
function checkStreamRange(start: unknown, end: unknown, size: number): { start: number; last: number } {
  const first = start === undefined ? 0 : toNumber(start, 'options.start');
  checkSlice(size, 0, first);
  if (end === undefined || end === Infinity) return { start: first, last: size - 1 };
  const last = Math.min(toNumber(end, 'options.end'), size - 1);
  if (!Number.isSafeInteger(last) || last < first) {
    const range = `a whole number from options.start (${first})`;
    const error = new RangeError(`The value of "options.end" is out of range. It must be ${range}. Received ${last}`);
    throw Object.assign(error, { code: 'ERR_OUT_OF_RANGE' });
  }
  return { start: first, last };
}
