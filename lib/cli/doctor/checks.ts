/** What doctor says: one verdict, one finding and one remedy per check. Types and small helpers; pure. */
import type { DeviceFacts } from '../../index';

/** ok: fine. warn: works, with less speed or comfort than it could. problem: a mirror cannot use it as it is. */
export type Verdict = 'ok' | 'warn' | 'problem';

export interface Check {
  name: string;
  verdict: Verdict;
  finding: string;
  /** null where there is nothing to do. */
  remedy: string | null;
}

export interface PathReport {
  path: string;
  verdict: Verdict;
  facts: DeviceFacts | null;
  checks: Check[];
}

/** The JSON of `blockmirror doctor --json`. */
export interface DoctorReport {
  verdict: Verdict;
  system: Check[];
  paths: PathReport[];
}

export function ok(name: string, finding: string): Check {
  return { name, verdict: 'ok', finding, remedy: null };
}
export function warn(name: string, finding: string, remedy: string): Check {
  return { name, verdict: 'warn', finding, remedy };
}
export function problem(name: string, finding: string, remedy: string): Check {
  return { name, verdict: 'problem', finding, remedy };
}

const SEVERITY: readonly Verdict[] = ['ok', 'warn', 'problem'];

export function worst(verdicts: readonly Verdict[]): Verdict {
  return SEVERITY[Math.max(0, ...verdicts.map((verdict) => SEVERITY.indexOf(verdict)))] as Verdict;
}
