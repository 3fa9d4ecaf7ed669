/** /proc/swaps: devices and files in use as swap. Pure parser. */
import { unescapeOctal } from './mounts';

export interface Swap {
  path: string;
  kind: string;
}

export function parseSwaps(text: string): Swap[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s+/))
    .filter((fields) => fields.length >= 2 && fields[0] !== '')
    .map((fields) => ({ path: unescapeOctal(fields[0] ?? ''), kind: fields[1] ?? '' }));
}
