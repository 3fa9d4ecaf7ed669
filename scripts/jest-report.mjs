// Reads jest's JSON report into { passed, failed, skipped, failures, skips }. A file that could not be run at all counts
// as one failed test; jest reports it as a suite without tests.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './support.mjs';

export function readJestReport(file) {
  const counts = { passed: 0, failed: 0, skipped: 0, failures: [], skips: [] };
  if (!existsSync(file)) return { ...counts, failed: 1, failures: ['jest ended without a report'] };
  const report = JSON.parse(readFileSync(file, 'utf8'));
  for (const suite of report.testResults) {
    const name = path.relative(root, suite.name);
    for (const test of suite.assertionResults) {
      if (test.status === 'passed') counts.passed += 1;
      else if (test.status === 'failed') counts.failures.push(`${name}: ${test.fullName}`);
      else counts.skips.push(`${name}: ${test.fullName}`);
    }
    const ranOne = suite.assertionResults.some((test) => test.status === 'failed');
    if (suite.status === 'failed' && !ranOne)
      counts.failures.push(`${name}: could not be run, or failed around its tests`);
  }
  if (report.testResults.length === 0) counts.failures.push('no test file was found');
  counts.failed = counts.failures.length;
  counts.skipped = counts.skips.length;
  return counts;
}
