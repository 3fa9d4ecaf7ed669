/**
 * A file of metrics, for node_exporter's textfile collector: there as a whole or not at all.
 *
 * Invariants:
 *  - What is replaced is a file that this wrote, told by its first line: a log, named here by mistake, stays.
 *  - The temporary file is in the same folder, is made anew and not opened, has no name that the collector reads, and goes when
 *    something fails.
 */
import { randomBytes } from 'node:crypto';
import { lstat, rename, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { shown } from '../base/shown';
import { openToRead } from '../system/files';
import { UsageError } from './failure';

/** Of every text that metricsToText makes: its first family has a sample always. */
const FIRST_LINE = '# HELP blockmirror_';
/** The collector is another user; there is nothing secret in it. */
const MODE = 0o644;

export async function writeMetricsFile(path: string, text: string): Promise<void> {
  await refuseForeign(path);
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(4).toString('hex')}`);
  try {
    await writeFile(temporary, text, { flag: 'wx', mode: MODE });
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
}

async function refuseForeign(path: string): Promise<void> {
  const there = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (there === null || (there.isFile() && (there.size === 0 || (await isOurs(path))))) return;
  throw new UsageError(
    `${shown(path)} is there, and is no file of metrics`,
    'Name a file that is not there yet, or that an earlier --metrics-file wrote',
  );
}

async function isOurs(path: string): Promise<boolean> {
  const file = await openToRead(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(FIRST_LINE.length), 0, FIRST_LINE.length, 0);
    return buffer.toString('latin1', 0, bytesRead) === FIRST_LINE;
  } finally {
    await file.close();
  }
}
