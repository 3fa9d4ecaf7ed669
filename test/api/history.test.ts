/** The history of a mirror: what is told, in which order, from whose hands it can be read, and what can be asked of it. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { explain, history, historyReportToText, inspect, resync, set, verify } from '../../lib/index';
import type { HistoryReport } from '../../lib/index';
import { KIB, MIB, MIRROR_SIZE, failure, useMirrors } from './support';

const mirrors = useMirrors();

const kinds = ({ events }: HistoryReport): string[] => events.map(({ kind }) => kind);
const block = (fill: number): Buffer => Buffer.alloc(4 * KIB, fill);

test('tells of a life: made, closed, opened, a slave out and back, verified, a policy', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.fracture(['slave1']);
  await mirror.write(block(1), { position: 8 * KIB });
  await mirror.close();
  await resync(paths.log);
  await verify(paths.log);
  await set(paths.log, { minInSync: 2 });
  const report = await history(paths.log);
  expect(kinds(report)).toEqual([
    ...['created', 'closed', 'opened', 'fractured', 'closed'],
    ...['opened', 'resync-begun', 'rejoined', 'closed', 'opened', 'verified', 'closed', 'policy-changed'],
  ]);
  expect(report).toMatchObject({ log: paths.log, since: null, image: null, overwritten: 0, missing: 0, lost: null });
  const [made, , opened, fractured] = report.events;
  expect(made).toMatchObject({ bytes: MIRROR_SIZE, opening: 1, image: null });
  expect(opened).toMatchObject({ opening: 2, afterCrash: false });
  expect(fractured).toMatchObject({
    image: 'slave1',
    before: 'in-sync',
    after: 'behind',
    cause: 'operator-request',
    error: null,
  });
  expect(report.events[7]).toMatchObject({ image: 'slave1', after: 'in-sync', bytes: 4 * KIB });
  expect(report.events[10]).toMatchObject({ image: 'slave1', bytes: 0, extent: { position: 0, length: MIRROR_SIZE } });
  expect(report.events[12]).toMatchObject({ policy: { key: 'minInSync', value: 2 }, bytes: null, image: null });
  const dates = report.events.map(({ at }) => at);
  expect([...dates].sort()).toEqual(dates);
});

test('an opening after a crash says so, also where the crash left nothing', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.write(block(1), { position: 0 });
  mirrors.crash(mirror);
  const again = await mirrors.open(paths);
  const { events } = await again.history();
  const opened = events.findLast(({ kind }) => kind === 'opened');
  expect(opened).toMatchObject({ afterCrash: true, bytes: expect.any(Number) });
  expect(events.map(({ kind }) => kind)).toContain('recovered');
});

test("one's own mirror tells all that happened until now; another's reader sees it too, and stops nothing", async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.fracture(['slave1']);
  const own = await mirror.history({ image: 'slave1' });
  expect(kinds(own)).toEqual(['fractured']);
  expect(own.lost).toBe(0);
  const other = await history(paths.log, { image: 'slave1' });
  expect(kinds(other)).toEqual(['fractured']);
  await mirror.write(block(1), { position: 0 });
  await mirror.close();
  await failure(mirror.history(), 'CLOSED');
});

test('since is a Date, milliseconds since 1970, a time ago, or an ISO date in UTC', async () => {
  const paths = await mirrors.create();
  const all = kinds(await history(paths.log));
  expect(all).toEqual(['created', 'closed']);
  const day = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
  for (const since of [new Date(0), 0, '1h', '2d', day, `${day}T00:00Z`, `${day} 00:00:00+01:00`]) {
    expect(kinds(await history(paths.log, { since }))).toEqual(all);
  }
  const later = new Date(Date.now() + 60_000);
  const none = await history(paths.log, { since: later });
  expect(none).toMatchObject({ events: [], since: later.toISOString() });
  expect(historyReportToText(none)).toContain(`the history tells of nothing since ${later.toISOString()}`);
});

test.each(['yesterday', '2026-13-01', '2h ago', '', NaN, Infinity])('refuses since %p', async (since) => {
  const paths = await mirrors.create();
  expect((await failure(history(paths.log, { since }), 'INVALID_OPTION')).remedy).toContain('2026-11-27');
});

test('refuses an image that the mirror does not have, an unknown option, and what is no log', async () => {
  const paths = await mirrors.create();
  const error = await failure(history(paths.log, { image: 'slave2' }), 'INVALID_OPTION');
  expect(error.remedy).toBe('The images of this mirror are master, slave1');
  await failure(history(paths.log, { until: '2h' } as object), 'INVALID_OPTION');
  await expect(history(paths.log, { since: true as never })).rejects.toThrow(/options\.since/);
  await failure(history(paths.master), 'NOT_A_LOG');
});

test('a sector that was damaged is left out, and counted as missing', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.close();
  expect(kinds(await history(paths.log))).toEqual(['created', 'closed', 'opened', 'closed']);
  const file = openSync(paths.log, 'r+');
  writeSync(file, Buffer.alloc(512, 0xff), 0, 512, 128 * KIB + 2 * 512); // of event 2
  closeSync(file);
  const report = await history(paths.log);
  expect(kinds(report)).toEqual(['created', 'opened', 'closed']);
  expect(report.missing).toBe(1);
  // Whether it was closed before is not known.
  expect(report.events[1]?.afterCrash).toBe(false);
});

test('explains a block that a slave owes: since when, why, and what happened; and one that it does not', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.fracture(['slave1']);
  await mirror.write(block(1), { position: MIB });
  await mirror.close();
  const owed = await explain(paths.log, MIB + 100);
  expect(owed).toMatchObject({
    position: MIB + 100,
    block: { position: MIB, length: 4 * KIB },
    phase: 'closed',
    damaged: false,
    covered: false,
    uncertain: true,
    slaves: [{ name: 'slave1', state: 'behind', owes: true, fracture: { cause: 'operator-request' } }],
  });
  expect(owed.events).toMatchObject([{ kind: 'fractured', image: 'slave1' }]);
  const other = await explain(paths.log, 0);
  expect(other).toMatchObject({ uncertain: false, slaves: [{ owes: false }], events: [] });
  await resync(paths.log);
  expect(await explain(paths.log, MIB)).toMatchObject({ uncertain: false, slaves: [{ owes: false, fracture: null }] });
});

test('explains a block that a crash left to be copied', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.write(block(1), { position: MIB });
  mirrors.crash(mirror);
  expect((await inspect(paths.log)).clean).toBe(false);
  const report = await explain(paths.log, MIB);
  expect(report).toMatchObject({ covered: true, uncertain: true, slaves: [{ owes: true }] });
  expect(report.liveIntents).not.toHaveLength(0);
  expect(await explain(paths.log, 4 * MIB)).toMatchObject({ covered: false, uncertain: false });
});

test('refuses to explain what is no byte of the mirror', async () => {
  const paths = await mirrors.create();
  await failure(explain(paths.log, MIRROR_SIZE), 'OUT_OF_RANGE');
  await failure(explain(paths.log, -1), 'INVALID_OPTION');
  await expect(explain(paths.log, '1' as never)).rejects.toThrow(/position/);
});
