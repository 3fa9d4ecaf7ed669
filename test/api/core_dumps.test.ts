// What a core dump of a process with an open mirror would hold: the mappings that the kernel would write into it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { describeDeviceKinds, KIB, useMirrors } from './support';

const CHILD = path.join(__dirname, '..', 'support', 'core_dump_child.cjs');
const LENGTH = 256 * KIB;
const IN_BUFFER = 0xc3;
const IN_POOL = 0xb7;

interface Mapping {
  begin: number;
  length: number;
  dumped: boolean;
}

/** Those that can be read and of which anything is in memory; the others hold nothing. */
function mappingsOf(process: number): Mapping[] {
  const text = readFileSync(`/proc/${process}/smaps`, 'utf8');
  return text.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).flatMap((entry) => {
    const [, begin, end, readable] = /^([0-9a-f]+)-([0-9a-f]+) (.)/.exec(entry) as unknown as [
      string,
      string,
      string,
      string,
    ];
    if (readable !== 'r' || /^Rss: +0 kB$/m.test(entry) || /\[(vvar|vsyscall)/.test(entry)) return [];
    const flags = (/^VmFlags: (.*)$/m.exec(entry)?.[1] ?? '').trim().split(' ');
    return [
      { begin: parseInt(begin, 16), length: parseInt(end, 16) - parseInt(begin, 16), dumped: !flags.includes('dd') },
    ];
  });
}

/** How many KiB of nothing but this byte lie there. */
function kibibytesOf(fill: number, bytes: Buffer): number {
  const wanted = Buffer.alloc(KIB, fill);
  let found = 0;
  for (let at = 0; at + KIB <= bytes.length; at += KIB)
    found += bytes.compare(wanted, 0, KIB, at, at + KIB) === 0 ? 1 : 0;
  return found;
}

function findBytes(process: number, fill: number): { dumped: number; kept: number } {
  const found = { dumped: 0, kept: 0 };
  const memory = openSync(`/proc/${process}/mem`, 'r');
  try {
    for (const { begin, length, dumped } of mappingsOf(process)) {
      const chunk = Buffer.alloc(Math.min(length, 16 * KIB * KIB));
      for (let done = 0; done < length;) {
        const read = readSync(memory, chunk, 0, Math.min(chunk.length, length - done), begin + done);
        if (read === 0) throw new Error(`nothing could be read at ${begin + done}`);
        found[dumped ? 'dumped' : 'kept'] += kibibytesOf(fill, chunk.subarray(0, read));
        done += read;
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

async function untilReady(child: ChildProcess): Promise<void> {
  const ended = once(child, 'close').then(([code, signal]) => {
    throw new Error(`the child ended with ${code} ${signal}`);
  });
  const ready = once(child.stdout as Readable, 'data');
  await Promise.race([ready, ended]);
  ended.catch(() => undefined);
}

describeDeviceKinds("users' bytes stay out of core dumps, by", (device) => {
  const mirrors = useMirrors();

  test('those in Mirror.alignedBuffer, and those in the pool of an open mirror', async () => {
    const { log } = await mirrors.create();
    const request = JSON.stringify({ log, device, inBuffer: IN_BUFFER, inPool: IN_POOL, length: LENGTH });
    const child = spawn(process.execPath, [CHILD, request], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await untilReady(child);
      const buffer = findBytes(child.pid as number, IN_BUFFER);
      const pool = findBytes(child.pid as number, IN_POOL);
      expect({ buffer: buffer.dumped, pool: pool.dumped }).toEqual({ buffer: 0, pool: 0 });
      // They were found where they must be, so that the search can find them.
      expect(buffer.kept).toBe(LENGTH / KIB);
      expect(pool.kept).toBeGreaterThanOrEqual(LENGTH / KIB);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
