// A writer that is killed with SIGKILL under load, and what its mirror would have to copy: what several experiments
// begin with.
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { runJson } from '../child.mjs';
import { CONTESTANTS, nodeScript } from '../contestants.mjs';

const { inspect } = createRequire(import.meta.url)('../../dist/index.js');

const PIECE = 1024 * 1024;
const GRACE_MS = 120_000;

/**
 * A measured load whose process dies by SIGKILL with all its lanes at work.
 * @param run as for CONTESTANTS.mirror.command
 * @returns what it measured, and what a recovery would find: { result, liveIntents, bytesCovered, extents }
 */
export async function crashUnderLoad(run) {
  const { seconds, warmUp } = run.settings;
  const command = CONTESTANTS.mirror.command({ ...run, load: { ...run.load, crash: true } });
  const result = await runJson(command, (seconds + warmUp) * 1000 + GRACE_MS, 'SIGKILL');
  return { result, ...(await whatIsLeft(run.place.log)) };
}

/** The kernel may hold the descriptors of a killed process for a moment. */
async function whatIsLeft(log) {
  for (let tries = 0; ; ++tries) {
    const found = await inspect(log);
    if (found.status.phase === 'unclean') {
      const { liveIntents, bytesCovered, extents } = found;
      return { liveIntents: liveIntents.length, bytesCovered, extents };
    }
    if (tries === 100) throw new Error(`${log} is ${found.status.phase} after the kill of its writer`);
    await sleep(50);
  }
}

/** The pieces in which recovery copies: never over a multiple of their length. Pure. */
export function piecesOf(extents) {
  const pieces = [];
  for (const { position, length } of extents) {
    const end = position + length;
    for (let at = position; at < end;) {
      const next = Math.min(end, (Math.floor(at / PIECE) + 1) * PIECE);
      pieces.push({ position: at, length: next - at });
      at = next;
    }
  }
  return pieces;
}

/** @param how recovery: as in OpenOptions; default: 'auto' */
export const opener = ({ place, settings, device }, how = {}) =>
  nodeScript('opener.mjs', {
    log: place.log,
    device,
    recoveryBudget: settings.recoveryBudget,
    recovery: 'auto',
    ...how,
  });
