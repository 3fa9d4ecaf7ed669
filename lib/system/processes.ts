/** Processes and hosts: who we are, and who somebody in an owner record is. Best effort; never throws. */
import { readFile, readdir, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';

export interface Host {
  host: string;
  bootId: string;
  /** When this process began, in ticks since boot (proc(5), field 22 of stat); 0: not known. */
  processStarted: number;
  /** Inode of our pid namespace; 0: not known. */
  pidNamespace: number;
}

const NO_BOOT_ID = '00000000-0000-0000-0000-000000000000';
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

/** Processes that hold the file or device at `realPath` open, as far as we may look. */
export async function processesHolding(realPath: string): Promise<number[]> {
  const entries = await readdir('/proc').catch(() => [] as string[]);
  const holders: number[] = [];
  for (const entry of entries.filter((name) => /^\d+$/.test(name)).slice(0, PROCESS_LIMIT)) {
    const descriptors = await readdir(`/proc/${entry}/fd`).catch(() => [] as string[]);
    for (const descriptor of descriptors) {
      if ((await readlink(`/proc/${entry}/fd/${descriptor}`).catch(() => null)) === realPath) {
        holders.push(Number(entry));
        break;
      }
    }
  }
  return holders;
}
