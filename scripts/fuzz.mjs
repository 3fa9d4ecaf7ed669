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
const sources = pure.map((name) => `native/core/${name}.cc`);
const flags = [
  ...variables.compile_flags,
  '-O1',
  '-g',
  '-fsanitize=fuzzer,address,undefined',
  '-fno-sanitize-recover=all',
];

function fuzz(target) {
  const program = path.join(build, target);
  const compile = [...flags, ...sources, `native/test/fuzz/fuzz_${target}.cc`, '-o', program];
  if (spawnSync(clang, compile, { cwd: root, stdio: 'inherit' }).status !== 0) return false;
  const found = path.join(build, `${target}-corpus`);
  mkdirSync(found, { recursive: true });
  const each = Math.max(1, Math.floor(Number(seconds) / targets.length));
  const args = [found, path.join('native', 'test', 'fuzz', 'corpus', target), `-max_total_time=${each}`];
  const limits = ['-max_len=65536', '-print_final_stats=1', '-verbosity=0', `-artifact_prefix=${build}/${target}-`];
  return spawnSync(program, [...args, ...limits], { cwd: root, stdio: 'inherit' }).status === 0;
}

const failed = targets.filter((target) => !fuzz(target));
for (const target of failed) console.error(`failed: ${target}; the input that did it lies in build/fuzz`);
console.log(`${targets.length - failed.length} passed, ${failed.length} failed, 0 skipped`);
process.exitCode = failed.length > 0 ? 1 : 0;
