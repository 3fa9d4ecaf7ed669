/**
 * Arguments of reads and writes, checked before anything is logged: types as node:fs does, then range and alignment
 * with errors that say what to do instead. Pure.
 */
import { BlockmirrorError, invalidArgumentType, withCode } from './errors';
import { isDetached, isSharedArrayBuffer, isView, storeOf } from './intrinsics';
import type { Bytes } from './types';

/** What requests are checked against. */
export interface Geometry {
  size: number;
  blockSize: number;
}

/** Whether checkBytes has nothing against it; for callers that would have to make its name first. */
export function isUsable(buffer: unknown): boolean {
  return isView(buffer) && !isSharedArrayBuffer(storeOf(buffer)) && !isDetached(buffer);
}

export function checkBytes(buffer: unknown, name: string): asserts buffer is Bytes {
  if (!isView(buffer)) {
    throw invalidArgumentType(name, 'a Buffer, TypedArray or DataView', buffer);
  }
  if (isSharedArrayBuffer(storeOf(buffer))) {
    // Another thread could change it between the copies of two images; a snapshot is the caller's to take.
    throw invalidArgumentType(name, 'over memory that is not shared (copy it with Buffer.from(view))', buffer);
  }
  if (isDetached(buffer)) {
    throw new BlockmirrorError('BUFFER_DETACHED', {
      detail: 'it was detached or shrunk before this call',
      remedy: 'After a write with transfer, use the buffer of its result',
    });
  }
}

/** A position or length as node:fs takes them: a number or a bigint. */
export function toNumber(value: unknown, name: string): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  throw invalidArgumentType(
    name,
    name === 'position' ? 'a number of bytes (a mirror has no current position)' : 'a number of bytes',
    value,
  );
}

export function checkSlice(byteLength: number, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || offset > byteLength) {
    throw wholeNumberOutOfRange('offset', `from 0 to ${byteLength}, the length of the buffer`, offset);
  }
  if (!Number.isSafeInteger(length) || length < 0 || length > byteLength - offset) {
    throw wholeNumberOutOfRange('length', `from 0 to ${byteLength - offset}, what the buffer holds`, length);
  }
}

/**
 * Node's own error for a number of the right type that cannot be: negative, broken, or more than the buffer holds. What
 * reaches past the end of the mirror is OUT_OF_RANGE, in every call.
 */
export function wholeNumberOutOfRange(name: string, range: string, actual: number): RangeError {
  const expected = `a whole number ${range}`;
  const error = new RangeError(`The value of "${name}" is out of range. It must be ${expected}. Received ${actual}`);
  return withCode(error, 'ERR_OUT_OF_RANGE');
}

type Verb = 'write' | 'writev' | 'read' | 'discard';

/** The length first: `write(Buffer.from('hello'))` shall hear of blocks, not of its missing position. */
export function checkLength(length: number, geometry: Geometry, verb: Verb): void {
  if (length % geometry.blockSize !== 0) throw misaligned('length', length, geometry, verb);
}

export function checkPosition(position: number, length: number, geometry: Geometry, verb: Verb): void {
  checkAnyPosition(position, geometry);
  if (position % geometry.blockSize !== 0) throw misaligned('position', position, geometry, verb);
  checkEnd(position, length, geometry);
}

/** For a write that may begin and end inside of a block. */
export function checkUnaligned(position: number, length: number, geometry: Geometry): void {
  checkAnyPosition(position, geometry);
  checkEnd(position, length, geometry);
}

function checkAnyPosition(position: number, geometry: Geometry): void {
  if (Number.isSafeInteger(position) && position >= 0) return;
  throw wholeNumberOutOfRange('position', `from 0 to ${geometry.size}, the size of the mirror`, position);
}

function checkEnd(position: number, length: number, geometry: Geometry): void {
  if (length > geometry.size - position) {
    throw new BlockmirrorError('OUT_OF_RANGE', {
      position,
      detail: `${length} bytes from byte ${position} end beyond the mirror's ${geometry.size} bytes`,
    });
  }
}

function misaligned(what: string, value: number, geometry: Geometry, verb: string): BlockmirrorError {
  const { blockSize } = geometry;
  const below = Math.floor(value / blockSize) * blockSize;
  const nearest = below === 0 ? `${blockSize}` : `${below} or ${below + blockSize}`;
  const remedies: Record<string, string> = {
    write:
      `Give whole blocks (here ${what} ${nearest}), or unaligned: true, which keeps the other bytes of the first and last ` +
      'block, or use createWriteStream(), which takes any start and length',
    writev:
      `Give whole blocks (here ${what} ${nearest}), or join the buffers and use write() with unaligned: true, ` +
      'or use createWriteStream(), which takes any start and length',
    read: `Read whole blocks (here ${what} ${nearest}) and take what you need, or use createReadStream(), which does that`,
    discard: `Discard whole blocks (here ${what} ${nearest})`,
  };
  return new BlockmirrorError('MISALIGNED', {
    detail: `${what} is ${value}, and must be a multiple of ${blockSize} bytes (status().blockSize)`,
    remedy: remedies[verb] as string,
  });
}
