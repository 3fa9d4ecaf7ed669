/** A mirror that another process has open, as an application has it: with a control socket or without, idle or written to. */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlStatus, OpenOptions } from '../../lib/index';

const CHILD = join(__dirname, 'holder_child.cjs');

export interface Told {
  acknowledged: number;
  longestMs: number;
  /** Code of the error that ended its writes. */
  error: string | null;
  /** As its status says it; null: none was asked for. */
  control: ControlStatus | null;
}

export interface MirrorHolder {
  process: number;
  /** The newest that it said. */
  told(): Told;
  /** Resolves with what it says when that fits. */
  until(fits: (told: Told) => boolean): Promise<Told>;
  signal(signal: NodeJS.Signals): void;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

interface HolderOptions {
  /** What runs the process, before its own words: `setpriv`, `unshare` and what they take. */
  through?: readonly string[];
  writes?: boolean;
  env?: Record<string, string>;
}

/** To be called at the top, or in a describe block: what a test has started is killed after it, and its socket, now stale, removed. */
export function useHolders(): (log: string, options: OpenOptions, how?: HolderOptions) => Promise<MirrorHolder> {
  const started: { child: ChildProcess; closed: Promise<void>; holder?: MirrorHolder }[] = [];
  afterEach(async () => {
    for (const { child, closed, holder } of started.splice(0)) {
      child.kill('SIGKILL');
      await closed;
      const socket = holder?.told().control?.socket ?? null;
      if (socket !== null) rmSync(socket, { force: true });
    }
  });
  return async (log, options, { through = [], writes = false, env = {} } = {}) => {
    const words = [...through, process.execPath, CHILD, JSON.stringify({ log, options, writes })];
    const child = spawn(words[0] as string, words.slice(1), {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const entry: (typeof started)[number] = { child, closed };
    started.push(entry);
    entry.holder = await holderOf(child, closed);
    return entry.holder;
  };
}

async function holderOf(child: ChildProcess, closed: Promise<void>): Promise<MirrorHolder> {
  let rest = '';
  let said: string | null = null;
  let told: Told = { acknowledged: 0, longestMs: 0, error: null, control: null };
  const waiting = new Set<() => void>();
  child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (said === null) said = line;
      else told = JSON.parse(line) as Told;
    }
    for (const look of [...waiting]) look();
  });
  const until = (fits: () => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const over = child.exitCode !== null || child.signalCode !== null;
        if (!fits() && !over) return;
        waiting.delete(look);
        if (fits()) resolve();
        else reject(new Error(`the holder ended, having said: ${said ?? 'nothing'}`));
      };
      waiting.add(look);
      child.once('close', look);
      look();
    });
  await until(() => said !== null);
  if (said !== 'open') throw new Error(`the holder could not open the mirror: ${said}`);
  return {
    process: child.pid as number,
    told: () => told,
    until: async (fits) => {
      await until(() => fits(told));
      return told;
    },
    signal: (signal) => void child.kill(signal),
    kill: () => {
      child.kill('SIGKILL');
      return closed;
    },
  };
}
