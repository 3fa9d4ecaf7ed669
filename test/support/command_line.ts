/** Runs the built command line as a user does: as a process, with its exit code and both of its streams. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '..', '..');
export const MAIN = join(ROOT, 'dist', 'cli', 'main.js');

export interface CommandResult {
  exitCode: number | null;
  stdout: string;
  stderr: string;
  /** stdout as the one JSON document it has to be. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what it holds is what the test is about
  json<T = any>(): T;
}

export interface CommandOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** What runs the process, before its own words: `setpriv` and what it takes. */
  through?: readonly string[];
}

export interface RunningCommand {
  child: ChildProcess;
  result: Promise<CommandResult>;
}

export function startCommand(args: readonly string[], options: CommandOptions = {}): RunningCommand {
  if (!existsSync(MAIN)) throw new Error('dist/ is not built: npm run build:ts');
  const words = [...(options.through ?? []), process.execPath, MAIN, ...args];
  const child = spawn(words[0] as string, words.slice(1), {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const result = new Promise<CommandResult>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode) => {
      resolve({ exitCode, stdout, stderr, json: <T>() => JSON.parse(stdout) as T });
    });
  });
  return { child, result };
}

export function runCommand(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return startCommand(args, options).result;
}
