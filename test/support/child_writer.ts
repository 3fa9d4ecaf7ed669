/**
 * A process that writes to a mirror until it is killed, and the book of what the mirror acknowledged to it, kept here,
 * outside that process. It is the demo's load; see lib/cli/demo.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Ledger } from '../../lib/cli/demo/acknowledgements';
import type { WriterOptions } from '../../lib/cli/demo/writer';

const WRITER = join(__dirname, '..', '..', 'dist', 'cli', 'demo', 'writer.js');

export interface ChildWriter {
  readonly process: number;
  /** Resolves when that many writes of this run are acknowledged; rejects when the writer ends before. */
  acknowledged(writes: number): Promise<void>;
  /** SIGKILL; resolves when the process is gone and the ledger has all it reported. */
  kill(): Promise<void>;
}

/**
 * @param ledger given again for a later run, it keeps the writes of the earlier ones
 * @param script another that tells its acknowledgements in the same way
 */
export function startChildWriter(options: WriterOptions, ledger: Ledger, script = WRITER): ChildWriter {
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  const before = ledger.writes;
  const waiting = new Set<() => void>();
  let complaint = '';
  let ended = false;
  const wakeAll = () => waiting.forEach((wake) => wake());
  child.stderr?.on('data', (piece: Buffer) => (complaint += piece.toString()));
  (child.stdio[3] as Readable).on('data', (piece: Buffer) => {
    ledger.feed(piece);
    wakeAll();
  });
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => {
      ended = true;
      ledger.endOfRun();
      wakeAll();
      resolve();
    });
  });
  return {
    process: child.pid ?? -1,
    acknowledged: (writes) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const enough = ledger.writes - before >= writes;
          if (!enough && !ended) return;
          waiting.delete(check);
          if (enough) resolve();
          else reject(new Error(`The writer ended after ${ledger.writes - before} writes: ${complaint}`));
        };
        waiting.add(check);
        check();
      }),
    kill: () => {
      child.kill('SIGKILL');
      return closed;
    },
  };
}
