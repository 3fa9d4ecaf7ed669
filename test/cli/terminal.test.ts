// What a terminal sees besides the answer: progress, and nothing of it left at the end. script(1) stands for the terminal.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MAIN, runCommand } from '../support/command_line';
import { mirrorFiles } from '../support/mirror_files';
import { describeUnless } from '../support/skip';
import { useTemporaryFolder } from '../support/temporary_folder';

const ESCAPE = String.fromCharCode(27);
const folder = useTemporaryFolder();
const noScript = existsSync('/usr/bin/script') ? null : 'needs script (package bsdutils)';

function create(size: string): string[] {
  const { log, master, slave } = mirrorFiles(folder());
  return ['create', '--log', log, '--master', master, '--slave', slave, '--size', size];
}

describeUnless(noScript, 'on a terminal', () => {
  function onTerminal(args: readonly string[]): { status: number | null; screen: string } {
    const command = [process.execPath, MAIN, ...args].join(' ');
    const { status, stdout } = spawnSync('script', ['-qec', command, join(folder(), 'typescript')], {
      encoding: 'utf8',
      env: { ...process.env, TERM: 'xterm' },
    });
    return { status, screen: stdout };
  }

  test('long work shows a bar with what is done and what is left, and gives the cursor back', () => {
    const { status, screen } = onTerminal(create('128MiB'));
    expect(status).toBe(0);
    expect(screen).toMatch(/(Preparing files|Copying|Reading back) +[█░]+ \d+% · [\d.]+ \w+ of [\d.]+ \w+/);
    expect(screen.lastIndexOf(`${ESCAPE}[?25h`)).toBeGreaterThan(screen.lastIndexOf(`${ESCAPE}[?25l`));
    expect(screen.slice(screen.lastIndexOf(ESCAPE))).not.toMatch(/%/);
  });

  test('states have colours, unless NO_COLOR is set', () => {
    onTerminal(create('8MiB'));
    const { log } = mirrorFiles(folder());
    expect(onTerminal(['status', log]).screen).toContain(`${ESCAPE}[32msynchronized${ESCAPE}[39m`);
    process.env['NO_COLOR'] = '1';
    try {
      expect(onTerminal(['status', log]).screen).not.toContain(ESCAPE);
    } finally {
      delete process.env['NO_COLOR'];
    }
  });
});

test('without a terminal there is no bar and no control character', async () => {
  const { stdout, stderr } = await runCommand(create('128MiB'));
  expect(stderr).toBe('');
  expect(stdout).not.toContain(ESCAPE);
});
