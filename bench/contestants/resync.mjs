// A slave that goes out and comes back, in a process of its own: what it missed and what its resync copies and takes, then
// a load without and beside a resync at its automatic rate. One JSON object.
//
// Besides a load (load.mjs): log, device, recoveryBudget, besideFirst: which of the two loads comes first.
import { createRequire } from 'node:module';
import process from 'node:process';
import { loadFromArguments, fillOf, runLoad } from './load.mjs';
import { lastSlave, takeOut } from './slave_out.mjs';

const { Mirror } = createRequire(import.meta.url)('../../dist/index.js');
const load = loadFromArguments();

function laneOf(mirror, written) {
  return () => {
    const bytes = fillOf(load, Buffer.alloc(load.block));
    return {
      write: (position) => {
        written.add(position);
        return mirror.write(bytes, { position });
      },
    };
  };
}

/** Neighbours as one. Pure. */
function extentsOf(written) {
  const extents = [];
  for (const position of [...written].sort((a, b) => a - b)) {
    const last = extents.at(-1);
    if (last && last.position + last.length === position) last.length += load.block;
    else extents.push({ position, length: load.block });
  }
  return extents;
}

async function timed(work) {
  const begun = performance.now();
  const result = await work();
  return { result, seconds: (performance.now() - begun) / 1000 };
}

/** The slave misses a load, and comes back to an idle mirror. */
async function missAndReturn(mirror, slave) {
  await takeOut(mirror, slave);
  const written = new Set();
  await runLoad(load, laneOf(mirror, written));
  await mirror.datasync();
  const { result, seconds } = await timed(() => mirror.resync([slave]));
  return {
    bytesWritten: written.size * load.block,
    bytesCopied: result.bytesCopied,
    seconds,
    extents: extentsOf(written),
  };
}

/** All of the slave is copied while the load runs; what is left then, without it. */
async function beside(mirror, slave) {
  await mirror.fracture([slave]);
  const resync = timed(() => mirror.resync([slave], { full: true }));
  const result = await runLoad(load, laneOf(mirror, new Set()));
  const lasted = mirror.status().images.some(({ state }) => state === 'synchronizing');
  const { seconds } = await resync;
  return { ...result, lasted, resyncSeconds: seconds };
}

const mirror = await Mirror.open(load.log, {
  device: load.device,
  recoveryBudget: load.recoveryBudget,
  rejoin: 'manual',
});
const slave = lastSlave(mirror);
const missed = await missAndReturn(mirror, slave);
const loads = {};
for (const which of load.besideFirst ? ['beside', 'without'] : ['without', 'beside']) {
  loads[which] = which === 'beside' ? await beside(mirror, slave) : await runLoad(load, laneOf(mirror, new Set()));
}
await mirror.close();
process.stdout.write(`${JSON.stringify({ missed, ...loads })}\n`);
