/** Block devices that really fail: loop devices over files of a small tmpfs. They need what useLoopDevices needs. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KIB, MIB } from './temporary_folder';
import { run } from './tools';

export interface FailingDevice {
  path: string;
  /** What its bytes lie in. */
  file: string;
  /** From here on most writes to its first 8 MiB fail. */
  breakIt(): void;
  /** It takes writes again. */
  mendIt(): void;
}

const UNMOUNT_TRIES = 100;

/** What a killed process had open the kernel lets go a moment after it is gone: the ring of its requests ends behind it. */
function unmount(folder: string): void {
  for (let tries = 1; ; tries += 1) {
    const { status, stderr } = spawnSync('umount', [folder], { encoding: 'utf8' });
    if (status === 0) return;
    if (tries === UNMOUNT_TRIES) throw new Error(`umount: ${stderr}`);
    spawnSync('sleep', ['0.05']);
  }
}

/** To be called in a describe block: once the tmpfs is full, blocks that were given back are not to be had again. */
export function useFailingDevices(): (length: number) => FailingDevice {
  const undo: (() => void)[] = [];
  afterEach(() => {
    for (const step of undo.splice(0).reverse()) step();
  });
  return (length) => {
    const folder = mkdtempSync(join(tmpdir(), 'blockmirror-full-'));
    undo.push(() => rmSync(folder, { recursive: true }));
    run('mount', '-t', 'tmpfs', '-o', `size=${length + 8 * MIB}`, 'tmpfs', folder);
    undo.push(() => unmount(folder));
    const file = join(folder, 'image');
    run('truncate', '-s', String(length), file);
    const path = run('losetup', '--find', '--show', file).trim();
    undo.push(() => run('losetup', '--detach', path));
    return {
      path,
      file,
      breakIt: () => {
        // A log keeps its superblock: that is before its ring.
        run('fallocate', '--punch-hole', '--offset', String(128 * KIB), '--length', String(8 * MIB), file);
        spawnSync('dd', ['if=/dev/zero', `of=${join(folder, 'filler')}`, 'bs=64k']);
      },
      mendIt: () => rmSync(join(folder, 'filler')),
    };
  };
}
