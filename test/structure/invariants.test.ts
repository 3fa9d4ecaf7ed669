// docs/INVARIANTS.md defines every invariant that code, tests and pages cite by number.
import { filesUnder, read } from './support';

const PAGE = 'docs/INVARIANTS.md';
const defined = new Set([...read(PAGE).matchAll(/^### (I\d+) \S/gm)].map((heading) => heading[1] as string));

/** A number alone: not a part of a longer name, nor of a macro. */
const CITED = /(?<![\w-])I\d{1,2}(?![\w-])/g;

function citations(): [string, string][] {
  const sources = ['lib', 'native', 'test', 'bench', 'scripts'].flatMap((folder) =>
    filesUnder(folder, /\.(ts|mjs|cjs|cc|h)$/),
  );
  const pages = ['README.md', 'CHANGELOG.md', ...filesUnder('docs', /\.md$/)];
  return [...sources, ...pages].flatMap((file) =>
    (read(file).match(CITED) ?? []).map((number): [string, string] => [file, number]),
  );
}

test('I1 to I15 are defined, in their order', () => {
  expect([...defined]).toEqual(Array.from({ length: 15 }, (_, index) => `I${index + 1}`));
});

test('every invariant that is cited somewhere is defined', () => {
  const cited = citations();
  expect(cited.length).toBeGreaterThan(100);
  expect(cited.filter(([, number]) => !defined.has(number)).map(([file, number]) => `${file}: ${number}`)).toEqual([]);
});
