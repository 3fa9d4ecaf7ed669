import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Mirror } from '../../lib/index';
import { Ledger } from '../../lib/cli/demo/acknowledgements';
import { startChildWriter } from '../support/child_writer';
import { runCommand } from '../support/command_line';
import { breakMirror, createMirrorFiles } from '../support/mirror_files';
import { MIB, useTemporaryFolder, writeFileInFull } from '../support/temporary_folder';

const folder = useTemporaryFolder();

test('a mirror that was closed cleanly: exit code 0, nothing to do', async () => {
  const { log } = await createMirrorFiles(folder());
  const json = await runCommand(['status', log, '--json']);
  expect(json.exitCode).toBe(0);
  expect(json.json()).toMatchObject({ log, phase: 'closed', size: 16 * MIB, coverage: { bytes: 0 }, owner: null });
  const text = await runCommand(['status', log]);
  expect(text.stderr).toBe('');
  expect(text.stdout).toMatch(/^State +closed cleanly$/m);
  expect(text.stdout).toMatch(/^Next: nothing to do\.$/m);
});

test('a mirror whose writer was killed: exit code 3, and the command that repairs it', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  const json = await runCommand(['status', files.log, '--json']);
  expect(json.exitCode).toBe(3);
  expect(json.json()).toMatchObject({ phase: 'unclean', owner: null });
  expect(json.json().coverage.bytes).toBeGreaterThan(0);
  const text = await runCommand(['status', files.log]);
  expect(text.exitCode).toBe(3);
  expect(text.stdout).toMatch(/NOT closed cleanly/);
  expect(text.stdout).toContain(`Next: blockmirror recover ${files.log}`);
});

test('a mirror in use elsewhere: exit code 0, and who has it', async () => {
  const { log } = await createMirrorFiles(folder());
  const writer = startChildWriter({ log, run: 1, device: 'auto' }, new Ledger());
  try {
    await writer.acknowledged(10);
    const json = await runCommand(['status', log, '--json']);
    expect(json.exitCode).toBe(0);
    expect(json.json()).toMatchObject({ phase: 'held', owner: { process: writer.process, processName: 'node' } });
    const text = await runCommand(['status', log]);
    expect(text.stdout).toMatch(new RegExp(`^State +in use by node \\(process ${writer.process}\\)`, 'm'));
  } finally {
    await writer.kill();
  }
});

test('an image that is not where it was: exit code 3, which one, and --image finds it again', async () => {
  const { log, slave } = await createMirrorFiles(folder());
  const moved = join(folder(), 'elsewhere', 'slave.img');
  mkdirSync(dirname(moved));
  renameSync(slave, moved);
  const missing = await runCommand(['status', log]);
  expect(missing.exitCode).toBe(3);
  expect(missing.stdout).toMatch(/slave1.*cannot\s+be\s+found/s);
  const found = await runCommand(['status', log, '--image', `slave1=${moved}`, '--json']);
  expect(found.exitCode).toBe(0);
  expect(found.json().images[1]).toMatchObject({ name: 'slave1', path: moved, error: null });
});

test('images in each other’s place: exit code 3, and both are named', async () => {
  const { log, master, slave } = await createMirrorFiles(folder());
  const { exitCode, stdout } = await runCommand([
    'status',
    log,
    '--image',
    `master=${slave}`,
    '--image',
    `slave1=${master}`,
  ]);
  expect(exitCode).toBe(3);
  expect(stdout.replace(/\s+/g, ' ')).toContain('not the one that was named');
});

test('an --image of no image of this mirror is a mistake', async () => {
  const { log, slave } = await createMirrorFiles(folder());
  const result = await runCommand(['status', log, '--image', `slave9=${slave}`, '--json']);
  expect([result.exitCode, result.json().error.code]).toEqual([2, 'ERR_BLOCKMIRROR_INVALID_OPTION']);
});

test.each(['status', 'log', 'recover', 'verify'])(
  '%s of what is no log: exit code 1 and the reason',
  async (command) => {
    const path = writeFileInFull(`${folder()}/noise`, 2 * MIB, 'random');
    const noise = await runCommand([command, path, '--json']);
    expect([noise.exitCode, noise.json().error.code]).toEqual([1, 'ERR_BLOCKMIRROR_NOT_A_LOG']);
    const nothing = await runCommand([command, `${folder()}/nothing`, '--json']);
    expect([nothing.exitCode, nothing.json().error.code]).toEqual([1, 'ERR_BLOCKMIRROR_OPEN_FAILED']);
    expect(nothing.json().error.cause).toMatchObject({ code: 'ENOENT' });
  },
);

test('a log that was restored from an older copy: nobody is told to replace the master', async () => {
  const { log } = await createMirrorFiles(folder());
  const old = join(folder(), 'old.log');
  copyFileSync(log, old);
  await (await Mirror.open(log)).close();
  writeFileSync(log, readFileSync(old));
  const { stdout, exitCode } = await runCommand(['status', log]);
  expect(exitCode).toBe(3);
  expect(stdout).toMatch(/the log was restored from\s+an older copy/);
  expect(stdout).not.toMatch(/put the master back/);
});

test('a log file that was cut short: the command that makes it whole, and everything is compared', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  truncateSync(files.log, MIB);
  const { stderr } = await runCommand(['status', files.log]);
  const [, allocate, recover] = /^ {6}(fallocate .*) && blockmirror (.*)$/m.exec(stderr) ?? [];
  expect(spawnSync('sh', ['-c', allocate ?? 'false']).status).toBe(0);
  const recovered = await runCommand(recover?.split(' ') ?? []);
  expect(recovered.stdout).toMatch(/everything is compared/);
  expect(recovered.exitCode).toBe(0);
  expect((await runCommand(['status', files.log])).exitCode).toBe(0);
});
