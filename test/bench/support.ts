// What the tests of bench/ share. Its modules are ES modules, which jest cannot load: they are asked in a process of their
// own, several questions at once.
import { execFileSync, spawnSync } from 'node:child_process';
import path from 'node:path';
import { root } from '../structure/support';

/**
 * Evaluates an expression with the exports of modules of bench/ in scope, and `given` as data.
 * @param modules names in the expression by file: { statistics: 'statistics.mjs' }
 */
export function ask<T>(modules: Record<string, string>, expression: string, given: unknown = null): T {
  const imports = Object.entries(modules).map(
    ([name, file]) => `import * as ${name} from ${JSON.stringify(`file://${path.join(root, 'bench', file)}`)};`,
  );
  const program = `${imports.join('\n')}
    const given = ${JSON.stringify(given)};
    process.stdout.write(JSON.stringify(${expression}) ?? 'null');`;
  const args = ['--input-type=module', '--eval', program];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as T;
}

export interface BenchOutcome {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

export function runBench(args: readonly string[], environment: Record<string, string> = {}): BenchOutcome {
  const result = spawnSync(process.execPath, [path.join(root, 'bench', 'main.mjs'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
  });
  return { exitCode: result.status, stdout: result.stdout, stderr: result.stderr };
}
