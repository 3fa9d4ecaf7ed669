// Runs tests and ends with one line, `N passed, N failed, N skipped`.
//
//   node scripts/test.mjs native | unit | long | asan | tsan | asan-share | tsan-share ...
//
// Whatever a suite reports, a crash, a test that was never run and anything left behind on the machine count as failed.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { buildFolder } from './cmake.mjs';
import { findLeftovers, removeLeftovers } from './leftovers.mjs';
import { readCtestReport } from './ctest-report.mjs';
import { readJestReport } from './jest-report.mjs';
import { root } from './support.mjs';

const results = path.join(root, 'build', 'test-results');

// wrapper: a command line put in front of the build, which runs what it has built, and of the tests.
function runCtest(flavour, environment, wrapper = []) {
  const report = path.join(results, `${flavour}.xml`);
  rmSync(report, { force: true });
  const inherit = { cwd: root, stdio: 'inherit', env: { ...process.env, ...environment } };
  const start = (command, ...args) => spawnSync(command, args, inherit);
  const build = start(...wrapper, process.execPath, path.join(root, 'scripts', 'cmake.mjs'), flavour);
  if (build.status !== 0) return { passed: 0, failed: 1, skipped: 0, failures: ['the build'], skips: [] };
  const ctest = ['ctest', '--test-dir', buildFolder(flavour), '--output-on-failure', '--no-tests=error'];
  start(...wrapper, ...ctest, '--output-junit', report);
  return readCtestReport(report);
}

function runJest(name, config, environment, filters) {
  const report = path.join(results, `${name}.json`);
  rmSync(report, { force: true });
  const jest = path.join(path.dirname(createRequire(import.meta.url).resolve('jest/package.json')), 'bin', 'jest.js');
  const args = [jest, '--config', config, '--runInBand', '--json', '--outputFile', report, ...filters];
  spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...environment } });
  return readJestReport(report);
}

// What the sanitizers are told: every finding ends the test it is found in.
const addressOptions = {
  ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
};
const threadOptions = { TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1' };
// GCC 12's ThreadSanitizer cannot place its shadow under the address randomisation of newer kernels.
const fixedAddresses = ['setarch', '--addr-no-randomize'];

const suites = {
  native: (environment) => runCtest('native', environment),
  unit: (environment, filters) => runJest('unit', 'jest.config.cjs', environment, filters),
  long: (environment, filters) => runJest('long', 'jest.long.config.cjs', environment, filters),
  asan: (environment) => runCtest('asan', { ...environment, ...addressOptions }),
  tsan: (environment) => runCtest('tsan', { ...environment, ...threadOptions }, fixedAddresses),
  'asan-share': (environment) => runCtest('asan-share', { ...environment, ...addressOptions }),
  'tsan-share': (environment) => runCtest('tsan-share', { ...environment, ...threadOptions }, fixedAddresses),
};

// The count at the end is there whatever happens.
function runOrFail(name, folder, filters) {
  try {
    return suites[name]({ TMPDIR: folder }, filters);
  } catch (error) {
    return { passed: 0, failed: 1, skipped: 0, failures: [`the runner: ${error.stack}`], skips: [] };
  }
}

// Each suite has a temporary folder of its own, which shows what it left behind.
function runSuite(name, filters) {
  const folder = mkdtempSync(path.join(os.tmpdir(), `blockmirror-${name}-`));
  chmodSync(folder, 0o755); // some tests give up root
  const counts = runOrFail(name, folder, filters);
  const leftovers = findLeftovers(folder);
  for (const leftover of leftovers) counts.failures.push(`left behind: ${leftover.what}`);
  counts.failed += leftovers.length;
  removeLeftovers(leftovers);
  rmSync(folder, { recursive: true, force: true });
  return counts;
}

const names = process.argv.slice(2).filter((argument) => argument in suites);
const filters = process.argv.slice(2).filter((argument) => !(argument in suites));
if (names.length === 0) {
  console.error(`usage: node scripts/test.mjs ${Object.keys(suites).join('|')}... [jest filters]`);
  process.exit(2);
}
mkdirSync(results, { recursive: true });

const total = { passed: 0, failed: 0, skipped: 0 };
for (const name of names) {
  const counts = runSuite(name, filters);
  console.log(`\n${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  for (const failure of counts.failures) console.log(`  failed: ${failure}`);
  for (const skip of counts.skips) console.log(`  skipped: ${skip}`);
  for (const key of Object.keys(total)) total[key] += counts[key];
}
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
