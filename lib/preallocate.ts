/**
 * Files made for a mirror: allocated and written in full, since a hole would have to be allocated, and could meet
 * ENOSPC, in the middle of a write (and an extent that was only reserved costs a metadata update at its first write).
 */
import { open, unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { BlockmirrorError, type SystemError } from './errors';

const CHUNK = 1024 * 1024;

/** @param fresh the file must not exist yet; it is removed again when it cannot be written in full */
export async function writeZeroFile(
  path: string,
  length: number,
  image: string,
  fresh: boolean,
  onWritten: (bytes: number) => void,
  checkpoint: () => void,
): Promise<void> {
  const file = await open(path, fresh ? 'wx' : 'r+').catch((error: unknown) => {
    throw new BlockmirrorError('OPEN_FAILED', { image, path, cause: error, detail: (error as Error).message });
  });
  try {
    const zeroes = Buffer.alloc(CHUNK);
    for (let position = 0; position < length; position += CHUNK) {
      checkpoint();
      const bytes = Math.min(CHUNK, length - position);
      await writeAll(file, zeroes.subarray(0, bytes), position);
      onWritten(bytes);
    }
    await file.sync();
    await syncFolder(dirname(resolve(path)));
  } catch (error) {
    if (fresh) await unlink(path).catch(() => undefined);
    if ((error as SystemError).syscall !== undefined) {
      throw new BlockmirrorError('WRITE_FAILED', { image, path, cause: error, detail: (error as Error).message });
    }
    throw error;
  } finally {
    await file.close();
  }
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const result = await file.write(bytes, written, bytes.length - written, position + written);
    written += result.bytesWritten;
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
