/** Why a mirror stopped: its master or its log failed. */
import type { NativeOutcome } from '../base/binding';
import { type BlockmirrorError, errorOfStatus } from '../base/errors';
import type { Engine } from './engine';

/** null: it did not. */
export function whyStopped(engine: Engine, stopped: NativeOutcome | null): BlockmirrorError | null {
  if (stopped === null || stopped.code === 0) return null;
  return errorOfStatus(engine.binding.codes, stopped, engine.names);
}

/** Of work that a mirror cannot begin once it stopped. @throws MASTER_FAILED, LOG_FAILED */
export function refuseStopped(engine: Engine): void {
  const reason = whyStopped(engine, engine.snapshot().stopped);
  if (reason !== null) throw reason;
}
