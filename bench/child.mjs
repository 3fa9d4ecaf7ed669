// Child processes: a contestant is a process that prints one JSON object. None outlives the run.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { onExit } from './cleanup.mjs';

const MOST_OUTPUT = 64 * 1024 * 1024;

/**
 * @param {{ program: string, args: readonly (string | number)[], input?: string }} command
 * @param {number} timeoutMs after which it is killed
 * @param {NodeJS.Signals | null} end what it has to end by: null for exit code 0
 * @returns {Promise<string>} its standard output
 */
export function run({ program, args, input }, timeoutMs, end = null) {
  const child = spawn(program, args.map(String), {
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'inherit'],
  });
  const forget = onExit(`kill ${program}`, () => child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    if (output.length + text.length <= MOST_OUTPUT) output += text;
  });
  // A child that ends early closes its input; its exit code says why.
  child.stdin?.on('error', () => undefined).end(input);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      forget();
      if (!late && (end === null ? code === 0 : signal === end)) return resolve(output);
      const how = late
        ? `did not end within ${Math.round(timeoutMs / 1000)} s`
        : `ended by ${signal ?? `exit code ${code}`}`;
      reject(new Error(`${path.basename(program)} ${path.basename(String(args[0] ?? ''))} ${how}`));
    });
  });
}

export async function runJson(command, timeoutMs, end = null) {
  return JSON.parse(await run(command, timeoutMs, end));
}
