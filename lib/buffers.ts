/**
 * Memory: aligned buffers, handing memory over, and giving it back as what it was.
 *
 * I7: memory that is handed over is moved to a new ArrayBuffer that only lib/ reaches, so that no store of the caller
 * can change what one image gets and another does not.
 */
import { constants } from 'node:buffer';
import { wholeNumberOutOfRange } from './arguments';
import type { NativeBinding } from './binding';
import { BlockmirrorError } from './errors';
import type { Bytes } from './types';

/** What every device takes without a copy: a page. */
export const BUFFER_ALIGNMENT = 4096;

/** Zeroed, over an ArrayBuffer of its own, at an address that is a multiple of BUFFER_ALIGNMENT. */
export function alignedBuffer(binding: NativeBinding, length: number): Buffer {
  const most = constants.MAX_LENGTH - BUFFER_ALIGNMENT;
  if (!Number.isSafeInteger(length) || length < 0 || length > most) {
    throw wholeNumberOutOfRange('length', `of bytes from 0 to ${most}`, length);
  }
  const store = new ArrayBuffer(length + BUFFER_ALIGNMENT);
  const remainder = binding.addressRemainder(new Uint8Array(store), BUFFER_ALIGNMENT);
  return Buffer.from(store, remainder === 0 ? 0 : BUFFER_ALIGNMENT - remainder, length);
}

/** `new Uint8Array` of a detached store throws, and Node 20 has no ArrayBuffer.prototype.detached. */
export function isDetached(view: Bytes): boolean {
  if (view.byteLength !== 0) return false;
  try {
    new Uint8Array(view.buffer as ArrayBuffer);
    return false;
  } catch {
    return true;
  }
}

/**
 * Moves the memory under `view` away from the caller, whose views are detached.
 * @returns the same kind of view over the same bytes
 * @throws NOT_TRANSFERABLE when the memory is shared with others: Node's pool of small buffers, a SharedArrayBuffer,
 * WebAssembly memory
 */
export function takeOver<B extends Bytes>(view: B): B {
  const store = view.buffer as ArrayBuffer;
  const { byteOffset } = view;
  const length = Buffer.isBuffer(view) || view instanceof DataView ? view.byteLength : elements(view);
  let moved: ArrayBuffer;
  try {
    moved = structuredClone(store, { transfer: [store] });
  } catch (cause) {
    throw new BlockmirrorError('NOT_TRANSFERABLE', { cause, detail: (cause as Error).message });
  }
  // Up to Node 20 what is marked as not transferable is silently copied instead.
  if (store.byteLength !== 0) {
    throw new BlockmirrorError('NOT_TRANSFERABLE', {
      detail: "it is shared with other buffers (Node's pool of small buffers) or belongs to WebAssembly",
    });
  }
  return viewOf(view, moved, byteOffset, length);
}

function elements(view: Bytes): number {
  return (view as Uint8Array).length;
}

function viewOf<B extends Bytes>(like: B, store: ArrayBuffer, offset: number, length: number): B {
  if (Buffer.isBuffer(like)) return Buffer.from(store, offset, length) as unknown as B;
  const View = like.constructor as new (store: ArrayBuffer, offset: number, length: number) => B;
  return new View(store, offset, length);
}
