/** Streams wait where a single request is refused, because the queue of the engine is full. */
import { type BlockmirrorError, isBlockmirrorError } from '../base/errors';
import type { Engine } from './engine';

/** @param refused hears of each refusal, whose error may hold what was handed over */
export async function whenThereIsRoom<T>(
  engine: Engine,
  submit: () => Promise<T>,
  refused?: (error: BlockmirrorError) => void,
): Promise<T> {
  for (;;) {
    try {
      return await submit();
    } catch (error) {
      // Where nothing is pending no settlement would ever make room.
      if (!isBlockmirrorError(error, 'QUEUE_FULL') || engine.pending === 0) throw error;
      refused?.(error);
      await engine.nextSettlement();
    }
  }
}
