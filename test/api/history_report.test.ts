/** The report of a history from events alone: what is counted as overwritten and as missing, and every kind in words. */
import type { NativeEvent, NativeSuperblock } from '../../lib/base/binding';
import { historyReportToText } from '../../lib/index';
import { historyReport } from '../../lib/look/history';

const superblock = { mirrorUuid: '00000000-0000-0000-0000-000000000001' } as NativeSuperblock;
const ALL = { image: null, sinceMs: null };

function event(sequence: number, more: Partial<NativeEvent> = {}): NativeEvent {
  return {
    sequence,
    atMs: 1_000_000 + sequence,
    kind: 'verified',
    image: 1,
    before: 'in-sync',
    after: 'in-sync',
    cause: 'none',
    error: 0,
    generation: 1,
    openCount: 1,
    position: 0,
    length: 0,
    bytes: 0,
    durationMs: 0,
    name: 'slave1',
    ...more,
  };
}

function reportOf(events: NativeEvent[]): ReturnType<typeof historyReport> {
  return historyReport('m.log', superblock, { events, broken: 0 }, ALL, null);
}

const sequences = (first: number, last: number, without: number[] = []): NativeEvent[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index)
    .filter((sequence) => !without.includes(sequence))
    .map((sequence) => event(sequence));

test.each([
  { what: 'nothing', events: [], overwritten: 0, missing: 0 },
  { what: 'a ring that is not full', events: sequences(1, 20), overwritten: 0, missing: 0 },
  { what: 'a ring that went round', events: sequences(7, 1030), overwritten: 6, missing: 0 },
  { what: 'a gap', events: sequences(1, 20, [5, 6]), overwritten: 0, missing: 2 },
  { what: 'what is missing at the beginning', events: sequences(3, 20), overwritten: 0, missing: 2 },
  { what: 'a full ring whose oldest are missing', events: sequences(9, 1030, [100]), overwritten: 6, missing: 3 },
])('$what: $overwritten overwritten, $missing missing', ({ events, overwritten, missing }) => {
  expect(reportOf(events)).toMatchObject({ overwritten, missing });
});

test('an opening follows a crash where no close stands between, unless something is missing there', () => {
  const opened = { kind: 'opened', image: null };
  const closed = { kind: 'closed', image: null };
  const crashes = (events: NativeEvent[]): boolean[] =>
    reportOf(events)
      .events.filter(({ kind }) => kind === 'opened')
      .map(({ afterCrash }) => afterCrash);
  expect(crashes([event(1, opened), event(2, closed), event(3, opened)])).toEqual([false, false]);
  expect(crashes([event(1, opened), event(2), event(3, opened)])).toEqual([false, true]);
  expect(crashes([event(1, opened), event(3, opened)])).toEqual([false, false]);
  expect(crashes([event(5, { ...opened, bytes: 4096 })])).toEqual([true]);
});

test.each<[Partial<NativeEvent>, string]>([
  [{ kind: 'created', image: null, bytes: 4096 }, 'the mirror was made, of 4 KiB'],
  [{ kind: 'opened', image: null, openCount: 11 }, 'opened, for the 11th time'],
  [{ kind: 'recovered', image: null, bytes: 8192, durationMs: 20_000 }, 'recovered: 8 KiB copied in 20.0 s'],
  [
    { kind: 'fractured', after: 'failed', cause: 'write-error', error: 28 },
    'slave1 went from in sync to failed: a write to it failed (ENOSPC)',
  ],
  [
    { kind: 'resync-begun', after: 'synchronizing', bytes: 4096, cause: 'differs' },
    'a resync began, of at most 4 KiB, where a verify found that it differs',
  ],
  [
    { kind: 'repaired', before: 'synchronizing', bytes: 4096 },
    'slave1 went from synchronizing to in sync: what a verify found is repaired, 4 KiB copied',
  ],
  [
    { kind: 'repaired', image: 0, name: 'master', bytes: 4096, position: 8192, length: 4096 },
    'master: 4 KiB could not be read, and hold again what another image held, at byte 8192',
  ],
  [{ kind: 'error', image: null, name: '', error: 5 }, 'the mirror stopped: its log failed (EIO)'],
  [{ kind: 'error', image: 0, name: 'master', error: 5 }, 'the mirror stopped: master failed (EIO)'],
  [
    { kind: 'error', cause: 'read-error', bytes: 4096, position: 512, length: 4096, error: 5 },
    'slave1: 4 KiB could not be read, at byte 512 (EIO)',
  ],
  [{ kind: 'verified', bytes: 512 }, 'slave1: a part of it was compared, 512 B differed'],
  [{ kind: 'policy-changed', image: null, name: 'rejoin', bytes: 1 }, 'rejoin is manual from here on'],
  [{ kind: 'policy-changed', image: null, name: 'deviceTimeout', bytes: 0 }, 'deviceTimeout is none from here on'],
  [{ kind: 'policy-changed', image: null, name: 'waitForImages', bytes: 60_000 }, 'waitForImages is 1m from here on'],
])('%j in words', (fields, words) => {
  expect(historyReportToText(reportOf([event(1, fields)]))).toContain(words);
});

test('a name that would move the cursor of a terminal is shown, not sent', () => {
  const text = historyReportToText(reportOf([event(1, { name: 'a\u202eb' })]));
  expect(text).not.toContain('\u202e');
});
