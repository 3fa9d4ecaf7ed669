// `npm run fuzz [-- SECONDS]`: coverage-guided fuzzing (libFuzzer) of everything that parses bytes from a disk. Ends with
// `N passed, N failed, N skipped`; skipped with the reason where clang or its runtime is missing.
//
// The corpus in native/test/fuzz/corpus is read only; what a run finds stays in build/fuzz.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { root } from './support.mjs';

const targets = ['superblock', 'label', 'ring'];
const seconds = process.argv[2] ?? '30';
if (!/^[1-9][0-9]*$/.test(seconds)) {
  console.error('usage: npm run fuzz [-- SECONDS], of all targets together');
  process.exit(2);
}
const build = path.join(root, 'build', 'fuzz');
mkdirSync(build, { recursive: true });

function findClang() {
  for (const name of ['clang++-14', 'clang++']) {
    const probe = path.join(build, 'probe');
    const args = ['-x', 'c++', '-std=c++20', '-fsanitize=fuzzer', '-o', probe, '-'];
    const input =
      '#include <cstddef>\n#include <cstdint>\nextern "C" int LLVMFuzzerTestOneInput(const uint8_t*, size_t) { return 0; }';
    if (spawnSync(name, args, { input }).status === 0) return name;
  }
  return undefined;
}

const clang = findClang();
if (clang === undefined) {
  console.log('skipped: no clang with libFuzzer here (Debian: apt-get install clang libclang-rt-14-dev)');
  console.log(`0 passed, 0 failed, ${targets.length} skipped`);
  process.exit(0);
}

const { variables } = JSON.parse(readFileSync(path.join(root, 'native', 'sources.gypi'), 'utf8'));
// What the targets reach: bytes in, decisions out.
const pure = ['block_seal', 'crc32c', 'judge_label', 'label', 'record', 'ring_scan', 'superblock'];
const flags = [
  ...variables.compile_flags,
  '-O1',
  '-g',
  '-fsanitize=fuzzer,address,undefined',
  '-fno-sanitize-recover=all',
];

function compile(...args) {
  return spawnSync(clang, [...flags, ...args], { cwd: root, stdio: 'inherit' }).status === 0;
}

/** The core's objects, compiled once for all targets; undefined when one does not compile. */
function compileCore() {
  const objects = pure.map((name) => path.join(build, `${name}.o`));
  const compiled = pure.every((name, i) => compile('-c', path.join('native', 'core', `${name}.cc`), '-o', objects[i]));
  return compiled ? objects : undefined;
}

/** Whether the target found nothing. Its own words are shown only when it did find something. */
function fuzz(target, objects, each) {
  const program = path.join(build, target);
  if (!compile(path.join('native', 'test', 'fuzz', `fuzz_${target}.cc`), ...objects, '-o', program)) return false;
  const found = path.join(build, `${target}-corpus`);
  mkdirSync(found, { recursive: true });
  const corpora = [found, path.join('native', 'test', 'fuzz', 'corpus', target)];
  const limits = [`-max_total_time=${each}`, '-max_len=65536', '-print_final_stats=1', '-verbosity=0'];
  const result = spawnSync(program, [...corpora, ...limits, `-artifact_prefix=${build}/${target}-`], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const executions = /number_of_executed_units: ([0-9]+)/.exec(result.stderr)?.[1] ?? 'an unknown number of';
  if (result.status === 0) {
    console.log(`${target}: ${executions} inputs in ${each} s, nothing found`);
    return true;
  }
  console.error(result.stdout + result.stderr);
  console.error(`failed: ${target}; the input that did it lies in build/fuzz`);
  return false;
}

const objects = compileCore();
const each = Math.max(1, Math.floor(Number(seconds) / targets.length));
const failed = targets.filter((target) => objects === undefined || !fuzz(target, objects, each));
console.log(`${targets.length - failed.length} passed, ${failed.length} failed, 0 skipped`);
process.exitCode = failed.length > 0 ? 1 : 0;
