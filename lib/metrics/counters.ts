/**
 * Families of the engine's counters: by the name that a snapshot has (native/core/base/counters.h), a table. Pure.
 *
 * A counter that is not in it is left out, and a test says so.
 */
import type { Family } from './family';

/** By name of the counter: what follows `blockmirror_`, and what it counts since the mirror was opened. */
export const COUNTERS: Readonly<Record<string, readonly [name: string, help: string]>> = {
  reads: ['reads', 'Reads; one that crosses a multiple of 1 MiB counts for each part'],
  writes: ['writes', 'Writes; one that crosses a multiple of 1 MiB counts for each part'],
  discards: ['discards', 'Discards; one that crosses a multiple of 1 MiB counts for each part'],
  flushes: ['flushes', 'Flushes that the application asked for'],
  bytesRead: ['read_bytes', 'Bytes that were read'],
  bytesWritten: ['written_bytes', 'Bytes that were written, each once, whatever the number of images'],
  bytesDiscarded: ['discarded_bytes', 'Bytes that were discarded'],
  coveredWrites: ['covered_writes', 'Writes that needed no log write'],
  intentsLogged: ['intents_logged', 'Intents that were written to the log'],
  logRecords: ['log_records_written', 'Records that were written to the log'],
  logBytes: ['log_written_bytes', 'Bytes that were written to the ring of the log'],
  retirements: ['retirements', 'Passes that retired intents'],
  regionsRetired: ['regions_retired', 'Regions whose intents were retired'],
  regionsCarried: ['regions_carried', 'Regions whose intents were carried forward in the ring'],
  budgetWaits: ['budget_waits', 'Writes that waited for the recovery budget'],
  ringWaits: ['ring_waits', 'Writes that waited for room in the ring'],
  rangeWaits: ['range_waits', 'Requests that waited for an overlapping one'],
  fractures: ['fractures', 'Times that slaves stopped receiving writes'],
  repairs: ['repairs', 'Blocks that an image could not read, written anew with what another holds'],
  repairsFailed: ['repairs_failed', 'Repairs of the master whose rewrite did not help'],
};

export const COUNTER_FAMILIES: Family[] = Object.entries(COUNTERS).map(([counter, [name, help]]) => ({
  name: `blockmirror_${name}`,
  type: 'counter',
  help,
  labels: [],
  knownFrom: 'holder',
  metrics: ({ status }) => {
    const value = status.counters[counter];
    return value === undefined ? [] : [{ labels: {}, value }];
  },
}));
