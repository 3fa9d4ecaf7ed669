// A heading in a source is one short line, `// --- words`: a rule of dashes would be broken by the formatters.
import { filesUnder, read } from './support';

const RULE_OF_DASHES = /^\s*\/\/.*-{4,}\s*$/;

test('no heading in a source ends in a line of dashes', () => {
  const sources = ['lib', 'native', 'test', 'bench', 'scripts', 'examples'].flatMap((folder) =>
    filesUnder(folder, /\.(ts|mjs|cjs|cc|h)$/),
  );
  expect(sources.length).toBeGreaterThan(200);
  const found = sources.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, index) => (RULE_OF_DASHES.test(line) ? [`${file}:${index + 1}`] : [])),
  );
  expect(found).toEqual([]);
});
