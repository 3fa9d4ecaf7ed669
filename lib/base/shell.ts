/** Words for a shell, in commands that an operator reads, copies and pastes: what comes from a disk may hold anything. Pure. */
import { shown } from './shown';

/**
 * One word of a command line. Where it holds what cannot be shown it is said with $'…', which bash, zsh, ksh and busybox know
 * (and POSIX since 2024): the command stays on one line, can be read, and names exactly this file. The way of older shells,
 * "$(printf …)", would lose newlines at the end.
 */
export function shellQuote(text: string): string {
  if (/^[\w@%+:,./][\w@%+=:,./-]*$/.test(text)) return text;
  if (shown(text) === text) return `'${text.replaceAll("'", "'\\''")}'`;
  return `$'${[...text].map(inDollarQuotes).join('')}'`;
}

function inDollarQuotes(character: string): string {
  if (character === "'" || character === '\\') return `\\${character}`;
  if (shown(character) === character) return character;
  return [...Buffer.from(character)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
}

/** A path as an argument: never taken for an option. */
export function shellPath(path: string): string {
  return shellQuote(path.startsWith('-') ? `./${path}` : path);
}
