import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAIN, runCommand } from '../support/command_line';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import type { DeviceFacts } from '../../lib';
import { describeUnless, notRoot, testUnless } from '../support/skip';
import { MIB, useTemporaryFolder, writeFileInFull } from '../support/temporary_folder';

const folder = useTemporaryFolder();

interface Check {
  name: string;
  verdict: string;
  finding: string;
  remedy: string | null;
}

async function doctor(
  path: string,
): Promise<{ exitCode: number | null; checks: Map<string, Check>; facts: DeviceFacts | null }> {
  const result = await runCommand(['doctor', path, '--json']);
  const [report] = result.json().paths;
  return {
    exitCode: result.exitCode,
    checks: new Map(report.checks.map((check: Check) => [check.name, check])),
    facts: report.facts,
  };
}

test('of this system: every check has a verdict, and what is not ok has a remedy', async () => {
  const result = await runCommand(['doctor', '--json']);
  const { system, verdict } = result.json();
  expect(system.map(({ name }: Check) => name)).toEqual(['platform', 'io_uring', 'locked memory']);
  for (const check of system) expect(check.verdict === 'ok').toBe(check.remedy === null);
  expect(result.exitCode).toBe(verdict === 'problem' ? 3 : 0);
});

test('a file written in full is fit', async () => {
  const path = writeFileInFull(join(folder(), 'image'), 4 * MIB);
  const { exitCode, checks, facts } = await doctor(path);
  expect(exitCode).toBe(0);
  expect(facts).toMatchObject({ path, size: 4 * MIB, blockDevice: false });
  for (const name of ['kind', 'permissions', 'direct I/O', 'size', 'alignment', 'allocation', 'in use', 'content'])
    expect(checks.get(name)).toMatchObject({ verdict: 'ok' });
});

test('a file with holes is a problem, and fallocate cures it', async () => {
  const path = join(folder(), 'image');
  writeFileSync(path, '');
  truncateSync(path, 4 * MIB);
  const before = await doctor(path);
  expect(before.exitCode).toBe(3);
  expect(before.checks.get('allocation')).toMatchObject({
    verdict: 'problem',
    remedy: expect.stringContaining('fallocate'),
  });
  execFileSync('fallocate', ['-l', String(4 * MIB), path]);
  expect((await doctor(path)).checks.get('allocation')).toMatchObject({ verdict: 'ok' });
});

test('a file system in a file is named', async () => {
  const path = writeFileInFull(join(folder(), 'image'), 8 * MIB);
  execFileSync('mkfs.ext4', ['-q', '-E', 'nodiscard', '-L', 'precious', path]);
  const { exitCode, checks } = await doctor(path);
  expect(exitCode).toBe(0);
  expect(checks.get('content')).toMatchObject({ verdict: 'warn', finding: expect.stringMatching(/ext4.*precious/) });
});

test('a folder is looked at as a home for images', async () => {
  const { checks } = await doctor(folder());
  expect(checks.get('direct I/O')).toMatchObject({ verdict: 'ok' });
  expect(checks.get('free space')?.finding).toMatch(/free of/);
});

test.each([
  ['a file that is not there yet', 'new.img', 'warn', 0],
  ['a path without its folder', 'no/such/image', 'problem', 3],
])('%s', async (_, name, verdict, exitCode) => {
  const found = await doctor(join(folder(), name));
  expect(found.checks.get('exists')).toMatchObject({ verdict });
  expect(found.exitCode).toBe(exitCode);
});

test('what is neither file, device nor folder is a problem', async () => {
  expect((await doctor('/dev/null')).checks.get('kind')).toMatchObject({ verdict: 'problem' });
});

const asNobody = (...command: string[]) =>
  spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', ...command], { encoding: 'utf8' });
const noNobody =
  notRoot ?? (asNobody('test', '-r', MAIN).status === 0 ? null : 'needs setpriv, and a checkout that others may read');

testUnless(noNobody, 'what may not be read is a problem of permissions, and nothing else is said of it', async () => {
  const path = writeFileInFull(join(folder(), 'image'), 4 * MIB);
  chmodSync(folder(), 0o755);
  const { status, stdout } = asNobody(process.execPath, MAIN, 'doctor', path, '--json');
  const [report] = JSON.parse(stdout).paths;
  expect(status).toBe(3);
  expect(report.checks.map(({ name, verdict }: Check) => [name, verdict])).toEqual([
    ['kind', 'ok'],
    ['permissions', 'problem'],
  ]);
});

test('in words each check is a line, with its remedy below', async () => {
  const path = join(folder(), 'image');
  writeFileSync(path, '');
  truncateSync(path, 4 * MIB);
  const { stdout, stderr } = await runCommand(['doctor', path]);
  expect(stderr).toBe('');
  expect(stdout).toMatch(/^This system$/m);
  expect(stdout).toMatch(/^ {2}ok +platform +linux/m);
  expect(stdout).toMatch(/^ {2}problem +allocation/m);
  expect(stdout).toMatch(/^ +→ Allocate it in full/m);
});

describeUnless(noLoopDevices, 'block devices', () => {
  const makeLoopDevice = useLoopDevices();

  test('are told with their blocks', async () => {
    const { exitCode, facts, checks } = await doctor(makeLoopDevice(8 * MIB, { sectorSize: 4096 }).path);
    expect(exitCode).toBe(0);
    expect(facts).toMatchObject({ size: 8 * MIB, logicalBlockSize: 4096, blockDevice: true, readOnly: false });
    expect(checks.get('in use')).toMatchObject({ verdict: 'ok' });
  });

  test('that are mounted are a problem, and where', async () => {
    const { path } = makeLoopDevice(16 * MIB);
    execFileSync('mkfs.ext4', ['-q', path]);
    const place = join(folder(), 'mounted');
    mkdirSync(place);
    execFileSync('mount', [path, place]);
    try {
      const { exitCode, checks } = await doctor(path);
      expect(exitCode).toBe(3);
      expect(checks.get('in use')).toMatchObject({ verdict: 'problem', finding: expect.stringContaining(place) });
    } finally {
      execFileSync('umount', [place]);
    }
  });

  test('that are read-only are a problem', async () => {
    const { exitCode, checks } = await doctor(makeLoopDevice(8 * MIB, { readOnly: true }).path);
    expect(exitCode).toBe(3);
    expect(
      [...checks.values()].some(({ verdict, finding }) => verdict === 'problem' && /read-only/.test(finding)),
    ).toBe(true);
  });
});

test('a file that others may read, or whose folder they may write, is warned about, and chmod cures it', async () => {
  const path = writeFileInFull(join(folder(), 'image'), 4 * MIB);
  chmodSync(path, 0o644);
  const before = await doctor(path);
  expect(before.checks.get('access')).toMatchObject({
    verdict: 'warn',
    remedy: expect.stringContaining('chmod go-rwx'),
  });
  chmodSync(path, 0o600);
  expect((await doctor(path)).checks.get('access')).toMatchObject({ verdict: 'ok' });
  chmodSync(folder(), 0o777);
  expect((await doctor(path)).checks.get('folders')).toMatchObject({
    verdict: 'warn',
    finding: expect.stringContaining('every user may write it'),
  });
});
