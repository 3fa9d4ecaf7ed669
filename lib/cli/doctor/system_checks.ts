/**
 * What this system allows: io_uring, locked memory, the tool that finds signatures.
 *
 * Gathering (readSystem) and judging (judge…) are apart, so that every verdict can be tested without such a system.
 */
import { readFile } from 'node:fs/promises';
import { formatSize, systemErrorName } from '../../index';
import { type Check, ok, problem, warn } from './checks';

export interface SystemFacts {
  platform: string;
  architecture: string;
  kernel: string;
  /** 0, or the errno with which io_uring is refused; null when the native part is not there. */
  ioUringErrno: number | null;
  /** Why the native part is not there. */
  nativeProblem: string | null;
  /** kernel.io_uring_disabled: 0 for all, 1 for one group, 2 for nobody; null before Linux 6.6. */
  ioUringDisabled: number | null;
  /** A seccomp filter is on this process, as in a container. */
  seccompFilter: boolean;
  /** Bytes; Infinity without a limit. */
  memoryLock: number;
  /** The limit does not bind a process with CAP_IPC_LOCK. */
  mayLockAnyMemory: boolean;
}

/** Bytes of its pool that the engine offers the kernel for registration. */
const REGISTERED_BYTES = 32 * 1024 * 1024;
const CAP_IPC_LOCK = 14n;

export async function readSystem(probeIoUring: () => number): Promise<SystemFacts> {
  const [status, limits, disabled, release] = await Promise.all(
    ['/proc/self/status', '/proc/self/limits', '/proc/sys/kernel/io_uring_disabled', '/proc/sys/kernel/osrelease'].map(
      (path) => readFile(path, 'utf8').catch(() => ''),
    ),
  );
  let ioUringErrno: number | null = null;
  let nativeProblem: string | null = null;
  try {
    ioUringErrno = probeIoUring();
  } catch (error) {
    nativeProblem = error instanceof Error ? error.message : String(error);
  }
  return {
    platform: process.platform,
    architecture: process.arch,
    kernel: (release ?? '').trim(),
    ioUringErrno,
    nativeProblem,
    ioUringDisabled: /^\d+$/.test((disabled ?? '').trim()) ? Number(disabled) : null,
    seccompFilter: /^Seccomp:\s*2$/m.test(status ?? ''),
    memoryLock: parseMemoryLock(limits ?? ''),
    mayLockAnyMemory: hasCapability(status ?? '', CAP_IPC_LOCK),
  };
}

/** The soft limit of /proc/self/limits, in bytes. */
export function parseMemoryLock(limits: string): number {
  const value = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1];
  return value === undefined || value === 'unlimited' ? Infinity : Number(value);
}

export function hasCapability(status: string, capability: bigint): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return effective !== undefined && ((BigInt(`0x${effective}`) >> capability) & 1n) === 1n;
}

export function judgeSystem(facts: SystemFacts): Check[] {
  return [judgePlatform(facts), judgeNative(facts), judgeIoUring(facts), judgeMemoryLock(facts)].filter(
    (check) => check !== null,
  );
}

function judgePlatform(facts: SystemFacts): Check {
  const finding = `${facts.platform} ${facts.kernel} on ${facts.architecture}`;
  if (facts.platform !== 'linux') return problem('platform', finding, 'Run it on Linux');
  if (facts.architecture !== 'x64' && facts.architecture !== 'arm64')
    return warn('platform', finding, 'It is made and tested for x64 and arm64');
  return ok('platform', finding);
}

function judgeNative(facts: SystemFacts): Check | null {
  if (facts.nativeProblem === null) return null;
  return problem('native part', facts.nativeProblem, 'Build it: npm explore blockmirror -- npm run build:native');
}

const WITHOUT_IT = 'Images are reached by a pool of threads instead, which is safe and slower. ';

export function judgeIoUring(facts: SystemFacts): Check | null {
  const errno = facts.ioUringErrno;
  if (errno === null) return null;
  if (errno === 0) return ok('io_uring', 'allowed');
  const refused = `refused with ${systemErrorName(errno)}`;
  if (facts.ioUringDisabled === 2)
    return warn(
      'io_uring',
      `${refused}: kernel.io_uring_disabled is 2`,
      `${WITHOUT_IT}To allow it: sysctl kernel.io_uring_disabled=0`,
    );
  if (facts.ioUringDisabled === 1)
    return warn(
      'io_uring',
      `${refused}: kernel.io_uring_disabled is 1, so that it is kept to one group`,
      `${WITHOUT_IT}To allow it: join the group that sysctl kernel.io_uring_group names, or sysctl kernel.io_uring_disabled=0`,
    );
  const name = systemErrorName(errno);
  if (name === 'ENOSYS' && !facts.seccompFilter)
    return warn(
      'io_uring',
      `${refused}: this kernel is built without it`,
      `${WITHOUT_IT}To have it: a kernel with CONFIG_IO_URING`,
    );
  if (facts.seccompFilter)
    return warn(
      'io_uring',
      `${refused}: a seccomp filter is on this process, as in a container`,
      `${WITHOUT_IT}To allow it under Docker: --security-opt seccomp=PROFILE with io_uring_setup, io_uring_enter and io_uring_register added to Docker's default profile`,
    );
  if (name === 'ENOMEM')
    return warn(
      'io_uring',
      `${refused}: not enough memory may be locked`,
      `${WITHOUT_IT}To allow it: raise the limit (ulimit -l)`,
    );
  return warn('io_uring', refused, `${WITHOUT_IT}A security module (dmesg names it) may forbid it`);
}

export function judgeMemoryLock(facts: SystemFacts): Check {
  const name = 'locked memory';
  if (facts.mayLockAnyMemory) return ok(name, 'no limit for this process (CAP_IPC_LOCK)');
  if (facts.memoryLock === Infinity) return ok(name, 'no limit');
  const finding = `at most ${formatSize(facts.memoryLock)}`;
  if (facts.memoryLock >= REGISTERED_BYTES) return ok(name, finding);
  return warn(
    name,
    `${finding}, and ${formatSize(REGISTERED_BYTES)} are wanted for registered buffers`,
    'It works without them, with a little more work per request. To have them: ulimit -l, LimitMEMLOCK= of a systemd service, or --ulimit memlock=-1 of Docker',
  );
}
