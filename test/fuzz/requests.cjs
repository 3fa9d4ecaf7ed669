// Requests on an open mirror, right and odd ones, and what each must come to by the documentation alone.
'use strict';
const { pipeline } = require('node:stream/promises');
const { HostileRequest } = require('./hostile.cjs');
const { SCRIBBLE } = require('./model.cjs');
const { bytesOf, isDetached, odd, oddBuffer, spoil, viewOf } = require('./values.cjs');

const REFUSED_AT_ANY_TIME = ['CLOSED', 'QUEUE_FULL', 'NOT_RECOVERED', 'NO_MEMORY', 'WRONG_PHASE'];

/** The requests of one mirror while it is open. Each answers a promise that settles when all about it was checked. */
class Requests {
  /** @param context { random, referee, model, mirror, alignedBuffer } */
  constructor(context) {
    Object.assign(this, context);
    this.blockSize = this.mirror.status().blockSize;
    this.closing = false;
  }

  /** One request of a random kind. */
  make() {
    const kinds = {
      write: 8,
      read: 8,
      writev: 3,
      readv: 3,
      discard: 2,
      datasync: 1,
      writeStream: 2,
      readStream: 2,
      hostile: 6,
    };
    return this[this.random.weighted(kinds)]();
  }

  hostile() {
    return new HostileRequest(this).run();
  }

  /** Refused before anything was logged. */
  isRefused(error) {
    return isRefusal(error);
  }

  /** Where and how long: whole blocks, or any bytes; now and then across the end. */
  range(wholeBlocks) {
    const { random, blockSize } = this;
    const unit = wholeBlocks ? blockSize : 1;
    const last = this.model.size / unit;
    const near = random.oneIn(3) ? random.below(Math.min(last, 16 * (blockSize / unit))) : random.below(last);
    const most = Math.min(random.oneIn(6) ? last : 16 * (blockSize / unit), last - near);
    const over = random.oneIn(30) ? random.below(4) : 0;
    return { position: near * unit, length: (random.between(random.oneIn(20) ? 0 : 1, most) + over) * unit };
  }

  signal() {
    const { random } = this;
    if (!random.oneIn(6)) return undefined;
    const reason = random.pick([undefined, null, 'a text', new Error('enough')]);
    const controller = new AbortController();
    const when = random.weighted({ before: 1, turn: 2, soon: 3 });
    if (when === 'before') controller.abort(reason);
    else if (when === 'turn') setImmediate(() => controller.abort(reason));
    else setTimeout(() => controller.abort(reason), random.below(20));
    return controller.signal;
  }

  async write() {
    const { random, model, referee } = this;
    const unaligned = random.oneIn(3);
    const { position, length } = this.range(!unaligned);
    const fill = model.takeFill();
    const before = random.oneIn(3) ? random.below(100) : 0;
    const buffer = random.oneIn(25)
      ? oddBuffer(random)
      : viewOf(random, before + length + (random.oneIn(4) ? 8 : 0), fill, this.alignedBuffer);
    const options = { position: random.oneIn(4) ? BigInt(position) : position, offset: before, length };
    if (unaligned) options.unaligned = true;
    if (random.oneIn(4)) options.dsync = true;
    if (random.oneIn(3)) options.transfer = true;
    const signal = this.signal();
    if (signal) options.signal = signal;
    const spoilt = random.oneIn(10) ? spoil(random, options) : options;
    const listed = random.oneIn(8) && spoilt === options && !unaligned;
    const args = listed ? [buffer, before, length, options.position] : [buffer, spoilt];
    if (random.oneIn(40)) args.push(odd(random));
    const range = this.expected(buffer, listed ? { offset: before, length, position } : spoilt, false);
    const write = range === null ? null : model.begin(range.position, range.length, fill);
    const working = referee.call('write', args, () => this.mirror.write(...args), reasonsOf(signal));
    // I7: what the buffer holds from now on is nobody's business. Only of memory that is still the caller's.
    const isOurs = ArrayBuffer.isView(buffer) && !isDetached(buffer) && random.oneIn(2);
    if (isOurs && write !== null) bytesOf(buffer).fill(SCRIBBLE);
    const ended = await working;
    this.settle(write, ended, range, ended.value?.bytesWritten, signal, 'write');
    if ('value' in ended) referee.check(ArrayBuffer.isView(ended.value.buffer), () => 'a write gave no buffer back');
  }

  async read() {
    const { random, model, referee } = this;
    const { position, length } = this.range(true);
    const before = random.oneIn(3) ? random.below(100) : 0;
    const buffer = random.oneIn(25) ? oddBuffer(random) : viewOf(random, before + length, SCRIBBLE, this.alignedBuffer);
    const options = { position: random.oneIn(4) ? BigInt(position) : position, offset: before, length };
    const signal = this.signal();
    if (signal) options.signal = signal;
    const spoilt = random.oneIn(10) ? spoil(random, options) : options;
    const named = typeof spoilt === 'object' && spoilt !== null && random.oneIn(4);
    const args = named ? [{ ...spoilt, buffer }] : [buffer, spoilt];
    const range = this.expected(buffer, spoilt, true);
    const submitted = model.tick();
    const ended = await referee.call('read', args, () => this.mirror.read(...args), reasonsOf(signal));
    if (this.judgeOutcome('read', ended, range, ended.value?.bytesRead, signal)) {
      const { offset } = range;
      this.judgeContent(bytesOf(buffer).subarray(offset, offset + range.length), range.position, submitted, 'read');
    }
  }

  /** Views of whole blocks or of any lengths, together of that length. */
  parts(length, fill) {
    const { random } = this;
    const parts = [];
    for (let left = length; left > 0;) {
      const part = parts.length > 8 ? left : Math.min(left, random.pick([0, 1, 8, 512, 4096, 5000, left]));
      parts.push(viewOf(random, part, fill, this.alignedBuffer));
      left -= part;
    }
    return parts;
  }

  async writev() {
    const { random, model, referee } = this;
    const { position, length } = this.range(true);
    const fill = model.takeFill();
    const parts = this.parts(length, fill);
    const signal = this.signal();
    const options = { dsync: random.oneIn(3), ...(signal && { signal }) };
    const isOdd = random.oneIn(10);
    const args = isOdd ? oddVector(random, parts, position, options) : [parts, position, options];
    const range = isOdd ? undefined : this.within(position, length);
    const write = isOdd || range === null ? null : model.begin(position, length, fill);
    if (isOdd) return this.refusedOrHarmless('writev', args);
    const working = referee.call('writev', args, () => this.mirror.writev(...args), reasonsOf(signal));
    for (const part of parts) bytesOf(part).fill(SCRIBBLE);
    const ended = await working;
    return this.settle(write, ended, range, ended.value?.bytesWritten, signal, 'writev');
  }

  async readv() {
    const { random, model, referee } = this;
    const { position, length } = this.range(true);
    const parts = this.parts(length, SCRIBBLE);
    const signal = this.signal();
    const options = signal ? { signal } : {};
    if (random.oneIn(10)) return this.refusedOrHarmless('readv', oddVector(random, parts, position, options));
    const args = [parts, position, options];
    const submitted = model.tick();
    const ended = await referee.call('readv', args, () => this.mirror.readv(...args), reasonsOf(signal));
    if (this.judgeOutcome('readv', ended, this.within(position, length), ended.value?.bytesRead, signal)) {
      this.judgeContent(Buffer.concat(parts.map(bytesOf)), position, submitted, 'readv');
    }
    return undefined;
  }

  /** An odd call that moves no bytes anybody has to know of: buffers of a writev are all odd, empty, or misplaced. */
  async refusedOrHarmless(name, args) {
    const ended = await this.referee.call(name, args, () => this.mirror[name](...args));
    const bytes = ended.value?.bytesWritten ?? ended.value?.bytesRead ?? 0;
    this.referee.check(bytes === 0 || name === 'readv', () => `an odd ${name} wrote ${bytes} bytes`);
  }

  async discard() {
    const { random, model, referee } = this;
    const { position, length } = this.range(true);
    const signal = this.signal();
    if (random.oneIn(6)) {
      const args = random.pick([
        [odd(random), random.pick([0, 1, -1, NaN])],
        [random.pick([-512, 0.5, model.size, 2 ** 53]), 4096],
        [0, this.blockSize, random.pick([null, 7, { length: 1 }, { dsync: true }, { signal: 1 }])],
      ]);
      await referee.call('discard', args, () => this.mirror.discard(...args));
      return;
    }
    const range = this.within(position, length);
    const write = range === null ? null : model.begin(position, length, 0);
    const args = [position, random.oneIn(4) ? BigInt(length) : length, signal ? { signal } : undefined];
    const ended = await referee.call('discard', args, () => this.mirror.discard(...args), reasonsOf(signal));
    this.settle(write, ended, range, length, signal, 'discard');
  }

  async datasync() {
    const ended = await this.referee.call('datasync', [], () => this.mirror.datasync());
    this.judgeOutcome('datasync', ended, { length: 0 }, 0, undefined);
  }

  async writeStream() {
    const { random, model, referee } = this;
    const { position, length } = this.range(false);
    const fill = model.takeFill();
    const signal = this.signal();
    const options = { start: position, flush: random.oneIn(3), ...(signal && { signal }) };
    if (random.oneIn(3)) options.highWaterMark = random.pick([1, 100, 4096, 1 << 22]);
    if (random.oneIn(8)) {
      const spoilt = spoil(random, options);
      const ended = await referee.call('createWriteStream', [spoilt], () => this.mirror.createWriteStream(spoilt));
      if ('value' in ended) await referee.call('destroy', [], () => destroyed(ended.value));
      return;
    }
    const range = this.within(position, length, 1);
    const reaches = Math.min(length, model.size - position);
    const write = reaches > 0 ? model.begin(position, reaches, fill) : null;
    const pieces = cut(random, Buffer.alloc(length, fill));
    const cutShort = random.oneIn(10);
    const working = referee
      .call(
        'pipeline',
        [options, length],
        async () => {
          const stream = this.mirror.createWriteStream(options);
          if (cutShort) setTimeout(() => stream.destroy(), random.below(10));
          await pipeline(pieces, stream);
          return stream.bytesWritten;
        },
        reasonsOf(signal),
      )
      .catch((error) => {
        // A stream that was destroyed says so in Node's words.
        if (!cutShort || !/ERR_STREAM_PREMATURE_CLOSE/.test(error.message)) throw error;
        return { error };
      });
    const ended = await working;
    if (write !== null) model.settle(write, 'value' in ended ? 'acknowledged' : 'unknown');
    if (cutShort) return;
    this.judgeOutcome('write stream', ended, range, ended.value, signal);
  }

  async readStream() {
    const { random, model, referee } = this;
    const { position, length } = this.range(false);
    const signal = this.signal();
    const options = { start: position, end: position + length - 1, ...(signal && { signal }) };
    if (random.oneIn(3)) options.highWaterMark = random.pick([1000, 4096, 1 << 22]);
    const isOdd = random.oneIn(8) || length === 0;
    const given = isOdd ? spoil(random, options) : options;
    const submitted = model.tick();
    const read = async () => {
      const stream = this.mirror.createReadStream(given);
      if (isOdd) return destroyed(stream);
      const chunks = [];
      for await (const chunk of stream) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    const ended = await referee.call('createReadStream', [given], read, reasonsOf(signal));
    if (isOdd) return;
    const wanted = Math.min(length, model.size - position);
    if (this.judgeOutcome('read stream', ended, { length: wanted }, ended.value?.length, signal)) {
      this.judgeContent(ended.value, position, submitted, 'read stream');
    }
  }

  /** The range that the documentation gives these arguments, or null where it says that they are refused. */
  expected(buffer, given, isRead) {
    if (!ArrayBuffer.isView(buffer) || isDetached(buffer) || buffer.buffer instanceof SharedArrayBuffer) return null;
    if (typeof given !== 'object' || given === null) return null;
    const offset = toNumber(given.offset ?? 0);
    const length = toNumber(given.length ?? buffer.byteLength - offset);
    const position = toNumber(given.position);
    if (![offset, length, position].every((number) => Number.isSafeInteger(number) && number >= 0)) return null;
    if (offset > buffer.byteLength || length > buffer.byteLength - offset) return null;
    const range = this.within(position, length, !isRead && given.unaligned === true ? 1 : this.blockSize);
    return range === null ? null : { ...range, offset };
  }

  within(position, length, unit = this.blockSize) {
    if (position % unit !== 0 || length % unit !== 0 || length > this.model.size - position) return null;
    return { position, length };
  }

  /** Settles what the model has of a write, and judges how it ended. */
  settle(write, ended, range, bytes, signal, name) {
    if (write !== null) {
      const refused = 'error' in ended && (isReason(ended, signal) || isRefusal(ended.error));
      this.model.settle(write, 'value' in ended ? 'acknowledged' : refused ? 'none' : 'unknown');
    }
    this.judgeOutcome(name, ended, range, bytes, signal);
  }

  /** True when it ended well. */
  judgeOutcome(name, ended, range, bytes, signal) {
    const { referee } = this;
    if ('value' in ended) {
      referee.check(range !== null, () => `a ${name} was taken that the documentation refuses`);
      if (bytes !== undefined) referee.check(bytes === range.length, () => `a ${name} moved ${bytes} bytes`);
      return true;
    }
    const { error } = ended;
    const excused = isReason(ended, signal) || isRefusal(error) || signal?.aborted === true || this.closing;
    const ofArguments = isOfArguments(error);
    referee.check(excused || ofArguments, () => `a ${name} failed: ${String(error?.stack ?? error)}`);
    return false;
  }

  judgeContent(bytes, position, submitted, name) {
    const wrong = this.model.judge(bytes, position, submitted);
    this.referee.check(wrong === null, () => `a ${name} of ${bytes.length} bytes from ${position}: ${wrong}`);
  }
}

function oddVector(random, parts, position, options) {
  return random.pick([
    [odd(random), position, options],
    [[oddBuffer(random)], position, options],
    [[...parts, oddBuffer(random)], random.pick([-1, NaN, 1.5, 2n ** 64n, '0', null]), options],
    [parts, random.pick([-1, NaN, 1.5, 2n ** 64n, '0', null]), options],
    [parts, position, random.pick([null, 7, 'dsync', { datasync: true }, { signal: 'x' }, { dsync: 1 }])],
  ]);
}

function toNumber(value) {
  return typeof value === 'bigint' ? Number(value) : typeof value === 'number' ? value : NaN;
}

function reasonsOf(signal) {
  return {
    includes: (error) => signal?.aborted === true && error === signal.reason,
  };
}

function isReason(ended, signal) {
  return signal?.aborted === true && ended.error === signal.reason;
}

function isRefusal(error) {
  return REFUSED_AT_ANY_TIME.some((name) => error?.code === `ERR_BLOCKMIRROR_${name}`) || isOfArguments(error);
}

function isOfArguments(error) {
  const names = ['INVALID_OPTION', 'MISALIGNED', 'OUT_OF_RANGE', 'NOT_TRANSFERABLE', 'BUFFER_DETACHED'];
  return (
    names.some((name) => error?.code === `ERR_BLOCKMIRROR_${name}`) ||
    ['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_VALUE'].includes(error?.code)
  );
}

function cut(random, bytes) {
  const pieces = [];
  for (let at = 0; at < bytes.length;) {
    const length = pieces.length > 50 ? bytes.length - at : random.pick([1, 100, 512, 4096, 65_536, bytes.length]);
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

function destroyed(stream) {
  return new Promise((resolve) => {
    stream.on('error', () => undefined);
    stream.once('close', resolve);
    if (stream.closed || stream.options?.emitClose === false) resolve();
    stream.destroy();
    setTimeout(resolve, 200);
  });
}

module.exports = { Requests, reasonsOf };
