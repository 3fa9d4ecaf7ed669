/**
 * The built-ins that requests rely on, taken when the library is loaded. A caller's object may bring a `byteLength`, a
 * `constructor`, a `filter` or an `aborted` of its own, or a getter that detaches what was looked at just before: what is
 * asked through this module is answered by the engine of JavaScript, and runs no code of the caller's. Pure.
 */
import { Buffer } from 'node:buffer';
import { types } from 'node:util';

/* eslint-disable @typescript-eslint/unbound-method -- methods without their object are what this is about */
type Method = (this: unknown, ...args: unknown[]) => unknown;
/** `f.call`, without looking `call` up at f. */
const uncurryThis = Function.prototype.bind.bind(Function.prototype.call) as unknown as (method: Method) => unknown;

export function getterOf<Result>(prototype: object, name: PropertyKey): (self: unknown) => Result {
  return uncurryThis(Object.getOwnPropertyDescriptor(prototype, name)?.get as Method) as (self: unknown) => Result;
}

export function methodOf<Uncurried>(prototype: object, name: PropertyKey): Uncurried {
  return uncurryThis(Object.getOwnPropertyDescriptor(prototype, name)?.value as Method) as Uncurried;
}

/* eslint-enable @typescript-eslint/unbound-method */

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as object;
const nameOfTypedArray = getterOf<string | undefined>(typedArrayPrototype, Symbol.toStringTag);
const typedArrayByteLength = getterOf<number>(typedArrayPrototype, 'byteLength');
const typedArrayByteOffset = getterOf<number>(typedArrayPrototype, 'byteOffset');
const typedArrayLength = getterOf<number>(typedArrayPrototype, 'length');
const typedArrayStore = getterOf<ArrayBufferLike>(typedArrayPrototype, 'buffer');
/** Throws where the typed array has no memory. */
const typedArrayKeys = methodOf<(view: unknown) => unknown>(typedArrayPrototype, 'keys');
const dataViewByteLength = getterOf<number>(DataView.prototype, 'byteLength');
const dataViewByteOffset = getterOf<number>(DataView.prototype, 'byteOffset');
const dataViewStore = getterOf<ArrayBufferLike>(DataView.prototype, 'buffer');

export const byteLengthOfStore = getterOf<number>(ArrayBuffer.prototype, 'byteLength');
export const isView = ArrayBuffer.isView.bind(ArrayBuffer);
export const { isArrayBuffer, isSharedArrayBuffer, isProxy } = types;
/** Of a store that is there, by itself; both constructors look at nothing of the caller's. */
export const PlainBytes = Uint8Array;
export const bufferOver = Buffer.from.bind(Buffer) as (store: ArrayBuffer, offset: number, length: number) => Buffer;
export const cloneOf = structuredClone;
const { getPrototypeOf } = Object;
const bufferPrototype: unknown = Buffer.prototype;
const setBytes = methodOf<(target: Uint8Array, from: Uint8Array, offset: number) => void>(typedArrayPrototype, 'set');

export function isTypedArray(view: ArrayBufferView): boolean {
  return nameOfTypedArray(view) !== undefined;
}

/** 0 of one that is detached, or lies beyond the end of a store that was shrunk. */
export function byteLengthOf(view: ArrayBufferView): number {
  if (isTypedArray(view)) return typedArrayByteLength(view);
  try {
    return dataViewByteLength(view);
  } catch {
    return 0;
  }
}

/** Its memory is gone, or was shrunk to less than what it is a view of. */
export function isDetached(view: ArrayBufferView): boolean {
  if (byteLengthOf(view) !== 0) return false;
  try {
    if (isTypedArray(view)) typedArrayKeys(view);
    else dataViewByteLength(view);
    return false;
  } catch {
    return true;
  }
}

export function byteOffsetOf(view: ArrayBufferView): number {
  return isTypedArray(view) ? typedArrayByteOffset(view) : dataViewByteOffset(view);
}

export function storeOf(view: ArrayBufferView): ArrayBufferLike {
  return isTypedArray(view) ? typedArrayStore(view) : dataViewStore(view);
}

/** Its bytes, by a view of our own. */
export function bytesOf(view: ArrayBufferView, offset: number, length: number): Uint8Array {
  return new PlainBytes(storeOf(view) as ArrayBuffer, byteOffsetOf(view) + offset, length);
}

/** Copies all of `from` into `target`, from its byte `offset`. */
export function copyInto(target: Uint8Array, from: Uint8Array, offset: number): void {
  setBytes(target, from, offset);
}

type View = new (store: ArrayBuffer, offset: number, length: number) => ArrayBufferView;
const VIEWS: ReadonlyMap<string, View> = new Map<string, View>(
  [
    ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
    ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array],
    // From Node.js 24 on.
    ...('Float16Array' in globalThis
      ? [(globalThis as { Float16Array?: unknown }).Float16Array as typeof Uint8Array]
      : []),
  ].map((kind) => [kind.name, kind as View]),
);

/** What a view is, without its memory: by what it was made as, never by a class or a property of the caller's. */
export interface Shape {
  readonly view: View | 'Buffer';
  readonly byteOffset: number;
  /** In elements. */
  readonly length: number;
}

/** A Buffer, a typed array of JavaScript's own, or a DataView; any subclass counts as what it extends, a Buffer's as a Uint8Array. */
export function shapeOf(view: ArrayBufferView): Shape {
  const name = nameOfTypedArray(view);
  const byteOffset = byteOffsetOf(view);
  if (name === undefined) return { view: DataView, byteOffset, length: dataViewByteLength(view) };
  if (getPrototypeOf(view) === bufferPrototype) return { view: 'Buffer', byteOffset, length: typedArrayLength(view) };
  const known = VIEWS.get(name);
  if (known !== undefined) return { view: known, byteOffset, length: typedArrayLength(view) };
  return { view: Uint8Array, byteOffset, length: typedArrayByteLength(view) };
}

export function viewOf({ view, byteOffset, length }: Shape, store: ArrayBuffer): ArrayBufferView {
  return view === 'Buffer' ? bufferOver(store, byteOffset, length) : new view(store, byteOffset, length);
}

/**
 * A fresh array of the first `count` elements, by their index and by nothing else that `list` may bring. What a getter, a
 * Proxy or a setter that somebody put on Object.prototype does is over when this returns.
 */
export function elementsOf<T>(list: ArrayLike<T>, count: number): T[] {
  if (count > PLACES.length) return [...eachOf(list, count)];
  // Elements that are there already are set as they are; only a new one would be looked up at the prototypes.
  const elements = slice(PLACES, 0, count) as T[];
  for (let index = 0; index < count; index++) elements[index] = list[index] as T;
  return elements;
}

const slice = methodOf<(list: unknown[], start: number, end: number) => unknown[]>(Array.prototype, 'slice');
const PLACES: unknown[] = new Array<unknown>(1024).fill(undefined);

function* eachOf<T>(list: ArrayLike<T>, count: number): Generator<T> {
  for (let index = 0; index < count; index++) yield list[index] as T;
}

const { defineProperty } = Reflect;
/** `list[index] = value`, though somebody put a setter of that index on Object.prototype. */
export function put<T>(list: T[], index: number, value: T): void {
  defineProperty(list, index, {
    __proto__: null,
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  } as object);
}

/** The object without its prototype: a property that it leaves out is not there, whatever is on Object.prototype. */
export function ownOf<T extends object>(object: T): T {
  return Object.assign(Object.create(null) as T, object);
}
