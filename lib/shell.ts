/** Text for a terminal and for a shell: what comes from a disk or a path may hold anything. Pure. */

// C0, DEL, C1, and the marks that turn the direction of writing.
// eslint-disable-next-line no-control-regex -- these are what it is about
const UNPRINTABLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The text with everything shown that a terminal would obey: '\x1b[2J' as it is written here. Lines and tabs stay. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const code = character.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

/** Whether it can be shown on one line as it is. */
function isPlain(text: string): boolean {
  return printable(text) === text && !/[\n\t]/.test(text);
}

/**
 * One word of a POSIX shell's command line. Where it holds what cannot be shown it is said with printf, so that the
 * command can still be read, copied and pasted.
 */
export function shellQuote(text: string): string {
  if (/^[\w@%+=:,./][\w@%+=:,./-]*$/.test(text)) return text;
  if (isPlain(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const octal = [...Buffer.from(text)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  return `"$(printf '${octal}')"`;
}

/** A path as an argument: never taken for an option. */
export function shellPath(path: string): string {
  return shellQuote(path.startsWith('-') ? `./${path}` : path);
}
