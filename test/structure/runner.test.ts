// The runner of the tests counts what happened, not what it hopes for. Its scripts are ES modules, so they are asked in
// a process of their own.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { notRoot, testUnless } from '../support/skip';
import { read, root } from './support';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'blockmirror-runner-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  failures: string[];
  skips: string[];
}

function ask<T>(script: string, expression: string): T {
  const url = JSON.stringify(`file://${path.join(root, 'scripts', script)}`);
  const program = `import * as script from ${url}; console.log(JSON.stringify(${expression}))`;
  const args = ['--input-type=module', '--eval', program];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', cwd: folder })) as T;
}

describe("ctest's report", () => {
  const summary = (cases: number, failed: number): string =>
    `[doctest] test cases: ${cases} | ${cases - failed} passed | ${failed} failed | 9 skipped`;
  const testCase = (name: string, status: string, output: string): string =>
    `<testcase name="${name}" classname="x" time="0.1" status="${status}"><system-out>${output}</system-out></testcase>`;
  const readReport = (...cases: string[]): Counts => {
    const file = path.join(folder, 'report.xml');
    writeFileSync(file, `<testsuite>${cases.join('\n')}</testsuite>`);
    return ask('ctest-report.mjs', `script.readCtestReport(${JSON.stringify(file)})`);
  };

  test('a test that ran and failed nothing passed', () => {
    expect(readReport(testCase('a', 'run', summary(1, 0)))).toMatchObject({ passed: 1, failed: 0, skipped: 0 });
  });

  test('a failed test is named, its name in plain characters', () => {
    const counts = readReport(testCase('a &lt; b', 'fail', summary(1, 1)));
    expect(counts).toMatchObject({ passed: 0, failed: 1, failures: ['a < b: see above'] });
  });

  test('a crash is a failure', () => {
    expect(readReport(testCase('a', 'fail', 'Segmentation fault'))).toMatchObject({ passed: 0, failed: 1 });
  });

  test('a skipped test gives its reason', () => {
    const counts = readReport(testCase('a', 'notrun', `SKIPPED: needs root\n${summary(1, 0)}`));
    expect(counts).toMatchObject({ passed: 0, failed: 0, skipped: 1, skips: ['a: needs root'] });
  });

  test('a test that announced a skip and failed afterwards failed', () => {
    const counts = readReport(testCase('a', 'notrun', `SKIPPED: needs root\n${summary(1, 1)}`));
    expect(counts).toMatchObject({ passed: 0, failed: 1, skipped: 0 });
  });

  test('a name that selects no test, or two, is a failure', () => {
    const counts = readReport(testCase('a', 'run', summary(0, 0)), testCase('b', 'run', summary(2, 0)));
    expect(counts).toMatchObject({ passed: 0, failed: 2 });
  });

  test('no report at all is a failure', () => {
    expect(ask('ctest-report.mjs', "script.readCtestReport('nowhere.xml')")).toMatchObject({ passed: 0, failed: 1 });
  });
});

describe("jest's report", () => {
  const readReport = (testResults: object[]): Counts => {
    const file = path.join(folder, 'report.json');
    writeFileSync(file, JSON.stringify({ testResults }));
    return ask('jest-report.mjs', `script.readJestReport(${JSON.stringify(file)})`);
  };

  test('passed, failed and skipped tests are counted and named', () => {
    const assertionResults = ['passed', 'passed', 'failed', 'pending', 'todo'].map((status) => ({
      status,
      fullName: `is ${status}`,
    }));
    const counts = readReport([{ name: path.join(root, 'test/a.test.ts'), status: 'failed', assertionResults }]);
    expect(counts).toEqual({
      passed: 2,
      failed: 1,
      skipped: 2,
      failures: ['test/a.test.ts: is failed'],
      skips: ['test/a.test.ts: is pending', 'test/a.test.ts: is todo'],
    });
  });

  test('a file that cannot be run is a failure', () => {
    expect(readReport([{ name: 'a', status: 'failed', assertionResults: [] }])).toMatchObject({ failed: 1 });
  });

  test('no test file, or no report, is a failure', () => {
    expect(readReport([])).toMatchObject({ passed: 0, failed: 1 });
    expect(ask('jest-report.mjs', "script.readJestReport('nowhere.json')")).toMatchObject({ passed: 0, failed: 1 });
  });
});

describe('what tests left behind', () => {
  const leftovers = (): string[] => {
    const found = `script.findLeftovers(${JSON.stringify(folder)}).map((leftover) => leftover.what)`;
    return ask<string[]>('leftovers.mjs', found).filter((what) => !what.startsWith(`process ${process.pid} `));
  };

  test('an empty folder is clean', () => {
    expect(leftovers()).toEqual([]);
  });

  test('a file is found', () => {
    writeFileSync(path.join(folder, 'image'), '');
    expect(leftovers()).toEqual([path.join(folder, 'image')]);
  });

  test('a process is found and ended', async () => {
    const child = spawn('sleep', ['100'], { env: { ...process.env, TMPDIR: folder }, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
    const found = `script.findLeftovers(${JSON.stringify(folder)})`;
    const what = ask<string[]>(
      'leftovers.mjs',
      `((all) => (script.removeLeftovers(all), all.map((leftover) => leftover.what)))(${found})`,
    );
    expect(what).toContainEqual(expect.stringContaining(`process ${child.pid} `));
    expect(await ended).toBe('SIGKILL');
  });
});

describe('scripts/setup.mjs', () => {
  const setup = path.join(root, 'scripts', 'setup.mjs');

  test('does nothing and says nothing when everything is there, in the time of a few starts of node', () => {
    const timed = (args: string[]): { ms: number; status: number | null; output: string } => {
      const start = performance.now();
      const result = spawnSync(process.execPath, args, { encoding: 'utf8' });
      return { ms: performance.now() - start, status: result.status, output: result.stdout + result.stderr };
    };
    timed([setup, 'all']);
    const runs = [1, 2, 3].map(() => ({ nothing: timed(['--eval', '0']), all: timed([setup, 'all']) }));
    const outcomes = runs.map(({ all: { status, output } }) => ({ status, output }));
    expect(outcomes).toEqual(Array(3).fill({ status: 0, output: '' }));
    // Both on the same machine, as busy as it is: a quiet one takes 0.04 and 0.2 seconds.
    expect(Math.min(...runs.map(({ nothing, all }) => all.ms / nothing.ms))).toBeLessThan(25);
  });

  /** A PATH with all that is required but `missing`, and an apt-get that writes down what it is asked and installs it. */
  function machineWithout(missing: string, withApt: boolean): { PATH: string; asked: () => string[] } {
    const bin = path.join(folder, 'bin');
    mkdirSync(bin);
    const place = (command: string): void => {
      writeFileSync(path.join(bin, command), '#!/bin/sh\n', { mode: 0o755 });
    };
    ['g++', 'make', 'python3', 'blkid'].filter((command) => command !== missing).forEach(place);
    for (const command of ['ln', 'true']) symlinkSync(`/bin/${command}`, path.join(bin, command));
    const record = path.join(folder, 'asked');
    writeFileSync(record, '');
    if (withApt) {
      const install = `case "$*" in *install*) ln -s /bin/true ${bin}/${missing} ;; esac`;
      writeFileSync(path.join(bin, 'apt-get'), `#!/bin/sh\necho "$*" >> ${record}\n${install}\n`, { mode: 0o755 });
    }
    return { PATH: bin, asked: () => readFileSync(record, 'utf8').trim().split('\n') };
  }

  /** The scripts alone, where anybody may read them: what is tested stops before it looks further. */
  function copyOfScripts(): string {
    chmodSync(folder, 0o755);
    cpSync(path.join(root, 'scripts'), path.join(folder, 'scripts'), { recursive: true });
    return path.join(folder, 'scripts', 'setup.mjs');
  }

  testUnless(notRoot, 'as root, installs what is missing and nothing else', async () => {
    const { PATH, asked } = machineWithout('make', true);
    const result = spawnSync(process.execPath, [setup, 'build', PATH], { encoding: 'utf8', env: { PATH } });
    expect({ status: result.status, asked: asked() }).toEqual({
      status: 0,
      asked: ['update --quiet', 'install --yes --quiet --no-install-recommends make'],
    });
    expect(result.stderr).toMatch(
      /^Debian packages are missing; they are installed now, on this machine, as root:\n {2}make, for GNU make\n/,
    );
    expect(result.stderr).toContain('\n  apt-get update && apt-get install --yes --no-install-recommends make\n');
  });

  testUnless(notRoot, 'installs nothing where that is switched off, and says what to do by hand', async () => {
    const { PATH, asked } = machineWithout('make', true);
    const env = { PATH, BLOCKMIRROR_SETUP: 'off' };
    const result = spawnSync(process.execPath, [setup, 'build', PATH], { encoding: 'utf8', env });
    expect({ status: result.status, asked: asked() }).toEqual({ status: 1, asked: [''] });
    expect(result.stderr).toContain('\n  apt-get update && apt-get install --yes --no-install-recommends make\n');
  });

  testUnless(notRoot, 'as root, takes no apt-get of the PATH', async () => {
    const { PATH, asked } = machineWithout('make', true);
    const env = { PATH, BLOCKMIRROR_SETUP: 'off' };
    spawnSync(process.execPath, [setup, 'build'], { encoding: 'utf8', env });
    expect(asked()).toEqual(['']);
  });

  testUnless(notRoot, 'as anybody else, prints the line to run and stops', async () => {
    const { PATH, asked } = machineWithout('make', true);
    const args = { encoding: 'utf8', env: { PATH }, uid: 65534, gid: 65534, cwd: '/' } as const;
    const result = spawnSync(process.execPath, [copyOfScripts(), 'build', PATH], args);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('sudo apt-get update && sudo apt-get install --yes --no-install-recommends make\n');
    expect(asked()).toEqual(['']);
  });

  test('where there is no apt, names what is missing and stops', () => {
    const { PATH } = machineWithout('make', false);
    const result = spawnSync(process.execPath, [copyOfScripts(), 'build', PATH], { encoding: 'utf8', env: { PATH } });
    expect(result.status).toBe(1);
    expect(result.stderr).toBe('Missing here, and there is no apt-get to install it. Needed:\n  GNU make\n');
  });

  test('refuses a purpose it does not know', () => {
    const result = spawnSync(process.execPath, [setup, 'everything'], { encoding: 'utf8' });
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('usage: ');
  });
});

test('CI runs the commands that the README names', () => {
  for (const command of ['npm run lint', 'npm test', 'npm run test:long']) expect(read('.ci/run')).toContain(command);
});
