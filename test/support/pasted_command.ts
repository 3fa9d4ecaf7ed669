/** Commands as an operator pastes them: taken out of a message, and run by a shell with `blockmirror` on the PATH. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { shellQuote } from '../../lib/base/shell';
import { MAIN } from './command_line';

/** Those between backticks, in their order. */
export function commandsOf(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);
}

export interface Shell {
  run: (command: string) => { status: number | null; output: string };
  /** The command has to end well. */
  runs: (command: string) => string;
}

/** @param folder for the program's link */
export function operatorShell(folder: () => string): Shell {
  const run = (command: string): { status: number | null; output: string } => {
    const tools = join(folder(), 'tools');
    mkdirSync(tools, { recursive: true });
    const program = join(tools, 'blockmirror');
    writeFileSync(program, `#!/bin/sh\nexec ${shellQuote(process.execPath)} ${shellQuote(MAIN)} "$@"\n`);
    chmodSync(program, 0o755);
    const env = { ...process.env, PATH: `${tools}:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
    const { status, stdout, stderr } = spawnSync('sh', ['-c', command], { env, encoding: 'utf8' });
    return { status, output: stdout + stderr };
  };
  const runs = (command: string): string => {
    const { status, output } = run(command);
    expect(`${status} ${status === 0 ? '' : output}`).toBe('0 ');
    return output;
  };
  return { run, runs };
}
