/** The golden vectors of the format (native/test/support/format_vectors.h says how a file of theirs is written). */
import { readFileSync } from 'node:fs';
import path from 'node:path';

export const vectors = path.join(__dirname, '..', 'format', 'vectors');

export function bytesOfVector(name: string): Buffer {
  const [head, ...rows] = readFileSync(path.join(vectors, `${name}.hex`), 'utf8')
    .trim()
    .split('\n');
  const bytes = Buffer.alloc(Number(head?.split(' ')[1]));
  for (const row of rows) {
    const [offset, hex] = row.split(' ') as [string, string];
    bytes.write(hex, Number.parseInt(offset, 16), 'hex');
  }
  return bytes;
}
