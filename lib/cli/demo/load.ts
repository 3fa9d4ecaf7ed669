/** Runs the load in a child process, for a while, and then kills it with SIGKILL. */
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { type ChildProcess, startOwnProgram } from '../../system/child_processes';
import { CommandFailed } from '../failure';
import type { Ledger } from './acknowledgements';
import type { WriterOptions } from './writer';

export interface LoadResult {
  /** Acknowledged in this run. */
  writes: number;
  durationMs: number;
}

export interface LoadWatch {
  /** Several times a second while the load runs. */
  onTick(writes: number, elapsedMs: number): void;
  signal: AbortSignal;
}

const TICK_MS = 100;
/** To the first acknowledgement: opening, and on a slow disk the first writes. */
const START_TIMEOUT_MS = 30_000;

/** Counts `durationMs` from the first acknowledged write, kills, and waits until the process is gone. */
export async function runAndKill(
  options: WriterOptions,
  ledger: Ledger,
  durationMs: number,
  watch: LoadWatch,
): Promise<LoadResult> {
  const child = startOwnProgram(
    join(__dirname, 'writer.js'),
    [JSON.stringify(options)],
    ['ignore', 'ignore', 'pipe', 'pipe'],
  );
  const killNow = () => child.kill('SIGKILL');
  process.on('exit', killNow);
  try {
    return await observe(child, ledger, durationMs, watch);
  } finally {
    killNow();
    process.off('exit', killNow);
  }
}

async function observe(child: ChildProcess, ledger: Ledger, durationMs: number, watch: LoadWatch): Promise<LoadResult> {
  const before = ledger.writes;
  const pipe = child.stdio[3] as Readable;
  const pipeEnded = once(pipe, 'close');
  pipe.on('data', (chunk: Buffer) => ledger.feed(chunk));
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-4000)));
  const exited = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });

  const killed = (async () => {
    const spawnedAt = Date.now();
    while (ledger.writes === before && child.exitCode === null && Date.now() - spawnedAt < START_TIMEOUT_MS)
      await tick(watch.signal);
    const startedAt = Date.now();
    while (child.exitCode === null && Date.now() - startedAt < durationMs) {
      watch.onTick(ledger.writes - before, Date.now() - startedAt);
      await tick(watch.signal);
    }
    const elapsed = Date.now() - startedAt;
    child.kill('SIGKILL');
    return elapsed;
  })();
  const elapsed = await killed;
  const end = await exited;
  await pipeEnded;
  ledger.endOfRun();
  const writes = ledger.writes - before;
  if (end !== 'SIGKILL' || writes === 0)
    throw new CommandFailed(
      'ERR_BLOCKMIRROR_DEMO_LOAD',
      `The load ended by itself (${end})${complaint === '' ? '' : `: ${complaint.trim()}`}`,
      'Run `blockmirror doctor` to see what this system lacks',
    );
  return { writes, durationMs: elapsed };
}

function tick(signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  return new Promise((resolve) => setTimeout(resolve, TICK_MS));
}
