// Formatting and static checks of TypeScript, JavaScript and C++; with --fix, formats in place.
// Every check runs, so that one pass shows everything.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { filesUnder, root } from './support.mjs';
import { findCommand } from './requirements.mjs';

const fix = process.argv.includes('--fix');
const require = createRequire(import.meta.url);
const bin = (name, file) => path.join(path.dirname(require.resolve(`${name}/package.json`)), file);
const native = filesUnder('native').filter((file) => /\.(cc|h)$/.test(file));

const checks = [
  [
    'prettier',
    process.execPath,
    [bin('prettier', 'bin/prettier.cjs'), fix ? '--write' : '--check', '--log-level=warn', '.'],
  ],
  ['eslint', process.execPath, [bin('eslint', 'bin/eslint.js'), '--max-warnings=0', ...(fix ? ['--fix'] : []), '.']],
  ['types', process.execPath, [bin('typescript', 'lib/tsc.js'), '--project', 'tsconfig.json']],
  // Versions of clang-format disagree; Debian 12's is the one that counts, by its full name where others are about.
  [
    'clang-format',
    findCommand('clang-format-14') ?? 'clang-format',
    [...(fix ? ['-i'] : ['--dry-run', '--Werror']), '--style=file', ...native],
  ],
  ['sources', process.execPath, ['scripts/sources.mjs', ...(fix ? ['--fix'] : [])]],
];

const failed = [];
for (const [name, command, args] of checks) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (result.status !== 0) failed.push(name);
}
if (failed.length > 0) {
  console.error(`lint: ${failed.join(', ')} found something${fix ? '' : '; `npm run format` cures what is only form'}`);
  process.exit(1);
}
console.log(`lint: ${checks.map(([name]) => name).join(', ')}: nothing found`);
