// A plain O_DIRECT copy of pieces from the master to its slaves, with as many under way as the engine keeps: what the rate
// of a recovery and of a resync is measured against.
import { createRequire } from 'node:module';
import { buildRawCopy } from '../build.mjs';
import { runJson } from '../child.mjs';

const { loadBinding } = createRequire(import.meta.url)('../../dist/base/load.js');
const TIMEOUT_MS = 600_000;

/** @returns {Promise<{ bytes: number, pieces: number, copySeconds: number, flushSeconds: number }>} */
export function rawCopy(pieces, images, compare = false) {
  const input = pieces.map(({ position, length }) => `${position} ${length}`).join('\n');
  const { copyLanes, copyBytes } = loadBinding().limits;
  const args = [...(compare ? ['--compare'] : []), copyLanes, copyBytes, ...images];
  return runJson({ program: buildRawCopy(), args, input }, TIMEOUT_MS);
}
