/** `status --check`: the table, row by row, and its codes as a monitoring system sees them. */
import { rmSync } from 'node:fs';
import type { Inspection } from '../../lib';
import { type CheckFacts, checkOfError, checkToText, judgeCheck } from '../../lib/cli/check';
import { Ledger } from '../../lib/cli/demo/acknowledgements';
import { startChildWriter } from '../support/child_writer';
import { runCommand } from '../support/command_line';
import { breakMirror, createMirrorFiles } from '../support/mirror_files';
import { useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();
const NOW = Date.parse('2026-01-31T00:00:00Z');
const DAY = 24 * 60 * 60 * 1000;

/** What the table reads, of a mirror without fault but for what is given. */
function facts(
  change: { status?: object; slave?: object; inspection?: object; facts?: Partial<CheckFacts> } = {},
): CheckFacts {
  const image = { state: 'synchronized', error: null, changedAt: null, bytesDiffered: 0 };
  const status = {
    phase: 'closed',
    stopped: null,
    holder: null,
    lastVerify: { finishedAt: '2026-01-01T00:00:00.000Z' },
    images: [
      { ...image, name: 'master', role: 'master' },
      { ...image, name: 'slave1', role: 'slave', ...change.slave },
    ],
    ...change.status,
  };
  const inspection = { status, attachable: true, obstacles: [], damaged: false, lostCopies: [], ...change.inspection };
  return {
    inspection: inspection as unknown as Inspection,
    now: NOW,
    maximumAge: null,
    privileged: true,
    ...change.facts,
  };
}

const fault = { code: 'ERR_BLOCKMIRROR_SLAVE_FAILED', message: 'it failed' };
const refused = { code: 'ERR_BLOCKMIRROR_OPEN_FAILED', message: 'EACCES' };
const frozen = { process: 7, processName: 'x', state: 'frozen' };
const running = { ...frozen, state: 'running' };

test.each([
  ['synchronized', facts(), 0],
  ['consistent, and in use', facts({ status: { phase: 'held', holder: running }, slave: { state: 'consistent' } }), 0],
  ['assumed', facts({ slave: { state: 'assumed' } }), 1],
  ['synchronizing', facts({ slave: { state: 'synchronizing' } }), 1],
  ['fractured by the operator', facts({ slave: { state: 'behind' } }), 1],
  ['a lost copy', facts({ inspection: { lostCopies: [{ where: 'log', copy: 'A', state: 'damaged' }] } }), 1],
  ['verified in time', facts({ facts: { maximumAge: 31 * DAY } }), 0],
  ['verified too long ago', facts({ facts: { maximumAge: 29 * DAY } }), 1],
  ['never verified', facts({ status: { lastVerify: null }, facts: { maximumAge: 29 * DAY } }), 1],
  ['never verified, and nobody asked', facts({ status: { lastVerify: null } }), 0],
  ['stopped', facts({ status: { phase: 'stopped', stopped: fault } }), 2],
  ['left unclean', facts({ status: { phase: 'unclean' } }), 2],
  ['create did not finish', facts({ status: { phase: 'creating' } }), 2],
  ['a frozen holder', facts({ status: { phase: 'held', holder: frozen } }), 2],
  ['failed', facts({ slave: { state: 'failed', error: fault } }), 2],
  ['inconsistent', facts({ slave: { state: 'inconsistent' } }), 2],
  ['behind by a fault', facts({ slave: { state: 'behind', error: fault } }), 2],
  ['different', facts({ slave: { bytesDiffered: 5 } }), 2],
  ['damaged', facts({ inspection: { damaged: true } }), 2],
  ['in the way', facts({ inspection: { attachable: false, obstacles: [fault] } }), 2],
  ['refused to this user', facts({ slave: { state: 'failed', error: refused }, facts: { privileged: false } }), 3],
  ['refused to root', facts({ slave: { state: 'failed', error: refused } }), 2],
])('%s', (_what, situation, code) => {
  const verdict = judgeCheck(situation);
  expect(verdict.code).toBe(code);
  expect(verdict.reasons.length > 0).toBe(code !== 0);
});

test('a slave that failed says with what, and since when', () => {
  const returned = { ...fault, message: 'slave1 (/dev/sdb): the slave failed: it returned EIO. Replace it.' };
  const since = '2026-01-30T12:00:00.000Z';
  const reasonOf = (slave: object): string | undefined =>
    judgeCheck(facts({ slave: { state: 'failed', ...slave } })).reasons[0];
  expect(reasonOf({ error: returned, changedAt: since })).toBe(`slave1 failed (EIO, since ${since})`);
  expect(reasonOf({ error: refused, changedAt: null })).toBe('slave1 failed (OPEN_FAILED)');
});

test('the worst row decides, and every reason is told, on one line', () => {
  const verdict = judgeCheck(facts({ slave: { state: 'assumed', bytesDiffered: 1 }, status: { phase: 'unclean' } }));
  expect(verdict.code).toBe(2);
  expect(verdict.reasons).toHaveLength(3);
  expect(checkToText(verdict, 'mirror m')).toMatch(/^CRITICAL mirror m: [^\n]*; [^\n]*; [^\n]*$/);
});

test('a log that is damaged for good is critical; what cannot be read is unknown', () => {
  expect(checkOfError('ERR_BLOCKMIRROR_LOG_DAMAGED', '').code).toBe(2);
  expect(checkOfError('ERR_BLOCKMIRROR_OPEN_FAILED', '').code).toBe(3);
});

test('as a process: 0, 1, 2 and 3, always one line', async () => {
  const files = await createMirrorFiles(folder());
  const check = async (...more: string[]) => {
    const { exitCode, stdout } = await runCommand(['status', files.log, '--check', ...more]);
    expect(stdout.split('\n')).toHaveLength(2);
    return `${exitCode} ${stdout.split(' ')[0]}`;
  };
  expect(await check()).toBe('0 OK');
  expect(await check('--max-age', '1d')).toBe('1 WARNING');
  await breakMirror(files, new Ledger(), 10);
  expect(await check()).toBe('2 CRITICAL');
  rmSync(files.log);
  expect(await check()).toBe('3 UNKNOWN');
  const document = await runCommand(['status', files.log, '--check', '--json']);
  expect(document.exitCode).toBe(3);
  expect(document.json()).toMatchObject({ code: 3, status: null });
});

test('a mirror in use is fine, until its process is frozen', async () => {
  const { log } = await createMirrorFiles(folder());
  const writer = startChildWriter({ log, run: 1, device: 'auto' }, new Ledger());
  try {
    await writer.acknowledged(10);
    expect((await runCommand(['status', log, '--check'])).exitCode).toBe(0);
    const dry = await runCommand(['recover', log, '--dry-run']);
    expect(dry.exitCode).toBe(0);
    expect(dry.stdout).toMatch(/open, by a process that lives/);
    process.kill(writer.process, 'SIGSTOP');
    const frozenCheck = await runCommand(['status', log, '--check']);
    expect(frozenCheck.exitCode).toBe(2);
    expect(frozenCheck.stdout).toContain(`process ${writer.process}`);
    const status = await runCommand(['status', log]);
    expect(status.exitCode).toBe(3);
    expect(status.stdout).toContain(`kill -CONT ${writer.process}`);
  } finally {
    process.kill(writer.process, 'SIGCONT');
    await writer.kill();
  }
});

test('a command line that is wrong says nothing of the mirror: code 3, and one line', async () => {
  for (const wrong of [['--max-age', '30 days'], ['--no-such-option'], []]) {
    const { exitCode, stdout, stderr } = await runCommand(['status', '--check', ...wrong]);
    expect(exitCode).toBe(3);
    expect(stdout).toMatch(/^UNKNOWN [^\n]+\n$/);
    expect(stderr).toContain('ERR_BLOCKMIRROR_USAGE');
  }
});

test('a verify counts, until it is older than was asked for', async () => {
  const { log } = await createMirrorFiles(folder());
  const check = async (age: string): Promise<[number | null, string]> => {
    const { exitCode, stdout } = await runCommand(['status', log, '--check', '--max-age', age]);
    return [exitCode, stdout];
  };
  expect(await check('30d')).toEqual([1, expect.stringContaining('never verified')]);
  expect((await runCommand(['verify', log])).exitCode).toBe(0);
  expect(await check('30d')).toEqual([0, expect.stringMatching(/^OK /)]);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  expect(await check('1s')).toEqual([1, expect.stringMatching(/^WARNING .*last verified 20/)]);
});
