// Child processes: a contestant is a process that prints one JSON object. None outlives the run.
import { spawn } from 'node:child_process';
import { onExit } from './cleanup.mjs';

const MOST_OUTPUT = 64 * 1024 * 1024;

/**
 * @param {{ program: string, args: readonly (string | number)[] }} command
 * @param {number} timeoutMs after which it is killed
 * @returns {{ process: import('node:child_process').ChildProcess, done: Promise<string> }} its standard output
 */
export function start({ program, args, onStderr }, timeoutMs) {
  const child = spawn(program, args.map(String), { stdio: ['ignore', 'pipe', onStderr ? 'pipe' : 'inherit'] });
  const forget = onExit(`kill ${program}`, () => child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    if (output.length + text.length <= MOST_OUTPUT) output += text;
  });
  if (onStderr) child.stderr.setEncoding('utf8').on('data', onStderr);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  const done = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      forget();
      if (code === 0) return resolve(output);
      const how = late
        ? `did not end within ${Math.round(timeoutMs / 1000)} s`
        : `ended by ${signal ?? `exit code ${code}`}`;
      reject(Object.assign(new Error(`${program} ${how}`), { code, signal, late }));
    });
  });
  return { process: child, done };
}

export async function runJson(command, timeoutMs) {
  return JSON.parse(await start(command, timeoutMs).done);
}
