// `npm run fuzz [-- SECONDS]`: coverage-guided fuzzing (libFuzzer) of everything that parses bytes from a disk. Ends with
// `N passed, N failed, N skipped`; skipped with the reason where clang or its runtime is missing.
//
// The corpus in native/test/fuzz/corpus is read only; what a run finds stays in build/fuzz.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { root } from './support.mjs';

const targets = ['superblock', 'label', 'ring', 'map', 'history', 'open'];
/** Of one input: MiB of the process with its sanitizer, MiB of one allocation, seconds. */
const LIMITS = ['-rss_limit_mb=512', '-malloc_limit_mb=64', '-timeout=10'];
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
// What the targets reach: bytes in, decisions out, and for `open` the whole core over disks in memory.
const sources = [...variables.core_sources, 'native/devices/simulated/sparse_disk.cc'];
const flags = [
  ...variables.compile_flags,
  '-O1',
  '-g',
  '-fsanitize=fuzzer,address,undefined',
  '-fno-sanitize-recover=all',
  // clang 14 cannot compile coroutines with it.
  '-fno-sanitize=function',
];

function compile(...args) {
  return new Promise((resolve) => {
    const compiler = spawn(clang, [...flags, ...args], { cwd: root, stdio: 'inherit' });
    compiler.once('close', (status) => resolve(status === 0));
  });
}

/** The core's objects, compiled once for all targets; undefined when one does not compile. */
async function compileCore() {
  const objects = sources.map((source) => path.join(build, `${path.basename(source, '.cc')}.o`));
  let next = 0;
  let compiled = true;
  const work = async () => {
    while (compiled && next < sources.length) {
      const i = next++;
      if (!(await compile('-c', sources[i], '-o', objects[i]))) compiled = false;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return compiled ? objects : undefined;
}

/** Whether the target found nothing. Its own words are shown only when it did find something. */
async function fuzz(target, objects, each) {
  const program = path.join(build, target);
  if (!(await compile(path.join('native', 'test', 'fuzz', `fuzz_${target}.cc`), ...objects, '-o', program)))
    return false;
  const found = path.join(build, `${target}-corpus`);
  mkdirSync(found, { recursive: true });
  const corpora = [found, path.join('native', 'test', 'fuzz', 'corpus', target)];
  const limits = [`-max_total_time=${each}`, '-print_final_stats=1', '-verbosity=0', ...LIMITS];
  limits.push(`-max_len=${target === 'open' ? 512 : 98304}`);
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

const objects = await compileCore();
const each = Math.max(1, Math.floor(Number(seconds) / targets.length));
const failed = [];
for (const target of targets) {
  if (objects === undefined || !(await fuzz(target, objects, each))) failed.push(target);
}
console.log(`${targets.length - failed.length} passed, ${failed.length} failed, 0 skipped`);
process.exitCode = failed.length > 0 ? 1 : 0;
