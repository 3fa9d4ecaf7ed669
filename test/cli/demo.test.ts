import { execFileSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand, startCommand } from '../support/command_line';
import { imagesEqual } from '../support/mirror_files';
import { describeUnless, notRoot } from '../support/skip';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();
async function printed(child: ChildProcess, text: string): Promise<void> {
  let seen = '';
  child.stdout?.on('data', (piece: string) => (seen += piece));
  while (!seen.includes(text) && child.exitCode === null) await sleep(10);
}

const inFolder = () => ({ env: { TMPDIR: folder() } });

test('in JSON: images equal, nothing lost, all differences inside what the log named, and the files removed', async () => {
  const result = await runCommand(['demo', '--size', '48MiB', '--json'], inFolder());
  expect(result.exitCode).toBe(0);
  const report = result.json();
  expect(report).toMatchObject({ passed: true, kept: false, size: 47 * MIB });
  expect(report.kills.length).toBeGreaterThan(0);
  for (const kill of report.kills) {
    expect(kill.writesAcknowledged).toBeGreaterThan(0);
    expect(kill).toMatchObject({
      broken: { bytesCompared: 47 * MIB, bytesDifferedOutside: 0 },
      repaired: { bytesCompared: 47 * MIB, bytesDiffered: 0 },
      acknowledged: { unitsLost: 0 },
      report: { clean: false, readBack: true },
    });
    expect(kill.report.slaves[0].bytesDiffered).toBe(kill.broken.bytesDiffered);
  }
  expect(readdirSync(folder())).toEqual([]);
});

test('in words: the five steps, in order, and --keep leaves files with commands to look at them', async () => {
  const { exitCode, stdout, stderr } = await runCommand(['demo', '--size', '32MiB', '--keep'], inFolder());
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  const titles = [...stdout.matchAll(/^\d+\. (.*)$/gm)].map((match) => match[1]);
  expect(titles.slice(0, 3)).toEqual(['Make a mirror', 'Write, and kill it in the middle', 'Look at the damage']);
  expect(titles.slice(-2)).toEqual(['Recover', 'Check, without trusting the mirror']);
  expect(stdout).toMatch(/^ {2}npx blockmirror status \//m);
  const kept = join(folder(), readdirSync(folder())[0] as string);
  const files = { log: join(kept, 'mirror.log'), master: join(kept, 'master.img'), slave: join(kept, 'slave.img') };
  expect(imagesEqual(files, 31 * MIB)).toBe(true);
  expect((await runCommand(['status', files.log])).exitCode).toBe(0);
});

test('Ctrl-C in the middle of the load: the load is gone and so are the files', async () => {
  const { child, result } = startCommand(['demo', '--size', '32MiB'], inFolder());
  await printed(child, '2. Write');
  await sleep(500);
  child.kill('SIGINT');
  const { exitCode, stderr } = await result;
  expect(exitCode).toBe(130);
  expect(stderr).toMatch(/files are removed/);
  expect(readdirSync(folder())).toEqual([]);
});

describeUnless(notRoot, 'a temporary folder without room', () => {
  let small = '';
  beforeEach(() => {
    small = join(folder(), 'small');
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small]);
  });
  afterEach(() => {
    execFileSync('umount', [small]);
  });

  test('is left for the current folder, and that is said', async () => {
    const large = join(folder(), 'large');
    mkdirSync(large);
    const { child, result } = startCommand(['demo', '--size', '16MiB'], { cwd: large, env: { TMPDIR: small } });
    await printed(child, '2. Write');
    child.kill('SIGTERM');
    const { stdout } = await result;
    expect(stdout.replace(/\s+/g, ' ')).toMatch(/large\/blockmirror-demo-\w+ \(.*small: .* free, .* needed\)/);
    expect(readdirSync(large)).toEqual([]);
  });

  test('and no other either: exit code 1 and what to do', async () => {
    const result = await runCommand(['demo', '--json'], { cwd: small, env: { TMPDIR: small } });
    expect(result.exitCode).toBe(1);
    expect(result.json().error).toMatchObject({
      code: 'ERR_BLOCKMIRROR_DEMO_FOLDER',
      remedy: expect.stringMatching(/TMPDIR.*--size/),
    });
  });
});
