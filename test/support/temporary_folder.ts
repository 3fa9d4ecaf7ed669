/** Files of a test: in a folder of its own below TMPDIR, which is gone after the test. */
import { randomFillSync } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** To be called in a describe block (or at the top); the function it returns names the folder of the test that runs. */
export function useTemporaryFolder(): () => string {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'blockmirror-test-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return () => folder;
}

/**
 * The same, of a path that leaves room for a socket's, which has 107 bytes: below /tmp itself, however deep TMPDIR lies. Its mode
 * is 0700.
 */
export function useShortFolder(): () => string {
  const made: string[] = [];
  afterEach(() => {
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    const folder = mkdtempSync('/tmp/blockmirror-');
    made.push(folder);
    return folder;
  };
}

/** A file with every block written; random bytes differ from file to file, zeros do not. */
export function writeFileInFull(path: string, length: number, content: 'zeros' | 'random' = 'zeros'): string {
  const file = openSync(path, 'w', 0o600);
  try {
    const chunk = Buffer.alloc(Math.min(length, MIB));
    for (let done = 0; done < length;) {
      if (content === 'random') randomFillSync(chunk);
      done += writeSync(file, chunk, 0, Math.min(chunk.length, length - done));
    }
  } finally {
    closeSync(file);
  }
  return path;
}
