/**
 * Memory: aligned buffers, handing memory over, and giving it back as what it was.
 *
 * I7: memory that is handed over is detached from the caller, whose stores can no longer change what one image gets and
 * another does not. A device reads it as it lies only when it is memory of the addon's own, from `alignedBuffer`: that
 * stays until the device is done, even when this worker ends first. All other memory is V8's and goes with the
 * worker; it is moved away, and the engine copies from it.
 */
import { constants } from 'node:buffer';
import { types } from 'node:util';
import { wholeNumberOutOfRange } from './arguments';
import type { NativeBinding, NativeEngine, NativeMemory } from './binding';
import type { WriteMode } from './engine';
import { BlockmirrorError, invalidArgumentType } from './errors';
import type { Bytes } from './types';

/** What every device takes without a copy: a page. */
export const BUFFER_ALIGNMENT = 4096;

/** Zeroed, over an ArrayBuffer of its own, at an address that is a multiple of BUFFER_ALIGNMENT. */
export function alignedBuffer(binding: NativeBinding, length: number): Buffer {
  const most = constants.MAX_LENGTH - BUFFER_ALIGNMENT;
  if (typeof length !== 'number') throw invalidArgumentType('length', 'a number of bytes', length);
  if (!Number.isSafeInteger(length) || length < 0 || length > most) {
    throw wholeNumberOutOfRange('length', `of bytes from 0 to ${most}`, length);
  }
  if (length === 0) return Buffer.alloc(0);
  const owned = binding.allocateMemory(length);
  if (owned !== null) return Buffer.from(owned, 0, length);
  // Where JavaScript takes no foreign memory (a V8 with a sandbox): aligned, but copied when it is handed over.
  const store = allocate(length + BUFFER_ALIGNMENT);
  const remainder = binding.addressRemainder(new Uint8Array(store), BUFFER_ALIGNMENT);
  return Buffer.from(store, remainder === 0 ? 0 : BUFFER_ALIGNMENT - remainder, length);
}

function allocate(length: number): ArrayBuffer {
  try {
    return new ArrayBuffer(length);
  } catch (cause) {
    throw new BlockmirrorError('NO_MEMORY', { cause });
  }
}

/** `new Uint8Array` of a detached store throws, and Node 20 has no ArrayBuffer.prototype.detached. */
export function isDetached(view: Bytes): boolean {
  try {
    // Once its memory is gone a typed array has no bytes, and a DataView throws.
    if (view.byteLength !== 0) return false;
    new Uint8Array(view.buffer as ArrayBuffer);
    return false;
  } catch {
    return true;
  }
}

/** Memory that a caller handed over; its views are detached. */
export class HandedOver<B extends Bytes> {
  private returned: B | null = null;

  private constructor(
    private readonly binding: NativeBinding,
    private readonly like: Shape,
    /** Of the addon's own, or null: `copied` has the bytes. */
    private readonly memory: NativeMemory | null,
    private readonly copied: ArrayBuffer | null,
  ) {}

  /**
   * @throws NOT_TRANSFERABLE when the memory is shared with others: Node's pool of small buffers, a SharedArrayBuffer,
   * WebAssembly memory
   */
  static take<B extends Bytes>(binding: NativeBinding, view: B): HandedOver<B> {
    const like = shapeOf(view);
    const store = view.buffer as ArrayBuffer;
    const memory = types.isArrayBuffer(store) ? binding.takeMemory(store) : null;
    return new HandedOver<B>(binding, like, memory, memory === null ? moveAway(store) : null);
  }

  /** A part of the view: `offset` is from its start. */
  submit(
    native: NativeEngine,
    slot: number,
    offset: number,
    length: number,
    position: number,
    { dsync, unaligned }: WriteMode,
  ): number {
    const start = this.like.byteOffset + offset;
    if (this.memory !== null)
      return native.submitWriteOwned(slot, this.memory, start, length, position, dsync, unaligned);
    const bytes = new Uint8Array(this.copied as ArrayBuffer);
    return native.submitWrite(slot, bytes, start, length, position, dsync, unaligned);
  }

  /** The same kind of view over the same bytes; null while a device may still read them. */
  giveBack(): B | null {
    if (this.returned !== null) return this.returned;
    const store = this.memory === null ? this.copied : this.binding.giveMemoryBack(this.memory);
    if (store !== null) this.returned = viewOf<B>(this.like, store);
    return this.returned;
  }
}

function moveAway(store: ArrayBuffer): ArrayBuffer {
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
  return moved;
}

/** What a view is, without its memory. */
interface Shape {
  readonly isBuffer: boolean;
  readonly view: new (store: ArrayBuffer, offset: number, length: number) => Bytes;
  readonly byteOffset: number;
  /** In elements. */
  readonly length: number;
}

function shapeOf(view: Bytes): Shape {
  return {
    isBuffer: Buffer.isBuffer(view),
    view: view.constructor as Shape['view'],
    byteOffset: view.byteOffset,
    length: view instanceof DataView ? view.byteLength : (view as Uint8Array).length,
  };
}

function viewOf<B extends Bytes>(like: Shape, store: ArrayBuffer): B {
  const { isBuffer, view: View, byteOffset, length } = like;
  const made = isBuffer ? Buffer.from(store, byteOffset, length) : new View(store, byteOffset, length);
  return made as unknown as B;
}
