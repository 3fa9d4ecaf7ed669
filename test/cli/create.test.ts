import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../support/command_line';
import { imagesEqual, mirrorFiles } from '../support/mirror_files';
import { MIB, useTemporaryFolder, writeFileInFull } from '../support/temporary_folder';

const folder = useTemporaryFolder();

function createArguments(...more: string[]): string[] {
  const { log, master, slave } = mirrorFiles(folder());
  return ['create', '--log', log, '--master', master, '--slave', slave, ...more];
}

test('files that do not exist are made, and the report says what was done', async () => {
  const result = await runCommand(createArguments('--size', '16MiB', '--json'));
  expect(result.exitCode).toBe(0);
  expect(result.json()).toMatchObject({
    uuid: expect.stringMatching(/^[0-9a-f-]{36}$/),
    log: mirrorFiles(folder()).log,
    size: 16 * MIB,
    bytesCopied: expect.any(Number),
    readBack: true,
    images: [
      {
        name: 'master',
        role: 'master',
        state: 'synchronized',
        error: null,
        bytesDiffered: 0,
        changedAt: null,
        expectedAt: null,
      },
      {
        name: 'slave1',
        role: 'slave',
        state: 'synchronized',
        error: null,
        bytesDiffered: 0,
        changedAt: null,
        expectedAt: null,
      },
    ],
  });
  const { master } = mirrorFiles(folder());
  expect(statSync(master).size).toBeGreaterThanOrEqual(17 * MIB);
});

test('in words it names the images and the command that comes next', async () => {
  const { exitCode, stdout, stderr } = await runCommand(createArguments('--size', '8MiB'));
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(stdout).toMatch(/^Size +8 MiB/m);
  expect(stdout).toMatch(/^slave1 +slave +synchronized +\/.*slave\.img$/m);
  expect(stdout).toContain(`blockmirror status ${mirrorFiles(folder()).log}`);
});

test('--keep-data makes the content of the master that of all', async () => {
  const files = mirrorFiles(folder());
  writeFileInFull(files.master, 9 * MIB, 'random');
  writeFileInFull(files.slave, 9 * MIB, 'random');
  const result = await runCommand(createArguments('--keep-data', '--overwrite-signature', '--json'));
  expect(result.exitCode).toBe(0);
  expect(result.json()).toMatchObject({ size: 8 * MIB, bytesCopied: 8 * MIB });
  expect(imagesEqual(files, 8 * MIB)).toBe(true);
});

test('images have the names they are given, two slaves too', async () => {
  const [a, b, c] = ['a', 'b', 'c'].map((name) => join(folder(), name)) as [string, string, string];
  const args = ['--master', `left=${a}`, '--slave', `right=${b}`, '--slave', c, '--size', '8MiB', '--json'];
  const result = await runCommand(['create', '--log', join(folder(), 'log'), ...args]);
  expect(result.json().images.map(({ name, role }: { name: string; role: string }) => [name, role])).toEqual([
    ['left', 'master'],
    ['right', 'slave'],
    ['slave2', 'slave'],
  ]);
});

test('--assume-identical copies nothing and says that a verify would prove it', async () => {
  const { stdout } = await runCommand(createArguments('--size', '8MiB', '--assume-identical'));
  expect(stdout).toMatch(/Copied +nothing/);
  expect(stdout).toMatch(/blockmirror verify/);
});

test('an existing mirror is not overwritten unasked', async () => {
  await runCommand(createArguments('--size', '8MiB'));
  const again = await runCommand(createArguments('--size', '8MiB', '--json'));
  expect(again.exitCode).toBe(1);
  expect(again.json().error.code).toBe('ERR_BLOCKMIRROR_SIGNATURE_FOUND');
  expect(again.json().error.remedy).toMatch(/--keep-data|--overwrite-signature/);
});

test('without a size and without files nothing is made', async () => {
  const result = await runCommand(createArguments('--json'));
  expect(result.exitCode).toBe(1);
  expect(result.json().error).toMatchObject({
    code: 'ERR_BLOCKMIRROR_IMAGE_NOT_FOUND',
    remedy: expect.stringContaining('size'),
  });
  expect(existsSync(mirrorFiles(folder()).log)).toBe(false);
});

test('one file under two names is refused', async () => {
  const { log, master } = mirrorFiles(folder());
  writeFileInFull(master, 9 * MIB);
  const result = await runCommand(['create', '--log', log, '--master', master, '--slave', master, '--json']);
  expect([result.exitCode, result.json().error.code]).toEqual([1, 'ERR_BLOCKMIRROR_SAME_DEVICE']);
});

test('--overwrite-signature is no word for the data of the master', async () => {
  const { log, master, slave } = mirrorFiles(folder());
  writeFileInFull(master, 9 * MIB);
  writeFileInFull(slave, 9 * MIB);
  execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'nodiscard', master, '8M']);
  const before = readFileSync(master);
  const paths = ['--log', log, '--master', master, '--slave', slave];
  const result = await runCommand(['create', ...paths, '--overwrite-signature', '--json']);
  expect([result.exitCode, result.json().error?.code]).toEqual([1, 'ERR_BLOCKMIRROR_SIGNATURE_FOUND']);
  expect(readFileSync(master).equals(before)).toBe(true);
});
