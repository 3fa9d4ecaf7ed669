/** /proc/locks: who holds a lock on a file, told at once where an attempt to lock would have to wait. Pure parser. */

export interface FileLock {
  kind: string;
  write: boolean;
  /** 0 or negative when the process is of another namespace, or unknown. */
  process: number;
  /** 'major:minor' in decimal. */
  device: string;
  inode: string;
}

export function parseLocks(text: string): FileLock[] {
  const locks: FileLock[] = [];
  for (const line of text.split('\n')) {
    // 1: FLOCK  ADVISORY  WRITE 1234 00:2d:5678 0 EOF; a waiter has '->' after the number and holds nothing.
    const match = /^\d+:\s+(\w+)\s+\w+\s+(\w+)\s+(-?\d+)\s+([0-9a-f]+):([0-9a-f]+):(\d+)\s/.exec(line);
    if (match === null) continue;
    const [, kind = '', access, process, major = '0', minor = '0', inode = ''] = match;
    locks.push({
      kind,
      write: access === 'WRITE',
      process: Number(process),
      device: `${parseInt(major, 16)}:${parseInt(minor, 16)}`,
      inode,
    });
  }
  return locks;
}
