/**
 * Memory: aligned buffers, handing memory over, and giving it back as what it was.
 *
 * I7: memory that is handed over is detached from the caller, whose stores can no longer change what one image gets and
 * another does not. A device reads it as it lies only when it is memory of the addon's own, from `alignedBuffer`: that
 * stays until the device is done, even when this worker ends first. All other memory is V8's and goes with the
 * worker; it is moved away, and the engine copies from it.
 */
import { constants } from 'node:buffer';
import { wholeNumberOutOfRange } from '../base/arguments';
import type { NativeBinding, NativeEngine, NativeMemory } from '../base/binding';
import type { WriteMode } from './engine';
import { BlockmirrorError, invalidArgumentType } from '../base/errors';
import {
  PlainBytes,
  type Shape,
  byteLengthOfStore,
  cloneOf,
  isArrayBuffer,
  shapeOf,
  storeOf,
  viewOf,
} from '../base/intrinsics';
import type { Bytes } from '../base/types';

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

/** Memory that a caller handed over; its views are detached. */
export class HandedOver<B extends Bytes> {
  /** Several requests write it, one after the other: what ends one of them gives nothing back. */
  shared = false;
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
    const store = storeOf(view) as ArrayBuffer;
    const memory = isArrayBuffer(store) ? binding.takeMemory(store) : null;
    return new HandedOver<B>(binding, like, memory, memory === null ? moveAway(store) : null);
  }

  /** A part of the view: `offset` is from its start. */
  submit(
    native: NativeEngine,
    ticket: number,
    offset: number,
    length: number,
    position: number,
    { dsync, unaligned }: WriteMode,
  ): number {
    const start = this.like.byteOffset + offset;
    if (this.memory !== null)
      return native.submitWriteOwned(ticket, this.memory, start, length, position, dsync, unaligned);
    const bytes = new PlainBytes(this.copied as ArrayBuffer);
    return native.submitWrite(ticket, bytes, start, length, position, dsync, unaligned);
  }

  /**
   * The same kind of view over the same bytes, made now and not before: until the engine is done with it nobody has the memory.
   * Null while a device may still read it.
   */
  giveBack(): B | null {
    if (this.returned !== null) return this.returned;
    const store = this.memory === null ? this.copied : this.binding.giveMemoryBack(this.memory);
    if (store !== null) this.returned = viewOf(this.like, store) as B;
    return this.returned;
  }
}

function moveAway(store: ArrayBuffer): ArrayBuffer {
  let moved: ArrayBuffer;
  const length = byteLengthOfStore(store);
  try {
    moved = cloneOf(store, { __proto__: null, transfer: [store] } as { transfer: ArrayBuffer[] });
  } catch (cause) {
    throw new BlockmirrorError('NOT_TRANSFERABLE', { cause, detail: (cause as Error).message });
  }
  // Up to Node 20 what is marked as not transferable is silently copied instead.
  if (byteLengthOfStore(store) !== 0 || byteLengthOfStore(moved) !== length) {
    throw new BlockmirrorError('NOT_TRANSFERABLE', {
      detail: "it is shared with other buffers (Node's pool of small buffers) or belongs to WebAssembly",
    });
  }
  return moved;
}
