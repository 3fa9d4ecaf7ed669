/**
 * What the metrics of one mirror are made of: its status, and what only the process that has it open knows. Types, and the
 * questions that several families ask of them. Pure.
 */
import type { NativeLatencyHistograms } from '../base/binding';
import type { Status } from '../base/types';
import type { ResyncTotals } from './resync_totals';

export interface MetricsFacts {
  /** Of the program that says all this. */
  version: string;
  status: Status;
  /** The ring of the log is damaged: what it covers is not known. */
  damaged: boolean;
  /** null: the mirror is not open here, or is closed by now. */
  latencies: NativeLatencyHistograms | null;
  /** null: it is not open here. */
  resync: ResyncTotals | null;
}

/** Its own process says this, or said it last. */
export function isOpenHere({ status }: MetricsFacts): boolean {
  return status.logUse.device !== null;
}

/** Another process has it open, and what that one knows beyond the log is not known here. */
export function isHeldElsewhere(facts: MetricsFacts): boolean {
  const { phase } = facts.status;
  return !isOpenHere(facts) && (phase === 'held' || phase === 'stopped');
}
