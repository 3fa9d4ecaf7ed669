// The faults of `npm run mutate` are edits of lines that others change: one that no longer finds its line proves nothing.
import { execFileSync, spawnSync } from 'node:child_process';
import path from 'node:path';
import { filesUnder, read, root } from './support';

const mutate = path.join(root, 'scripts', 'mutate.mjs');

test('each fault finds its line, once, and names a test', () => {
  const { stdout, status } = spawnSync(process.execPath, [mutate, '--check'], { encoding: 'utf8' });
  expect(stdout).toBe('');
  expect(status).toBe(0);
});

test('the tests that are to notice the faults are there', async () => {
  const program = `
    import { faults } from ${JSON.stringify(mutate)};
    console.log(JSON.stringify(faults.map(({ name, cases, test }) => ({ name, cases, test }))));`;
  const listed = execFileSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' });
  const faults = JSON.parse(listed) as { name: string; cases?: string; test?: string }[];
  const cases = filesUnder('native/test', /_test\.cc$/).flatMap((file) =>
    [...read(file).matchAll(/TEST_CASE(?:_TEMPLATE)?\(\s*"([^"]*)"/g)].map((match) => match[1] as string),
  );
  const files = filesUnder('test', /\.test\.ts$/);
  const matches = (filter: string): boolean => {
    const pattern = new RegExp(`^${filter.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}`);
    return cases.some((name) => pattern.test(name));
  };
  const missing = faults.filter(
    ({ cases: filter, test }) =>
      (filter !== undefined && !matches(filter)) || (test !== undefined && !files.includes(test)),
  );
  expect(missing).toEqual([]);
  expect(new Set(faults.map(({ name }) => name)).size).toBe(faults.length);
});
