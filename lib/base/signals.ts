/**
 * Abort signals, asked through the methods that Node's own class has: what an object says about itself is not looked at,
 * and what it throws ends nobody else's request.
 */
import { getterOf, isProxy, methodOf } from './intrinsics';

const abortedOf = getterOf<boolean>(AbortSignal.prototype, 'aborted');
const reasonGetter = getterOf<unknown>(AbortSignal.prototype, 'reason');
type Listening = (signal: AbortSignal, name: 'abort', listener: () => void, options?: object) => void;
const addListener = methodOf<Listening>(EventTarget.prototype, 'addEventListener');
const removeListener = methodOf<Listening>(EventTarget.prototype, 'removeEventListener');

/**
 * One of Node's own. The contexts of one process share that class (jest's too); a class of somebody else's that looks like it
 * is none, nor is a Proxy: whoever answers for a signal could throw in the middle of a request.
 */
export function isAbortSignal(signal: unknown): signal is AbortSignal {
  if (signal === null || typeof signal !== 'object' || isProxy(signal)) return false;
  try {
    return typeof abortedOf(signal) === 'boolean';
  } catch {
    return false;
  }
}

export function isAborted(signal: AbortSignal | undefined): boolean {
  return signal !== undefined && abortedOf(signal);
}

export function reasonOf(signal: AbortSignal | undefined): unknown {
  return reasonGetter(signal);
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (isAborted(signal)) throw reasonOf(signal);
}

/** False: the signal was tampered with, and never calls. */
export function listen(signal: AbortSignal, listener: () => void): boolean {
  try {
    addListener(signal, 'abort', listener, { __proto__: null, once: true });
    return true;
  } catch {
    return false;
  }
}

export function unlisten(signal: AbortSignal, listener: () => void): void {
  try {
    removeListener(signal, 'abort', listener);
  } catch {
    // What is left of the listener has nobody to call.
  }
}
