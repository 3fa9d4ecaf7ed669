// Faults put into lib/ and native/ one at a time: does a test notice? `npm run mutate`.
//
//   node scripts/mutate.mjs [WORD...]   those whose name or file holds one of the words; all without
//   node scripts/mutate.mjs --check     whether each still finds its place; builds and runs nothing
//   node scripts/mutate.mjs --list      names alone
//
// The lists are in scripts/mutations/. All is done in a copy of the tree, so that nothing broken is ever left in it: an
// edit, a build, the tests that the fault names, the edit taken back. What fails without the fault proves nothing, so each
// test is run once before. The core has mutations of its own, which the simulator hunts (native/core/base/mutation.h).
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { findLeftovers, removeLeftovers } from './leftovers.mjs';
import { cli } from './mutations/cli.mjs';
import { lib } from './mutations/lib.mjs';
import { native } from './mutations/native.mjs';
import { root } from './support.mjs';

/**
 * @typedef {object} Fault
 * @property {string} name what is broken, in a few words
 * @property {string} file
 * @property {string} find stands there once
 * @property {string} put stands there instead
 * @property {string} [cases] native tests that should notice: a filter of doctest
 * @property {string} [test] a file of jest that should
 * @property {string} [named] of that file, the tests whose name matches
 */

/** @type {readonly Fault[]} */
export const faults = [...native, ...lib, ...cli];

const TEST_LIMIT_MS = 15 * 60 * 1000;

/** What is wrong with the list itself. */
function staleness({ name, file, find, put, cases, test }) {
  const parts = readFileSync(path.join(root, file), 'utf8').split(find).length - 1;
  if (parts !== 1) return `${name}: its text is ${parts} times in ${file}, and has to be there once`;
  if (find === put) return `${name}: it changes nothing`;
  if (cases === undefined && test === undefined) return `${name}: no test is to notice it`;
  return null;
}

// --- the copy

function makeCopy() {
  const copy = mkdtempSync(path.join(os.tmpdir(), 'blockmirror-mutate-'));
  const list = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root });
  const files = list.stdout
    .toString()
    .split('\0')
    .filter((file) => file !== '' && existsSync(path.join(root, file)));
  for (const file of files) {
    cpSync(path.join(root, file), path.join(copy, file), { recursive: true });
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'));
  return copy;
}

/** The command under way: it leads a group of its own, so that what it started ends with it. */
let running = null;

function endRunning() {
  if (running !== null) process.kill(-running, 'SIGKILL');
}

/** Runs a command of the copy to its end; a limit that is passed ends it, with all its children. */
function run(copy, args, environment = {}) {
  return new Promise((resolve) => {
    const options = { cwd: copy, detached: true, stdio: ['ignore', 'pipe', 'pipe'] };
    const child = spawn(args[0], args.slice(1), { ...options, env: { ...process.env, ...environment } });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
    running = child.pid ?? null;
    const timer = setTimeout(endRunning, TEST_LIMIT_MS);
    child.once('close', (status) => {
      clearTimeout(timer);
      running = null;
      resolve({ status, output });
    });
  });
}

/** @returns null, or why it could not be built */
async function build(copy, what) {
  const scripts = {
    tests: ['cmake.mjs', 'native'],
    addon: ['build-native.mjs'],
    package: ['build-ts.mjs'],
  };
  const { status, output } = await run(copy, [
    process.execPath,
    path.join('scripts', scripts[what][0]),
    ...scripts[what].slice(1),
  ]);
  return status === 0 ? null : output.slice(-2000);
}

/** Tests that start the built package, by what they import; the others read lib/ as it stands. */
function usesPackage(test) {
  const source = readFileSync(path.join(root, test), 'utf8');
  return /dist|support\/(command_line|mirror_files|create_|child_|namespaces|pasted_command|kill_)/.test(source);
}

/** What has to be built anew before its tests see it. */
function buildsOf({ file, cases, test }) {
  if (!file.startsWith('native/')) return usesPackage(test) ? ['package'] : [];
  return [...(cases === undefined ? [] : ['tests']), ...(test === undefined ? [] : ['addon'])];
}

// --- the tests

/** Commands, and what their output must hold when they ran something. */
function testsOf({ cases, test, named }) {
  const commands = [];
  if (cases !== undefined) {
    commands.push({
      args: [path.join('build', 'native', 'blockmirror_tests'), `--test-case=${cases}`],
      ran: /test cases:\s+[1-9]/,
    });
  }
  if (test !== undefined) {
    const jest = [process.execPath, path.join('node_modules', 'jest', 'bin', 'jest.js'), '--config', 'jest.config.cjs'];
    const filter = named === undefined ? [] : ['--testNamePattern', named];
    commands.push({
      args: [...jest, '--runInBand', '--runTestsByPath', test, ...filter],
      ran: /Tests: .*[1-9]\d* (passed|failed)/,
    });
  }
  return commands;
}

/** 'passed', 'failed' or 'did not run', and what it said. */
async function runTest(copy, { args, ran }) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'blockmirror-mutant-'));
  chmodSync(folder, 0o755); // some tests give up root
  const { status, output } = await run(copy, args, { TMPDIR: folder });
  removeLeftovers(findLeftovers(folder));
  rmSync(folder, { recursive: true, force: true });
  if (status !== 0) return { outcome: 'failed', output };
  return { outcome: ran.test(output) ? 'passed' : 'did not run', output };
}

const sound = new Map();
/** Without the fault it passes. */
async function isSound(copy, command) {
  const key = command.args.join('\0');
  if (!sound.has(key)) sound.set(key, await runTest(copy, command));
  return sound.get(key);
}

/** 'caught', 'survived', or why nothing can be said. */
async function judge(copy, fault) {
  const commands = testsOf(fault);
  for (const command of commands) {
    const { outcome, output } = await isSound(copy, command);
    if (outcome !== 'passed') return `its test ${outcome} without it:\n${output.slice(-2000)}`;
  }
  const file = path.join(copy, fault.file);
  const source = readFileSync(file, 'utf8');
  try {
    writeFileSync(
      file,
      source.replace(fault.find, () => fault.put),
    );
    for (const what of buildsOf(fault)) {
      const problem = await build(copy, what);
      if (problem !== null) return `it does not build:\n${problem}`;
    }
    for (const command of commands) {
      if ((await runTest(copy, command)).outcome === 'failed') return 'caught';
    }
    return 'survived';
  } finally {
    writeFileSync(file, source);
  }
}

/** What has to be whole before the fault is put in: all its tests use, but what is built with the fault anyway. */
function neededBefore(fault) {
  const used = [
    ...(fault.test === undefined ? [] : ['package', 'addon']),
    ...(fault.cases === undefined ? [] : ['tests']),
  ];
  const allSound = testsOf(fault).every(({ args }) => sound.has(args.join('\0')));
  return allSound ? used.filter((what) => !buildsOf(fault).includes(what)) : used;
}

// --- the program

async function hunt(chosen) {
  const copy = makeCopy();
  const totals = { caught: 0, survived: 0, unknown: 0 };
  const built = new Set();
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ]) {
    process.once(signal, () => {
      endRunning();
      rmSync(copy, { recursive: true, force: true });
      process.exit(code);
    });
  }
  try {
    mkdirSync(path.join(copy, 'build'), { recursive: true });
    for (const fault of chosen) {
      for (const what of neededBefore(fault)) {
        if (built.has(what)) continue;
        const problem = await build(copy, what);
        if (problem !== null) throw new Error(`the tree does not build:\n${problem}`);
        built.add(what);
      }
      const begun = performance.now();
      const verdict = await judge(copy, fault);
      for (const what of buildsOf(fault)) built.delete(what);
      const known = verdict === 'caught' || verdict === 'survived';
      totals[known ? verdict : 'unknown'] += 1;
      const seconds = Math.round((performance.now() - begun) / 1000);
      console.log(
        `${known ? verdict : 'unknown'}: ${fault.file}: ${fault.name} (${seconds} s)${known ? '' : `\n  ${verdict}`}`,
      );
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  const { caught, survived, unknown } = totals;
  console.log(`${caught} of ${chosen.length} faults caught, ${survived} survived, ${unknown} unknown`);
  process.exitCode = caught === chosen.length && caught > 0 ? 0 : 1;
}

async function main(words) {
  const stale = faults.map(staleness).filter((problem) => problem !== null);
  for (const problem of stale) console.log(problem);
  if (stale.length > 0) {
    process.exitCode = 1;
  } else if (words[0] === '--list') {
    for (const { file, name } of faults) console.log(`${file}: ${name}`);
  } else if (words[0] !== '--check') {
    const asked = ({ name, file }) => words.length === 0 || words.some((word) => `${file}: ${name}`.includes(word));
    await hunt(faults.filter(asked));
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv.slice(2));
