import { count, duration, facts, list, share, table, wrap } from '../../lib/cli/words';
import { shellQuote } from '../../lib/base/shell';

test('a count has its noun in the right number', () => {
  expect([count(0, 'byte'), count(1, 'byte'), count(1234567, 'byte')]).toEqual([
    '0 bytes',
    '1 byte',
    '1,234,567 bytes',
  ]);
});

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1000, '1.0 s'],
  [61_000, '1 min 1 s'],
  [3_720_000, '1 h 2 min'],
])('%d milliseconds are %s', (milliseconds, words) => {
  expect(duration(milliseconds)).toBe(words);
});

test('a share that is small but not nothing is not shown as nothing', () => {
  expect([share(0, 10), share(1, 100_000), share(1, 3), share(0, 0)]).toEqual(['0%', '<0.1%', '33%', '0%']);
});

test('a list of names reads as a sentence does', () => {
  expect([list([]), list(['a']), list(['a', 'b']), list(['a', 'b', 'c'])]).toEqual(['', 'a', 'a and b', 'a, b and c']);
});

test('a table is columns without rules or trailing blanks', () => {
  expect(
    table(
      ['NAME', 'SIZE'],
      [
        ['master', '1'],
        ['s', '1234'],
      ],
      [1],
    ),
  ).toBe(['NAME    SIZE', 'master     1', 's       1234'].join('\n'));
});

test('facts stand in one column, continuation lines too', () => {
  expect(
    facts(
      [
        ['A', '1'],
        ['Long', 'one two'],
      ],
      10,
    ),
  ).toBe('A     1\nLong  one\n      two');
});

test('wrapped lines keep the width, the indent and the paragraphs', () => {
  const text = wrap('one two three four\n\nfive', 11, '  ');
  expect(text).toBe('  one two\n  three\n  four\n\n  five');
});

test.each([
  ['/dev/sda1', '/dev/sda1'],
  ['a b', "'a b'"],
  ["it's", "'it'\\''s'"],
  ['$(rm)', "'$(rm)'"],
])('%s is pasted into a shell as %s', (path, quoted) => {
  expect(shellQuote(path)).toBe(quoted);
});
