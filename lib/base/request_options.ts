/**
 * Options of requests, of streams, and of long work on an open mirror. Pure.
 *
 * Requests are many: their options are read into one object of a fixed shape, which is all that a request allocates for them.
 */
import { constants } from 'node:buffer';
import {
  type Geometry,
  checkLength,
  checkPosition,
  checkSlice,
  checkUnaligned,
  toNumber,
  wholeNumberOutOfRange,
} from './arguments';
import { BlockmirrorError, invalidArgumentType } from './errors';
import { refuseInherited, refuseUnknownName } from './option_names';
import {
  type CheckedLongWork,
  type CheckedVerifyChoice,
  OptionReader,
  VERIFY,
  checkNames,
  checkSignal,
  invalidOption,
} from './option_reader';
import type { MetricsFormat } from './types';

const REQUESTS = {
  'write()': new Set(['position', 'offset', 'length', 'dsync', 'unaligned', 'transfer', 'signal']),
  'read()': new Set(['position', 'offset', 'length', 'signal']),
  // With the buffer among them.
  'read({ buffer })': new Set(['buffer', 'position', 'offset', 'length', 'signal']),
  'writev()': new Set(['dsync', 'signal']),
  'readv()': new Set(['signal']),
  'discard()': new Set(['signal']),
  'datasync()': new Set(['signal']),
} as const;

/**
 * The options of one request, however they were given: its own (enumerable) properties, each read once. Whatever a getter or
 * a Proxy does is over before the buffers are looked at, and nothing is taken from a prototype.
 */
export class RequestOptions {
  buffer: unknown = undefined;
  offset: unknown = undefined;
  length: unknown = undefined;
  position: unknown = undefined;
  dsync: unknown = false;
  unaligned: unknown = false;
  transfer: unknown = false;
  signal: unknown = undefined;
}

/** What is left of them once their types are known. */
export interface RequestMode {
  readonly dsync: boolean;
  readonly unaligned: boolean;
  readonly transfer: boolean;
  readonly signal: AbortSignal | undefined;
}

export function readOptions(options: unknown, call: keyof typeof REQUESTS): RequestOptions {
  const read = new RequestOptions();
  if (options === undefined) return read;
  if (options === null || typeof options !== 'object') throw invalidArgumentType('options', 'an object', options);
  const known: ReadonlySet<string> = REQUESTS[call];
  refuseInherited(options, known, call);
  const names = Object.keys(options);
  for (let index = 0; index < names.length; index++) {
    const name = names[index] as keyof RequestOptions;
    refuseUnknownName(name, known, call);
    read[name] = (options as RequestOptions)[name];
  }
  return read;
}

/** `write(buffer, offset, length, position)` */
export function listedOptions(offset: unknown, length: unknown, position: unknown): RequestOptions {
  const read = new RequestOptions();
  read.offset = offset;
  read.length = length;
  read.position = position;
  return read;
}

/** Checks what does not depend on the buffer. A signal may run code of its own here, for the last time before the end. */
export function checkMode(options: RequestOptions): asserts options is RequestOptions & RequestMode {
  options.dsync = checkFlag(options.dsync, 'options.dsync');
  options.unaligned = checkFlag(options.unaligned, 'options.unaligned');
  options.transfer = checkFlag(options.transfer, 'options.transfer');
  options.signal = checkSignal(options.signal, 'options.signal');
}

interface RequestRange {
  readonly offset: number;
  readonly length: number;
  readonly position: number;
}

/** Where the bytes of a buffer of that length go to or come from. Runs no code of the caller's. */
export function checkRange(
  options: RequestOptions,
  byteLength: number,
  geometry: Geometry,
  verb: 'read' | 'write' | 'unaligned write',
): asserts options is RequestOptions & RequestRange {
  const offset = toNumber(options.offset ?? 0, 'offset');
  const length = toNumber(options.length ?? byteLength - offset, 'length');
  checkSlice(byteLength, offset, length);
  if (verb !== 'unaligned write') checkLength(length, geometry, verb);
  const position = toNumber(options.position, 'position');
  if (verb === 'unaligned write') checkUnaligned(position, length, geometry);
  else checkPosition(position, length, geometry, verb);
  options.offset = offset;
  options.length = length;
  options.position = position;
}

export function checkFlag(value: unknown, name: string): boolean {
  if (value === undefined) return false;
  if (typeof value !== 'boolean') throw invalidArgumentType(name, 'a boolean', value);
  return value;
}

/** `write(buffer, 0, 4096, 0, { dsync: true })`: what nobody looks at promises nothing. */
export function refuseMore(more: unknown, call: string): void {
  if (more === undefined) return;
  throw invalidOption(`${call} takes no more arguments`, 'Give options in place of offset, length and position');
}

export interface CheckedStream {
  /** First byte, and the last one (inclusive). */
  start: number;
  last: number;
  encoding: BufferEncoding | undefined;
  emitClose: boolean;
  highWaterMark: number;
  signal: AbortSignal | undefined;
}

const STREAM = ['start', 'encoding', 'emitClose', 'highWaterMark', 'signal'] as const;

export function checkReadStream(options: unknown, size: number, defaultHighWaterMark: number): CheckedStream {
  const reader = new OptionReader(options, [...STREAM, 'end'], 'options', 'createReadStream()');
  const checked = checkStream(reader, size, defaultHighWaterMark);
  const end = reader.get('end');
  if (end === undefined || end === Infinity) return checked;
  const last = toNumber(end, 'options.end');
  if (!Number.isSafeInteger(last) || last < checked.start) {
    throw wholeNumberOutOfRange('options.end', `from options.start (${checked.start})`, last);
  }
  // As node:fs: an end beyond the last byte means the last byte.
  return { ...checked, last: Math.min(last, size - 1) };
}

export function checkWriteStream(
  options: unknown,
  size: number,
  defaultHighWaterMark: number,
): CheckedStream & { flush: boolean } {
  const reader = new OptionReader(options, [...STREAM, 'flush'], 'options', 'createWriteStream()');
  return { ...checkStream(reader, size, defaultHighWaterMark), flush: reader.flag('flush', false) };
}

function checkStream(reader: OptionReader, size: number, defaultHighWaterMark: number): CheckedStream {
  const start = reader.get('start') === undefined ? 0 : toNumber(reader.get('start'), 'options.start');
  if (!Number.isSafeInteger(start) || start < 0) {
    throw wholeNumberOutOfRange('options.start', `from 0 to ${size}, the size of the mirror`, start);
  }
  if (start > size) {
    const detail = `options.start is ${start}, beyond the mirror's ${size} bytes`;
    throw new BlockmirrorError('OUT_OF_RANGE', { position: start, detail });
  }
  return {
    start,
    last: size - 1,
    encoding: checkEncoding(reader.get('encoding')),
    emitClose: reader.flag('emitClose', true),
    highWaterMark: checkHighWaterMark(reader.get('highWaterMark'), defaultHighWaterMark),
    signal: reader.signal(),
  };
}

function checkEncoding(encoding: unknown): BufferEncoding | undefined {
  if (encoding === undefined || encoding === null) return undefined; // as in node:fs: bytes
  if (typeof encoding !== 'string') throw invalidArgumentType('options.encoding', 'a string', encoding);
  if (Buffer.isEncoding(encoding)) return encoding;
  throw invalidOption(`encoding is '${encoding.slice(0, 32)}'`, "Use one that Buffer knows, such as 'utf8' or 'hex'");
}

function checkHighWaterMark(value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value !== 'number') throw invalidArgumentType('options.highWaterMark', 'a number of bytes', value);
  if (Number.isSafeInteger(value) && value >= 1 && value <= constants.MAX_LENGTH) return value;
  throw wholeNumberOutOfRange('options.highWaterMark', `from 1 to ${constants.MAX_LENGTH}`, value);
}

type MirrorWork = Pick<CheckedLongWork, 'onProgress' | 'signal'>;

export function checkMirrorVerify(options: unknown): MirrorWork & CheckedVerifyChoice {
  const reader = new OptionReader(options, [...VERIFY, 'onProgress', 'signal'], 'options', 'mirror.verify()');
  return { ...reader.verify(), ...longWorkOf(reader) };
}

export function checkMirrorRecover(options: unknown): MirrorWork & { compare: boolean; readBack: boolean } {
  const names = ['compare', 'readBack', 'onProgress', 'signal'];
  const reader = new OptionReader(options, names, 'options', 'mirror.recover()');
  return { compare: reader.flag('compare', true), readBack: reader.flag('readBack', true), ...longWorkOf(reader) };
}

export function checkMirrorFracture(options: unknown): { detach: boolean } {
  const reader = new OptionReader(options, ['detach'], 'options', 'mirror.fracture()');
  return { detach: reader.flag('detach', false) };
}

export function checkMirrorResync(
  names: unknown,
  options: unknown,
): MirrorWork & { names: readonly string[] | null; rate: number | 'auto' | null; full: boolean; compare: boolean } {
  const known = ['rate', 'full', 'compare', 'onProgress', 'signal'];
  const reader = new OptionReader(options, known, 'options', 'mirror.resync()');
  return {
    names: checkNames(names, 'images'),
    rate: reader.rateOrAuto('rate'),
    full: reader.flag('full', false),
    compare: reader.flag('compare', false),
    ...longWorkOf(reader),
  };
}

export function checkMetrics(options: unknown): { format: MetricsFormat } {
  const reader = new OptionReader(options, ['format'], 'options', 'metrics()');
  return { format: reader.choice('format', ['openmetrics', 'prometheus'] as const, 'openmetrics') };
}

function longWorkOf(reader: OptionReader): MirrorWork {
  const { onProgress, signal } = reader.longWork();
  return { onProgress, signal };
}
