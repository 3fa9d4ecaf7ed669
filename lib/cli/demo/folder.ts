/**
 * The demo's folder: found, and removed again whatever happens.
 *
 * Removal also runs when the process ends in the middle (second Ctrl-C, an exception): half a gigabyte must not stay
 * behind because of a demo.
 */
import { rmSync } from 'node:fs';
import { mkdtemp, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { formatSize } from '../../index';
import { shown } from '../../base/shown';
import { checkFolderDirectIo } from '../doctor/path_checks';
import { CommandFailed } from '../failure';

export interface DemoFolder {
  path: string;
  /** Why it is not in the temporary folder; null when it is. */
  note: string | null;
  /** Removes it; with `keep`, forgets it. */
  release(keep: boolean): void;
}

/** The temporary folder (TMPDIR), or the current one when that does not take O_DIRECT or has no room. */
export async function makeDemoFolder(bytesNeeded: number): Promise<DemoFolder> {
  const candidates = [resolve(tmpdir()), process.cwd()];
  const objections: string[] = [];
  for (const candidate of candidates) {
    const objection = await objectionTo(candidate, bytesNeeded);
    if (objection !== null) {
      objections.push(`${shown(candidate)}: ${objection}`);
      continue;
    }
    const path = await mkdtemp(join(candidate, 'blockmirror-demo-'));
    return { path, note: objections.length === 0 ? null : `(${objections.join('; ')})`, release: removerOf(path) };
  }
  throw new CommandFailed(
    'ERR_BLOCKMIRROR_DEMO_FOLDER',
    `No folder to run in: ${objections.join('; ')}`,
    `Set TMPDIR to a folder on ext4, xfs or btrfs with ${formatSize(bytesNeeded)} free, or give a smaller --size`,
  );
}

async function objectionTo(folder: string, bytesNeeded: number): Promise<string | null> {
  try {
    const system = await statfs(folder);
    const free = system.bavail * system.bsize;
    if (free < bytesNeeded) return `${formatSize(free)} free, ${formatSize(bytesNeeded)} needed`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const directIo = await checkFolderDirectIo(folder);
  return directIo.verdict === 'ok' ? null : directIo.finding;
}

function removerOf(path: string): (keep: boolean) => void {
  const remove = () => rmSync(path, { recursive: true, force: true });
  process.on('exit', remove);
  return (keep) => {
    process.off('exit', remove);
    if (!keep) remove();
  };
}
