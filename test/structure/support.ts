// What the structure tests share: the tree as text.
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

export const root = path.join(__dirname, '..', '..');

/** Files under a folder whose name ends as given, as paths from the top; a folder that does not exist has none. */
export function filesUnder(folder: string, ending: RegExp): string[] {
  let names: string[];
  try {
    names = readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' });
  } catch {
    return [];
  }
  return names
    .filter((name) => ending.test(name) && !name.split(path.sep).includes('node_modules'))
    .map((name) => path.join(folder, name))
    .sort();
}

export function read(file: string): string {
  return readFileSync(path.join(root, file), 'utf8');
}

/** C++ and TypeScript without comments, so that prose may name what code may not. Lines are kept. */
export function withoutComments(source: string): string {
  return source
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|[^:])\/\/.*$/gm, '$1');
}
