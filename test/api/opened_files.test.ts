/** lib/system/files.ts: what is read of a path from outside, and that nothing is waited for. */
import { execFileSync, spawn } from 'node:child_process';
import { linkSync, mkdirSync, renameSync, statfsSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { openToRead } from '../../lib/system/files';
import { useTemporaryFolder } from '../support/temporary_folder';
import { failure } from './support';

const folder = useTemporaryFolder();
const at = (name: string): string => join(folder(), name);

test('a file is read, by a link too', async () => {
  writeFileSync(at('file'), 'content');
  symlinkSync(at('file'), at('link'));
  for (const name of ['file', 'link']) {
    const opened = await openToRead(at(name));
    expect((await opened.readFile()).toString()).toBe('content');
    await opened.close();
  }
});

test('a FIFO, a folder, a character device and the files of the kernel are refused, each at once', async () => {
  execFileSync('mkfifo', [at('fifo')]);
  mkdirSync(at('folder'));
  const kernel = ['/proc/self/status', '/proc/kmsg', '/sys/kernel/notes'];
  for (const path of [at('fifo'), at('folder'), '/dev/null', '/dev/kmsg', ...kernel]) {
    const error = await failure(openToRead(path), 'OPEN_FAILED');
    expect(error.message).toMatch(/neither a block device nor a file/);
  }
});

test('a file that is a FIFO the next moment, and a file again, is never waited for', async () => {
  writeFileSync(at('file'), 'content');
  execFileSync('mkfifo', [at('fifo')]);
  linkSync(at('file'), at('path'));
  const put = (name: string): void => {
    linkSync(at(name), at('next'));
    renameSync(at('next'), at('path'));
    // Of one file with two names a rename does nothing.
    try {
      unlinkSync(at('next'));
    } catch {
      // It was renamed.
    }
  };
  const attempts: Promise<FileHandle | null>[] = [];
  for (let round = 0; round < 400; round += 1) {
    attempts.push(openToRead(at('path')).catch(() => null));
    for (let swap = 0; swap < 20; swap += 1) put(swap % 2 === 0 ? 'fifo' : 'file');
    await new Promise((resolve) => setImmediate(resolve));
  }
  put('file');
  const opened = await Promise.all(attempts);
  expect(opened.some((file) => file !== null)).toBe(true);
  for (const file of opened) {
    if (file === null) continue;
    expect((await file.stat()).isFile()).toBe(true);
    await file.close();
  }
});

test('a folder that is a link into /proc the next moment leads to no file of the kernel', async () => {
  mkdirSync(at('folder'));
  writeFileSync(join(at('folder'), 'mounts'), 'content');
  symlinkSync('/proc/self', at('link'));
  const swaps = `
    const { renameSync } = require('node:fs');
    const at = (name) => require('node:path').join(process.argv[1], name);
    for (const until = Date.now() + 3000; Date.now() < until; ) {
      renameSync(at('folder'), at('away'));
      renameSync(at('link'), at('folder'));
      renameSync(at('folder'), at('link'));
      renameSync(at('away'), at('folder'));
    }`;
  const swapper = spawn(process.execPath, ['-e', swaps, folder()]);
  let opened = 0;
  try {
    while (swapper.exitCode === null) {
      const file = await openToRead(join(at('folder'), 'mounts')).catch(() => null);
      if (file === null) continue;
      opened += 1;
      const { type } = statfsSync(`/proc/self/fd/${file.fd}`);
      await file.close();
      expect(type).not.toBe(PROC);
    }
  } finally {
    swapper.kill();
  }
  expect(opened).toBeGreaterThan(0);
});

/** Magic number (statfs). */
const PROC = 0x9fa0;
