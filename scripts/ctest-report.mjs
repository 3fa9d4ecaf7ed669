// Reads ctest's JUnit report into { passed, failed, skipped, failures, skips }.
//
// ctest alone is too trusting: a test that printed `SKIPPED: ` is skipped for it even when it failed afterwards, and a
// name that doctest's filter did not match has run nothing and passes. Hence doctest's own summary is read as well.
import { existsSync, readFileSync } from 'node:fs';

const unescape = (text) =>
  text
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&apos;/g, "'")
    .replace(/&amp;/g, '&');

function judge(status, output) {
  const summary = /\[doctest\] test cases:\s+(\d+) \|\s+(\d+) passed \|\s+(\d+) failed/.exec(output);
  if (status === 'fail') return { failure: summary ? 'see above' : 'ended before its summary: crashed or timed out' };
  if (summary === null) return { failure: 'no summary of doctest' };
  if (summary[1] !== '1')
    return { failure: `its name selects ${summary[1]} test cases; names must be unique and without semicolons` };
  if (summary[3] !== '0') return { failure: 'failed after it announced a skip' };
  if (status === 'run') return {};
  const reason = /SKIPPED: (.*)/.exec(output);
  return reason ? { skip: reason[1].trim() } : { failure: `not run (${status})` };
}

export function readCtestReport(file) {
  const counts = { passed: 0, failed: 0, skipped: 0, failures: [], skips: [] };
  const report = existsSync(file) ? readFileSync(file, 'utf8') : '';
  for (const [, attributes, body] of report.matchAll(/<testcase ([^>]*?)>(.*?)<\/testcase>/gs)) {
    const attribute = (name) => unescape(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? '');
    const { failure, skip } = judge(attribute('status'), unescape(body));
    if (failure !== undefined) counts.failures.push(`${attribute('name')}: ${failure}`);
    else if (skip !== undefined) counts.skips.push(`${attribute('name')}: ${skip}`);
    else counts.passed += 1;
  }
  if (counts.passed + counts.failures.length + counts.skips.length === 0) counts.failures.push('no native test ran');
  counts.failed = counts.failures.length;
  counts.skipped = counts.skips.length;
  return counts;
}
