/** A file system that can be frozen: every write to a file in it hangs until it is thawed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { noLoopDevices } from './loop_device';
import { MIB, writeFileInFull } from './temporary_folder';

/** Why there can be none here, or null. */
export const noFreezing =
  noLoopDevices ??
  (['mkfs.ext4', 'fsfreeze'].every((tool) => spawnSync(tool, ['-V']).error === undefined)
    ? null
    : 'needs mkfs.ext4 and fsfreeze (packages e2fsprogs and util-linux)');

export interface FreezableFolder {
  mountPoint: string;
  freeze: () => void;
  thaw: () => void;
}

/** Runs the work with a folder of 96 MiB below `folder`; thawed and unmounted whatever happens. */
export async function withFreezableFolder(
  folder: string,
  work: (freezable: FreezableFolder) => Promise<void>,
): Promise<void> {
  const mountPoint = path.join(folder, 'mounted');
  const disk = writeFileInFull(path.join(folder, 'disk'), 96 * MIB);
  mkdirSync(mountPoint);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', disk]);
  execFileSync('mount', ['-o', 'loop', disk, mountPoint]);
  let frozen = false;
  const thaw = (): void => {
    if (frozen) execFileSync('fsfreeze', ['--unfreeze', mountPoint]);
    frozen = false;
  };
  const freeze = (): void => {
    execFileSync('fsfreeze', ['--freeze', mountPoint]);
    frozen = true;
  };
  try {
    await work({ mountPoint, freeze, thaw });
  } finally {
    thaw();
    execFileSync('umount', [mountPoint]);
  }
}

/** Until so many threads of this process hang in the kernel: the workers of io_uring are among them. */
export async function untilThreadsHang(count: number): Promise<void> {
  for (;;) {
    const hanging = readdirSync('/proc/self/task').filter((task) => stateOf(task) === 'D');
    if (hanging.length >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** One letter; null when the thread has ended meanwhile. */
function stateOf(task: string): string | null {
  try {
    const [, state] = /\) (\w) [^)]*$/.exec(readFileSync(`/proc/self/task/${task}/stat`, 'utf8')) ?? [];
    return state ?? null;
  } catch {
    return null;
  }
}
