// Verdicts over systems that this machine is not; what doctor says of this machine is in doctor.test.ts.
import type { DeviceFacts } from '../../lib';
import { worst } from '../../lib/cli/doctor/checks';
import { judgeAccess, judgeAllocation, judgeFacts, judgeSignatures, judgeUses } from '../../lib/cli/doctor/path_checks';
import {
  hasCapability,
  judgeIoUring,
  judgeMemoryLock,
  judgeSystem,
  parseMemoryLock,
  type SystemFacts,
} from '../../lib/cli/doctor/system_checks';

const system: SystemFacts = {
  platform: 'linux',
  architecture: 'x64',
  kernel: '6.1.0',
  ioUringErrno: 0,
  nativeProblem: null,
  ioUringDisabled: 0,
  seccompFilter: false,
  memoryLock: Infinity,
  mayLockAnyMemory: false,
};
const EPERM = 1;
const ENOMEM = 12;
const ENOSYS = 38;

test('a system that allows all is ok throughout, with nothing to do', () => {
  for (const check of judgeSystem(system)) expect(check).toMatchObject({ verdict: 'ok', remedy: null });
});

test.each([
  ['sysctl 2', { ioUringErrno: EPERM, ioUringDisabled: 2 }, /io_uring_disabled is 2/, /io_uring_disabled=0/],
  ['sysctl 1', { ioUringErrno: EPERM, ioUringDisabled: 1 }, /one group/, /io_uring_group/],
  ['seccomp', { ioUringErrno: EPERM, seccompFilter: true }, /seccomp/, /--security-opt/],
  ['a filter that answers ENOSYS', { ioUringErrno: ENOSYS, seccompFilter: true }, /seccomp/, /--security-opt/],
  ['an old kernel', { ioUringErrno: ENOSYS, ioUringDisabled: null }, /built without/, /CONFIG_IO_URING/],
  ['memlock', { ioUringErrno: ENOMEM }, /locked/, /ulimit -l/],
  ['something else', { ioUringErrno: EPERM }, /EPERM/, /security module/],
])('io_uring refused by %s: a warning that names it and says how to allow it', (_, facts, finding, remedy) => {
  const check = judgeIoUring({ ...system, ...facts });
  expect(check).toMatchObject({ verdict: 'warn', finding: expect.stringMatching(finding) });
  expect(check?.remedy).toMatch(remedy);
  expect(check?.remedy).toMatch(/threads/);
});

test('without the native part that is the problem, and nothing is said of io_uring', () => {
  const checks = judgeSystem({ ...system, ioUringErrno: null, nativeProblem: 'no binary for linux-x64' });
  expect(checks.find((check) => check.verdict === 'problem')).toMatchObject({ finding: 'no binary for linux-x64' });
  expect(checks.map((check) => check.name)).not.toContain('io_uring');
});

test('another operating system is a problem', () => {
  expect(judgeSystem({ ...system, platform: 'darwin' })[0]).toMatchObject({ verdict: 'problem' });
});

test('a small limit of locked memory is a warning, except for a process that it does not bind', () => {
  const limited = { ...system, memoryLock: 64 * 1024 };
  expect(judgeMemoryLock(limited)).toMatchObject({ verdict: 'warn', finding: expect.stringContaining('64 KiB') });
  expect(judgeMemoryLock({ ...limited, mayLockAnyMemory: true }).verdict).toBe('ok');
  expect(judgeMemoryLock({ ...limited, memoryLock: 64 * 1024 * 1024 }).verdict).toBe('ok');
});

test('the limit and the capability are read as the kernel prints them', () => {
  expect(
    parseMemoryLock('Limit  Soft Limit\nMax locked memory         8388608              8388608              bytes\n'),
  ).toBe(8388608);
  expect(parseMemoryLock('Max locked memory         unlimited            unlimited            bytes')).toBe(Infinity);
  expect(hasCapability('CapEff:\t0000000000004000\n', 14n)).toBe(true);
  expect(hasCapability('CapEff:\t0000000000000000\n', 14n)).toBe(false);
});

const device: DeviceFacts = {
  path: '/dev/x',
  size: 2 ** 30,
  logicalBlockSize: 512,
  physicalBlockSize: 4096,
  memoryAlignment: 4,
  offsetAlignment: 512,
  blockDevice: true,
  uid: 0,
  gid: 0,
  mode: 0o600,
  readOnly: false,
  volatileCache: false,
  forceUnitAccess: 'native',
};
const verdictOf = (facts: Partial<DeviceFacts>) =>
  worst(judgeFacts({ ...device, ...facts }).map(({ verdict }) => verdict));

test('a device with all that is wanted is ok', () => {
  expect(verdictOf({})).toBe('ok');
});

test.each([
  ['read-only', { readOnly: true }, 'problem'],
  ['without room for a label', { size: 1024 * 1024 }, 'problem'],
  ['with a volatile cache and no FUA', { volatileCache: true, forceUnitAccess: 'emulated' as const }, 'warn'],
  ['with a volatile cache and FUA', { volatileCache: true }, 'ok'],
])('a device %s', (_, facts, verdict) => {
  expect(verdictOf(facts)).toBe(verdict);
});

test('a file with holes is a problem, one without is not', () => {
  expect(judgeAllocation(8192, 4096)).toMatchObject({
    verdict: 'problem',
    remedy: expect.stringContaining('fallocate'),
  });
  expect(judgeAllocation(8192, 12288).verdict).toBe('ok');
});

test('every use is a problem of its own', () => {
  const checks = judgeUses([
    { kind: 'mounted', detail: 'it is mounted on /srv', release: 'umount /srv' },
    { kind: 'swap', detail: '/dev/x is in use as swap', release: null },
  ]);
  expect(checks.map(({ verdict, finding }) => [verdict, finding])).toEqual([
    ['problem', 'it is mounted on /srv'],
    ['problem', '/dev/x is in use as swap'],
  ]);
});

test('data is a warning that names what create wants; our own mark is not', () => {
  const ext4 = { type: 'ext4', kind: 'filesystem' as const, label: 'home', reaches: 4096 };
  const [check] = judgeSignatures({ signatures: [ext4], probed: true, problem: null });
  expect(check).toMatchObject({ verdict: 'warn', finding: expect.stringMatching(/ext4.*home/) });
  expect(check?.remedy).toMatch(/--keep-data.*--overwrite-signature/);
  const ours = { type: 'blockmirror image', kind: 'blockmirror' as const, label: null, reaches: null };
  expect(judgeSignatures({ signatures: [ours], probed: true, problem: null })[0]?.verdict).toBe('ok');
});

test('what was not looked at is not called empty', () => {
  const checks = judgeSignatures({ signatures: [], probed: false, problem: 'blkid cannot be run' });
  expect(checks).toEqual([expect.objectContaining({ verdict: 'warn', finding: expect.stringContaining('blkid') })]);
});

test.each([
  ['its owner alone', { mode: 0o600 }, 'ok', null],
  ['root and its group', { gid: 0, mode: 0o660 }, 'ok', null],
  ['the group disk, of a device', { gid: 6, mode: 0o660, blockDevice: true }, 'ok', null],
  ['every user, to read', { mode: 0o644 }, 'warn', /every user may read it.*lock/],
  ['a group, to read', { mode: 0o640 }, 'warn', /its group may read it/],
  ['a group, to write', { mode: 0o660 }, 'warn', /its group may write it/],
  ['every user, to write', { mode: 0o666 }, 'warn', /every user may write it/],
  ['the group disk, of a file', { gid: 6, mode: 0o660 }, 'warn', /its group may write it/],
] as const)('a file that is open to %s', (_, change, verdict, finding) => {
  const check = judgeAccess('/srv/a b', { gid: 100, blockDevice: false, ...change }, 6);
  expect(check.verdict).toBe(verdict);
  if (finding !== null) expect(check.finding).toMatch(finding);
  if (verdict === 'warn') expect(check.remedy).toContain("`chmod go-rwx '/srv/a b'`");
});
