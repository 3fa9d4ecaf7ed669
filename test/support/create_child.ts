/** A create in a process of its own, which kills itself at a step of its progress or is killed from outside. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { CreateOptions } from '../../lib/base/types';

const PACKAGE = join(__dirname, '..', '..', 'dist', 'index.js');

const SCRIPT = `
const { Mirror } = require(process.argv[1]);
const { options, killAt } = JSON.parse(process.argv[2]);
let events = 0;
const onProgress = () => { if (++events === killAt) process.kill(process.pid, 'SIGKILL'); };
process.send('begun');
Mirror.create({ ...options, onProgress }).then(
  (report) => process.send({ uuid: report.uuid }, () => process.exit(0)),
  (error) => process.send({ code: error.code, message: error.message }, () => process.exit(1)),
);`;

export interface ChildOutcome {
  /** Whether SIGKILL ended it. */
  killed: boolean;
  uuid?: string;
  code?: string;
  message?: string;
}

/** @param kill at the how-many-th event of its progress, or so many ms after it began */
export function createInChild(
  options: CreateOptions,
  kill: { event?: number; afterMs?: number } = {},
): Promise<ChildOutcome> {
  const request = JSON.stringify({ options, killAt: kill.event ?? 0 });
  const child = spawn(process.execPath, ['-e', SCRIPT, PACKAGE, request], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  let outcome: Omit<ChildOutcome, 'killed'> = {};
  child.on('message', (message: 'begun' | Omit<ChildOutcome, 'killed'>) => {
    if (message !== 'begun') outcome = message;
    else if (kill.afterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), kill.afterMs);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (_code, signal) => resolve({ killed: signal === 'SIGKILL', ...outcome }));
  });
}
