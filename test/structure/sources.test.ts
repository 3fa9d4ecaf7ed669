// The tree itself: sizes, lists, no machine's paths.
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { filesUnder, read, root } from './support';

const folders = ['lib', 'native', 'test', 'bench', 'scripts', 'examples'];
const sources = folders.flatMap((folder) => filesUnder(folder, /\.(ts|mts|mjs|cjs|js|cc|h)$/));

test('native/sources.gypi lists exactly the sources that are there', () => {
  const check = path.join(root, 'scripts', 'sources.mjs');
  expect(execFileSync(process.execPath, [check], { encoding: 'utf8' })).toBe('');
});

test('no file is longer than 800 lines', () => {
  const long = sources.map((file) => `${file}: ${read(file).split('\n').length - 1}`);
  expect(long.filter((entry) => Number(entry.split(': ')[1]) > 800)).toEqual([]);
});

test('nothing is left to be done later', () => {
  const marker = new RegExp(`\\b(${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}|${['X', 'XX'].join('')})\\b`);
  expect(sources.filter((file) => marker.test(read(file)))).toEqual([]);
});

test('every module of C++ says first what it is for: in its header where it has one', () => {
  const headers = filesUnder('native', /\.h$/);
  const alone = filesUnder('native', /\.cc$/).filter((file) => !headers.includes(file.replace(/\.cc$/, '.h')));
  const modules = [...headers, ...alone.filter((file) => !file.endsWith('_test.cc'))];
  expect(modules.filter((file) => !read(file).startsWith('// '))).toEqual([]);
});

test('the lock file names no registry: npm takes the one that is configured', () => {
  expect(read('package-lock.json')).not.toContain('"resolved"');
});

test('the version is the same in package.json, its lock and the changelog', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const lock = JSON.parse(read('package-lock.json')) as {
    version: string;
    packages: Record<string, { version: string }>;
  };
  expect(lock.version).toBe(version);
  expect(lock.packages['']?.version).toBe(version);
  expect(read('CHANGELOG.md')).toContain(`## ${version}`);
});
