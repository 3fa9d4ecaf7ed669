// What the README shows is run as it stands there.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAIN } from '../support/command_line';
import { useTemporaryFolder } from '../support/temporary_folder';

const ROOT = join(__dirname, '..', '..');
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
const folder = useTemporaryFolder();

function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp('^```' + language + '\\n([^]*?)^```', 'gm'))].map(
    (match) => match[1] as string,
  );
}

function run(command: string, args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder(), encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('the commands and the program under "Use it" work in the order in which they are shown', () => {
  mkdirSync(join(folder(), 'node_modules'));
  symlinkSync(ROOT, join(folder(), 'node_modules', 'blockmirror'));
  // Stands for npx, which would ask a registry.
  mkdirSync(join(folder(), 'bin'));
  writeFileSync(join(folder(), 'bin', 'npx'), `#!/bin/sh\nshift\nexec ${process.execPath} ${MAIN} "$@"\n`, {
    mode: 0o755,
  });
  // Below a socket bash takes itself for a remote login, and reads what that user has it read.
  const shell = (script: string) => run('bash', ['--norc', '-euc', `PATH="$PWD/bin:$PATH"\n${script}`]);

  const [create, look, afterKill] = blocks('sh').filter((script) => script.includes('demo.log'));
  expect(shell(create as string)).toMatchObject({ status: 0, stderr: '' });
  writeFileSync(join(folder(), 'program.mjs'), blocks('js')[0] as string);
  expect(run(process.execPath, ['program.mjs'])).toEqual({ status: 0, stdout: 'hello\n', stderr: '' });
  expect(shell(look as string)).toMatchObject({ status: 0, stderr: '' });
  expect(shell(afterKill as string)).toMatchObject({ status: 0, stderr: '' });
});

test('every file it links to is there', () => {
  const targets = [...readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map((match) => match[1] as string);
  expect(targets).not.toHaveLength(0);
  expect(targets.filter((target) => !existsSync(join(ROOT, target)))).toEqual([]);
});

test('it names every command of the command line', () => {
  const { stdout } = run(process.execPath, [MAIN, '--help']);
  const commands = [...stdout.matchAll(/^ {2}([a-z]+) .*/gm)]
    .map((match) => match[1] as string)
    .filter((name) => !['help', 'blockmirror'].includes(name));
  expect(commands).toContain('create');
  for (const command of commands) expect(readme).toMatch(new RegExp(`^\\| \`${command}\\b`, 'm'));
});
