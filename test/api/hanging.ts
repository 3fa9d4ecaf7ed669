/** A mirror of which the log or one image hangs when the test says so: a file on a file system that can be frozen. */
import { readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import type { DeviceKind, Mirror, OpenOptions, StalledEvent } from '../../lib/index';
import { withFreezableFolder } from '../support/freezable_folder';
import type { Mirrors } from './support';

export const TIMEOUT_MS = 400;

export interface Hanging {
  mirror: Mirror;
  log: string;
  /** As they were told. */
  told: StalledEvent[];
  freeze: () => void;
  thaw: () => void;
}

/** Thawed and closed whatever happens. */
export function withHanging(
  mirrors: Mirrors,
  which: 'log' | 'master' | 'slave1',
  { device, size, ...options }: OpenOptions & { device: DeviceKind; size?: number },
  work: (hanging: Hanging) => Promise<void>,
): Promise<void> {
  return withFreezableFolder(mirrors.folder(), async ({ mountPoint, freeze, thaw }) => {
    const paths = mirrors.paths();
    const there = (file: string): string => path.join(mountPoint, path.basename(file));
    if (which === 'log') paths.log = there(paths.log);
    else if (which === 'master') paths.master = there(paths.master);
    else paths.slaves = paths.slaves.map(there);
    await mirrors.create({ ...paths, device, ...(size === undefined ? {} : { size }) });
    const mirror = await mirrors.open(paths, { device, deviceTimeout: TIMEOUT_MS, ...options });
    const told: StalledEvent[] = [];
    mirror.on('stalled', (event) => told.push(event));
    try {
      await work({ mirror, log: paths.log, told, freeze, thaw });
    } finally {
      thaw();
      await mirror.close();
    }
  });
}

/** Well below the limit of a test: what is frozen must be thawed by the test that froze it. */
const LONGEST_MS = 10_000;

export async function until(reached: () => boolean): Promise<void> {
  const end = performance.now() + LONGEST_MS;
  while (!reached()) {
    if (performance.now() > end) throw new Error(`not within ${LONGEST_MS} ms: ${String(reached)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Whether this process has a file open there: a close leaves a device that hangs behind until it has answered. */
export function hasOpenBelow(folder: string): boolean {
  return readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${folder}/`);
    } catch {
      return false; // closed meanwhile
    }
  });
}
