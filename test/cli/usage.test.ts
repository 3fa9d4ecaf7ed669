import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { MAIN, runCommand } from '../support/command_line';

const COMMANDS = ['create', 'status', 'recover', 'verify', 'log', 'doctor', 'demo'];

test('--help names every command, examples and exit codes', async () => {
  const { exitCode, stdout, stderr } = await runCommand(['--help']);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
  expect(stdout).toMatch(/Examples:\n {2}blockmirror/);
  expect(stdout).toMatch(/3 +needs attention/);
});

test.each(COMMANDS)('%s --help has options, examples and exit codes', async (command) => {
  const { exitCode, stdout } = await runCommand([command, '--help']);
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/--json/);
  expect(stdout).toMatch(new RegExp(`Examples:\\n(.*\\n)*? +blockmirror ${command}`));
  expect(stdout).toMatch(/Exit codes:/);
});

test('--version is that of the package', async () => {
  const { version } = JSON.parse(readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8'));
  expect((await runCommand(['--version'])).stdout).toBe(`${version}\n`);
});

test('an answer that cannot be written is one line on stderr and exit code 1', () => {
  const full = openSync('/dev/full', 'w');
  try {
    const { status, stderr } = spawnSync(process.execPath, [MAIN, 'doctor', '--json'], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/^blockmirror: the output could not be written: .*ENOSPC[^\n]*\n$/),
    });
  } finally {
    closeSync(full);
  }
});

const WRONG: [string, string[], RegExp][] = [
  ['no command', [], /no command/i],
  ['an unknown command', ['rebuild'], /unknown command 'rebuild'/],
  ['an unknown option', ['status', 'x', '--force'], /unknown option '--force'/],
  ['a missing argument', ['status'], /missing required argument 'log'/],
  ['too many arguments', ['status', 'a', 'b'], /too many arguments/],
  ['a missing option', ['create', '--log', 'l', '--master', 'm'], /--slave/],
  ['a size that is none', ['create', '--log', 'l', '--master', 'm', '--slave', 's', '--size', '4GB'], /4GB/],
  ['a device kind that is none', ['recover', 'l', '--device', 'mmap'], /Allowed choices are auto, io_uring, threads/],
  ['an image without a path', ['status', 'l', '--image', 'slave1'], /NAME=PATH/],
  ['an image given twice', ['status', 'l', '--image', 'a=b', '--image', 'a=c'], /twice/],
  ['a demo that is too small', ['demo', '--size', '1MiB'], /too small/],
  ['the same name twice', ['create', '--log', 'l', '--master', 'a=m', '--slave', 'a=s'], /two images are named/],
];

test.each(WRONG)('%s: exit code 2, the reason and a remedy on stderr, nothing on stdout', async (_, args, reason) => {
  const { exitCode, stdout, stderr } = await runCommand(args);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toMatch(reason);
  expect(stderr).toMatch(/What to do: /);
});

test.each(WRONG)('%s, with --json: one document that says the same', async (_, args, reason) => {
  const result = await runCommand([...args, '--json']);
  expect(result.exitCode).toBe(2);
  const { error } = result.json();
  expect(error).toEqual({
    code: expect.stringMatching(/^ERR_BLOCKMIRROR_(USAGE|INVALID_OPTION)$/),
    message: expect.stringMatching(reason),
    remedy: expect.any(String),
    cause: null,
  });
});

test('a misspelt command gets a suggestion', async () => {
  expect((await runCommand(['statsu', 'x'])).stderr).toMatch(/Did you mean status\?/);
});
