// docs/SECURITY.md, as far as the code can be asked whether it is true.
import { TOOLS, TOOL_FOLDERS, TOOL_LIMITS } from '../../lib/system/child_processes';
import { read } from './support';

const page = read('docs/SECURITY.md');

test('the page names every tool that is run, from where, and its limits', () => {
  for (const tool of TOOLS) expect(page).toMatch(new RegExp(`^\\|.*\`${tool}\``, 'm'));
  const folders = TOOL_FOLDERS.map((folder) => `\`${folder}\``);
  expect(page).toContain(`${folders.slice(0, -1).join(', ')} and ${folders.at(-1)}`);
  expect(page).toContain(
    `${TOOL_LIMITS.timeoutMs / 1000} s and ${TOOL_LIMITS.outputLimit / 1024 / 1024} MiB of output`,
  );
});

test('the page names what lib/ reads of the environment (dependencies.test.ts has the list)', () => {
  for (const name of ['NO_COLOR', 'TMPDIR', 'XDG_RUNTIME_DIR'])
    expect(page).toMatch(new RegExp(`^\\| \`${name}\``, 'm'));
});

test('every code of an error that the page names exists', () => {
  const known = read('docs/ERRORS.md');
  const named = page.match(/ERR_BLOCKMIRROR_[A-Z_]+/g) ?? [];
  expect(named).not.toHaveLength(0);
  for (const code of named) expect(known).toContain(code.replace('ERR_BLOCKMIRROR_', ''));
});

test('it is found: from the README, and in the package', () => {
  expect(read('README.md')).toContain('](docs/SECURITY.md)');
  expect((JSON.parse(read('package.json')) as { files: string[] }).files).toContain('docs');
});
