/**
 * Options of requests, of streams, and of long work on an open mirror. Pure.
 *
 * Requests are many: their names are looked through without a copy, and each value is read once by who needs it.
 */
import { constants } from 'node:buffer';
import { toNumber, wholeNumberOutOfRange } from './arguments';
import { BlockmirrorError, invalidArgumentType } from './errors';
import { refuseUnknownNames } from './option_names';
import { type CheckedLongWork, OptionReader, checkSignal, invalidOption } from './option_reader';

export { checkSignal };

const REQUESTS = {
  'write()': new Set(['position', 'offset', 'length', 'dsync', 'unaligned', 'transfer', 'signal']),
  'read()': new Set(['position', 'offset', 'length', 'signal']),
  // With the buffer among them.
  'read({ buffer })': new Set(['buffer', 'position', 'offset', 'length', 'signal']),
  'writev()': new Set(['dsync', 'signal']),
  'readv()': new Set(['signal']),
  'discard()': new Set(['signal']),
} as const;

/** Answers the options, none when they are left out. */
export function requestOptions<Options extends object>(
  options: Options | undefined,
  call: keyof typeof REQUESTS,
): Options {
  if (options === undefined) return {} as Options;
  if (options === null || typeof options !== 'object') throw invalidArgumentType('options', 'an object', options);
  refuseUnknownNames(options, REQUESTS[call], call);
  return options;
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

export function checkMirrorVerify(options: unknown): MirrorWork & { all: boolean } {
  const reader = new OptionReader(options, ['all', 'onProgress', 'signal'], 'options', 'mirror.verify()');
  return { all: reader.flag('all', false), ...longWorkOf(reader) };
}

export function checkMirrorRecover(options: unknown): MirrorWork & { compare: boolean; verify: boolean } {
  const names = ['compare', 'verify', 'onProgress', 'signal'];
  const reader = new OptionReader(options, names, 'options', 'mirror.recover()');
  return { compare: reader.flag('compare', true), verify: reader.flag('verify', true), ...longWorkOf(reader) };
}

function longWorkOf(reader: OptionReader): MirrorWork {
  const { onProgress, signal } = reader.longWork();
  return { onProgress, signal };
}
