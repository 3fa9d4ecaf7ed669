/**
 * Text from outside (a disk, a path, /proc, a tool, the caller's arguments) on its way to a person: everything that a
 * terminal obeys, or that nobody sees, is shown instead, '\x1b[2J' as it is written here. Pure.
 *
 * Invariants:
 *  - No line of ours can be forged by a value that is put into it: a value never holds the end of a line, nor the
 *    backticks by which a command is told from words.
 *  - What was shown once is not changed by being shown again, so that the edges (errors, the output of the command line)
 *    can do it once more for what was forgotten.
 *  - A backslash stays one: the exact name is in the JSON, and in the commands of remedies (shell.ts).
 */

/**
 * Control characters (C0, DEL, C1), the ends of lines and paragraphs, halves of pairs, and what has no width or turns the
 * direction of writing: general category Cf and the rest of what Unicode says to leave out of sight.
 */
const UNSEEN = '\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}';
const IN_VALUES = new RegExp(`[${UNSEEN}\`]`, 'gu');
const IN_LINES = new RegExp(`[${UNSEEN}]`, 'gu');
const IN_TEXT = new RegExp(`(?!\\n)[${UNSEEN}]`, 'gu');

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const hexadecimal = code.toString(16);
  if (code < 0x100) return SHORT[character] ?? `\\x${hexadecimal.padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${hexadecimal.padStart(4, '0')}` : `\\u{${hexadecimal}}`;
}

/** A value from outside: a name, a path, a host, the words of a tool. */
export function shown(value: string): string {
  return value.replace(IN_VALUES, escaped);
}

/** A line of ours that holds values: it stays one line. */
export function shownLine(line: string): string {
  return line.replace(IN_LINES, escaped);
}

/** Several lines of ours. */
export function shownText(text: string): string {
  return text.replace(IN_TEXT, escaped);
}

/** JSON text: the same characters as escapes of JSON, so that it can be printed and still says what is true. */
export function shownJson(json: string): string {
  return json.replace(IN_TEXT, (character) =>
    [...Array(character.length).keys()]
      .map((unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
