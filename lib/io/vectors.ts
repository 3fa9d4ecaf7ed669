/** The buffers of a writev or readv, taken from the caller once and checked. */
import {
  type Geometry,
  checkBytes,
  checkLength,
  checkPosition,
  isUsable,
  toNumber,
  wholeNumberOutOfRange,
} from '../base/arguments';
import { invalidArgumentType } from '../base/errors';
import { byteLengthOf, elementsOf } from '../base/intrinsics';
import { isAborted, reasonOf } from '../base/signals';
import type { Bytes } from '../base/types';

/** Of one writev or readv; more than the engine takes at once are taken in slices. */
const MOST_BUFFERS = 1024 * 1024;

interface Vector {
  readonly views: readonly Bytes[];
  readonly length: number;
  /** Position in the mirror. */
  start: number;
}

/** The buffers that hold something, in an array of our own, and their lengths at this moment. */
export function checkVector(
  buffers: unknown,
  position: number | bigint,
  signal: AbortSignal | undefined,
  geometry: Geometry,
  verb: 'read' | 'writev',
): Vector {
  if (!Array.isArray(buffers)) {
    throw invalidArgumentType('buffers', 'an array of Buffers, TypedArrays or DataViews', buffers);
  }
  const count: number = buffers.length;
  if (!Number.isSafeInteger(count) || count < 0 || count > MOST_BUFFERS) {
    throw wholeNumberOutOfRange('buffers.length', `from 0 to ${MOST_BUFFERS}`, count);
  }
  const views = elementsOf<unknown>(buffers, count);
  const aborted = isAborted(signal);
  // From here on no code of the caller's runs.
  const vector = vectorOf(views);
  checkLength(vector.length, geometry, verb);
  vector.start = toNumber(position, 'position');
  checkPosition(vector.start, vector.length, geometry, verb);
  if (aborted) throw reasonOf(signal);
  return vector;
}

/** Drops what holds nothing; where it starts is to be said yet. A request makes no other object, and no names, of its views. */
function vectorOf(views: readonly unknown[]): Vector {
  let length = 0;
  let empty = 0;
  for (let index = 0; index < views.length; index++) {
    const view = views[index];
    if (!isUsable(view)) checkBytes(view, `buffers[${index}]`);
    const byteLength = byteLengthOf(view as Bytes);
    if (byteLength === 0) empty += 1;
    length += byteLength;
  }
  const all = views as readonly Bytes[];
  return { views: empty === 0 ? all : all.filter((view) => byteLengthOf(view) > 0), length, start: 0 };
}
