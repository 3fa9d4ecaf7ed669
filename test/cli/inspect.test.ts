/** `blockmirror inspect`: what a path is, and where the rest of its mirror is. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../support/command_line';
import { createMirrorFiles } from '../support/mirror_files';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';
import { overwrite } from '../api/support';

const folder = useTemporaryFolder();

test('a log, an image and anything else, in words and as JSON', async () => {
  const files = await createMirrorFiles(folder());
  const other = join(folder(), 'other');
  writeFileSync(other, 'text');
  const { exitCode, stdout } = await runCommand(['inspect', files.log, files.slave, other]);
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/the log of mirror [0-9a-f-]{36}/);
  expect(stdout).toMatch(/slave 'slave1' of mirror [0-9a-f-]{36}/);
  expect(stdout).toContain('nothing of blockmirror');
  expect(stdout).toContain(`Next: blockmirror status ${files.log}`);
  const document = (await runCommand(['inspect', files.slave, '--json'])).json();
  expect(document).toMatchObject([
    {
      kind: 'image',
      copies: ['whole', 'whole'],
      image: { name: 'slave1', role: 'slave', sealed: true },
      problem: null,
    },
  ]);
  expect(document[0].parts.map((part: { path: string }) => part.path).sort()).toEqual([files.master, files.log].sort());
});

test('a mark that cannot be read needs attention; a path that is not there fails', async () => {
  const { master } = await createMirrorFiles(folder());
  for (const copy of [0, MIB / 2]) overwrite(master, 16 * MIB + copy + 512, Buffer.alloc(512, 1));
  const { exitCode, stdout } = await runCommand(['inspect', master]);
  expect(exitCode).toBe(3);
  expect(stdout).toContain('an image of blockmirror that cannot be read');
  expect((await runCommand(['inspect', join(folder(), 'nothing')])).exitCode).toBe(1);
});

test('images whose log is lost: the command that makes them a mirror again, with what the master holds', async () => {
  const files = await createMirrorFiles(folder());
  rmSync(files.log);
  const { stdout } = await runCommand(['inspect', files.slave]);
  const command = /^ {4}blockmirror (create .*)$/m.exec(stdout)?.[1]?.split(' ') ?? [];
  expect(command).toEqual([
    ...['create', '--log', `${files.master}.log`, '--master', `master=${files.master}`],
    ...['--slave', `slave1=${files.slave}`, '--size', String(16 * MIB), '--keep-data', '--overwrite-signature'],
  ]);
  expect((await runCommand(command)).exitCode).toBe(0);
  expect((await runCommand(['status', `${files.master}.log`])).exitCode).toBe(0);
});

test('a log of that name that stands there already is not named to be written over', async () => {
  const files = await createMirrorFiles(folder());
  rmSync(files.log);
  writeFileSync(`${files.master}.log`, 'text');
  const { stdout } = await runCommand(['inspect', files.slave]);
  expect(stdout).toContain('Its log was found neither');
  expect(stdout).not.toContain('blockmirror create');
});
