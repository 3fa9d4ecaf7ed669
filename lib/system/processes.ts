/** Processes and hosts: who we are, and who somebody in an owner record is. Best effort; never throws. */
import { constants } from 'node:fs';
import { readFile, readdir, readlink, stat } from 'node:fs/promises';
import { hostname } from 'node:os';

export interface Host {
  host: string;
  bootId: string;
  /** When this process began, in ticks since boot (proc(5), field 22 of stat); 0: not known. */
  processStarted: number;
  /** Inode of our pid namespace; 0: not known. */
  pidNamespace: number;
}

export const NO_BOOT_ID = '00000000-0000-0000-0000-000000000000';
/** Limit of the search for an open descriptor: processes looked at. */
const PROCESS_LIMIT = 20_000;

export async function thisHost(): Promise<Host> {
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => NO_BOOT_ID);
  const stat = await readFile('/proc/self/stat', 'utf8').catch(() => '');
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return {
    host: hostname().slice(0, 63),
    bootId: bootId.trim(),
    processStarted: parseProcessStarted(stat),
    pidNamespace: Number(/^pid:\[(\d+)\]$/.exec(namespace)?.[1] ?? 0),
  };
}

/** Field 22 of /proc/PID/stat; 0 where there is none. The name before it may hold spaces and brackets. Pure. */
export function parseProcessStarted(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[19] ?? 0);
  return Number.isSafeInteger(ticks) && ticks > 0 ? ticks : 0;
}

/** Number of the user that it runs as; null: it is gone, or hidden. */
export async function processUser(process: number): Promise<number | null> {
  return (await stat(`/proc/${process}`).catch(() => null))?.uid ?? null;
}

/** null when there is no such process. */
export async function processName(process: number): Promise<string | null> {
  if (process <= 0) return null;
  const text = await readFile(`/proc/${process}/comm`, 'utf8').catch(() => null);
  return text === null ? null : text.trim();
}

/** Whether a process gets to run: not when a signal or a debugger stopped it, or a freezer its group; null: not known. */
export async function processState(process: number): Promise<'running' | 'frozen' | null> {
  const stat = await readFile(`/proc/${process}/stat`, 'utf8').catch(() => null);
  if (stat === null) return null;
  if (isStopped(stat)) return 'frozen';
  const groups = await readFile(`/proc/${process}/cgroup`, 'utf8').catch(() => '');
  const group = /^0::(\/.*)$/m.exec(groups)?.[1];
  const events =
    group === undefined ? '' : await readFile(`/sys/fs/cgroup${group}/cgroup.events`, 'utf8').catch(() => '');
  return /^frozen 1$/m.test(events) ? 'frozen' : 'running';
}

/** By field 3 of /proc/PID/stat: T is stopped by a signal, t by a debugger. Pure. */
export function isStopped(stat: string): boolean {
  const state = stat.charAt(stat.lastIndexOf(')') + 2);
  return state === 'T' || state === 't';
}

/** The numbers of the processes that /proc shows, bounded. */
export async function visibleProcesses(): Promise<number[]> {
  const entries = await readdir('/proc').catch(() => [] as string[]);
  return entries
    .filter((name) => /^\d+$/.test(name))
    .slice(0, PROCESS_LIMIT)
    .map(Number);
}

/**
 * Whether the process of our pid namespace that has that number is the one that began then.
 * `hidden`: a process of that number lives, and when it began cannot be read.
 * @param started in ticks since boot, 0: not known
 */
export async function sameProcess(process: number, started: number): Promise<'lives' | 'ended' | 'hidden'> {
  if (!exists(process)) return 'ended';
  if (started === 0) return 'lives';
  const now = parseProcessStarted(await readFile(`/proc/${process}/stat`, 'utf8').catch(() => ''));
  if (now === 0) return exists(process) ? 'hidden' : 'ended';
  return now === started ? 'lives' : 'ended';
}

/** Also where /proc hides the processes of others (hidepid). */
function exists(number: number): boolean {
  try {
    process.kill(number, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Our number of a process of another pid namespace, by its number there; null when it is not visible from here. */
export async function findOwnProcess(there: { process: number; pidNamespace: number }): Promise<number | null> {
  const wanted = `pid:[${there.pidNamespace}]`;
  for (const process of await visibleProcesses()) {
    if ((await readlink(`/proc/${process}/ns/pid`).catch(() => null)) !== wanted) continue;
    const status = await readFile(`/proc/${process}/status`, 'utf8').catch(() => '');
    if (innermostProcess(status) === there.process) return process;
  }
  return null;
}

/** The number of a process in its own pid namespace, from /proc/PID/status; 0: not told. Pure. */
export function innermostProcess(status: string): number {
  return Number(/^NSpid:.*?(\d+)\s*$/m.exec(status)?.[1] ?? 0);
}

export interface OpenDescriptor {
  /** A path below /proc by which just this open file is reached, whatever its name leads to. */
  path: string;
  /** Its name in the mount namespace of that process. */
  name: string;
  direct: boolean;
  writable: boolean;
}

const O_ACCMODE = 0o3;

/** The files and devices that a process has open; null when we may not look. */
export async function openDescriptors(process: number): Promise<OpenDescriptor[] | null> {
  const numbers = await readdir(`/proc/${process}/fd`).catch(() => null);
  if (numbers === null) return null;
  const found: OpenDescriptor[] = [];
  for (const number of numbers) {
    const path = `/proc/${process}/fd/${number}`;
    const name = await readlink(path).catch(() => '');
    if (!name.startsWith('/')) continue;
    const information = await readFile(`/proc/${process}/fdinfo/${number}`, 'utf8').catch(() => '');
    const flags = parseInt(/^flags:\s*([0-7]+)$/m.exec(information)?.[1] ?? '0', 8);
    found.push({
      path,
      name,
      direct: (flags & constants.O_DIRECT) !== 0,
      writable: (flags & O_ACCMODE) !== constants.O_RDONLY,
    });
  }
  return found;
}
