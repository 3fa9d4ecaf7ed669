// The command line of `npm run bench`.
import path from 'node:path';
import { writeFileInFull, useTemporaryFolder } from '../support/temporary_folder';
import { ask, runBench } from './support';

interface Settings {
  set: string;
  only: string[];
  rounds: number;
  seconds: number;
  size: number | null;
  recoveryBudget: number;
  devices: unknown;
}

const modules = { words: 'arguments.mjs', lib: '../dist/index.js' };
const MIB = 1024 * 1024;

const parseAll = (lines: readonly (readonly string[])[]): (Settings | string)[] =>
  ask(
    modules,
    `given.map((line) => {
       try {
         return words.parseArguments(line, { parseSize: lib.default.parseSize, temporaryFolder: '/tmp' });
       } catch (error) {
         if (!(error instanceof words.UsageError)) throw error;
         return error.message;
       }
     })`,
    lines,
  );

test('nothing said: files, the usual rows, at least five rounds', () => {
  const [settings] = parseAll([[]]) as [Settings];
  expect(settings).toMatchObject({
    set: 'default',
    only: [],
    size: 1024 * MIB,
    recoveryBudget: 64 * MIB,
    devices: null,
  });
  expect(settings.rounds).toBeGreaterThanOrEqual(5);
});

test('quick is shorter, not with fewer rounds', () => {
  const [usual, quick] = parseAll([[], ['--quick']]) as [Settings, Settings];
  expect(quick.set).toBe('quick');
  expect(quick.rounds).toBe(usual.rounds);
  expect(quick.seconds).toBeLessThan(usual.seconds);
});

const DEVICES = ['--master=/dev/a', '--slave=/dev/b', '--slave=/dev/c', '--log=/dev/d'];

test('devices are taken with the word that says what becomes of them, at their full size', () => {
  const [settings] = parseAll([[...DEVICES, '--destroy-data']]) as [Settings];
  expect(settings.devices).toEqual({ master: '/dev/a', slaves: ['/dev/b', '/dev/c'], log: '/dev/d' });
  expect(settings.size).toBeNull();
});

test('what is wrong is said in a sentence that names it', () => {
  const wrong: [string[], RegExp][] = [
    [['--bogus'], /--bogus/],
    [['word'], /word/],
    [['--quick', '--all'], /--quick and --all/],
    [['--rounds', '0'], /--rounds is '0'/],
    [['--rounds', '2.5'], /whole number/],
    [['--seconds', 'long'], /--seconds is 'long'/],
    [['--size', '5 apples'], /--size is '5 apples'/],
    [['--size', '1MiB'], /at least 64MiB/],
    [['--recovery-budget', '4KiB'], /at least 1MiB/],
    [['--device', 'tape'], /io_uring or threads/],
    [DEVICES, /\/dev\/a, \/dev\/b, \/dev\/c, \/dev\/d would be lost; say --destroy-data/],
    [['--master=/dev/a', '--destroy-data'], /--slave is missing/],
    [['--slave=/dev/a', '--log=/dev/b', '--destroy-data'], /--master is missing/],
    [['--destroy-data'], /--destroy-data needs --master/],
    [[...DEVICES, '--destroy-data', '--directory=/tmp'], /--directory/],
  ];
  const said = parseAll(wrong.map(([words]) => words));
  wrong.forEach(([words, expected], i) =>
    expect([words.join(' '), said[i]]).toEqual([words.join(' '), expect.stringMatching(expected)]),
  );
});

test('a name that is one row chooses that row alone; another word all that hold it', () => {
  const all = [
    { id: 'hot-1', title: 'one', sets: ['default'] },
    { id: 'hot-128', title: 'many', sets: [] },
    { id: 'cold-1', title: 'not hot', sets: ['quick', 'default'] },
  ];
  const chosen = ask(
    modules,
    `[['hot-1'], ['hot-'], ['not'], ['cold-1', 'hot-128'], []].map((only) =>
       words.select(given, { set: 'quick', only }).map(({ id }) => id))`,
    all,
  );
  expect(chosen).toEqual([['hot-1'], ['hot-1', 'hot-128'], ['cold-1'], ['hot-128', 'cold-1'], ['cold-1']]);
});

test('everything is chosen by --all', () => {
  expect(
    ask(modules, `words.select(given, { set: 'all', only: [] }).length`, [{ sets: [] }, { sets: ['quick'] }]),
  ).toBe(2);
});

describe('the program', () => {
  const folder = useTemporaryFolder();

  test('a wrong option ends it with exit code 2 and one sentence', () => {
    const { exitCode, stdout, stderr } = runBench(['--rounds', 'x']);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toMatch(/^bench: --rounds is 'x'; .*--help.*\n$/);
  });

  test('a name that nothing has is said', () => {
    expect(runBench(['--only', 'nonesuch'])).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/nonesuch/) });
  });

  test('--help and --list print and measure nothing', () => {
    expect(runBench(['--help'])).toMatchObject({
      exitCode: 0,
      stderr: '',
      stdout: expect.stringMatching(/--destroy-data/),
    });
    expect(runBench(['--list'])).toMatchObject({ exitCode: 0, stderr: '', stdout: expect.stringMatching(/^hot-1 /m) });
  });

  test('a file is not taken for a device, and is left as it is', () => {
    const file = writeFileInFull(path.join(folder(), 'precious'), MIB, 'random');
    const { exitCode, stderr } = runBench([`--master=${file}`, `--slave=${file}`, `--log=${file}`, '--destroy-data']);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/precious is no block device/);
  });
});
