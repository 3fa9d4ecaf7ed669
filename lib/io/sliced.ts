/** Reads and writes of one buffer that are larger than the engine takes at once (split.ts says how they are cut). */
import type { Engine, WriteMode } from './engine';
import { HandedOver } from './buffers';
import { BlockmirrorError } from '../base/errors';
import { byteLengthOf } from '../base/intrinsics';
import { inSlices } from './split';
import type { Bytes, ReadResult, WriteResult } from '../base/types';

export async function writeSlices<B extends Bytes>(
  engine: Engine,
  buffer: B,
  offset: number,
  length: number,
  position: number,
  mode: WriteMode,
  signal: AbortSignal | undefined,
): Promise<WriteResult<B>> {
  await inSlices(engine, position, length, signal, (slice) => {
    const from = offset + slice.offset;
    if (byteLengthOf(buffer) < from + slice.length) throw new BlockmirrorError('BUFFER_DETACHED');
    return engine.write(buffer, from, slice.length, position + slice.offset, mode, signal);
  });
  return { bytesWritten: length, buffer };
}

export async function writeOwnedSlices<B extends Bytes>(
  engine: Engine,
  buffer: B,
  offset: number,
  length: number,
  position: number,
  mode: WriteMode,
  signal: AbortSignal | undefined,
): Promise<WriteResult<B>> {
  const held = HandedOver.take(engine.binding, buffer);
  held.shared = true;
  try {
    await inSlices(engine, position, length, signal, (slice) =>
      engine.writeOwned(held, offset + slice.offset, slice.length, position + slice.offset, mode, signal),
    );
  } catch (error) {
    // While another slice was under way there was nothing to give back.
    if (error instanceof BlockmirrorError) Object.assign(error, { buffer: held.giveBack() ?? undefined });
    throw error;
  }
  return { bytesWritten: length, buffer: held.giveBack() as B };
}

export async function readSlices<B extends Bytes>(
  engine: Engine,
  buffer: B,
  offset: number,
  length: number,
  position: number,
  signal: AbortSignal | undefined,
): Promise<ReadResult<B>> {
  await inSlices(engine, position, length, signal, (slice) =>
    engine.read(buffer, offset + slice.offset, slice.length, position + slice.offset, signal),
  );
  return { bytesRead: length, buffer };
}
