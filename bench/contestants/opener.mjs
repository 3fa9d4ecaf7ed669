// Opens a mirror as an application would and says how long everything took: until copying began, each step of the
// recovery, the first byte served, the first write acknowledged; and what it cost in memory. One JSON object.
//
// Told: log, device, recoveryBudget, recovery: as in OpenOptions; with 'manual', recover: the options of mirror.recover.
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { loadFromArguments } from './load.mjs';

const { Mirror } = createRequire(import.meta.url)('../../dist/index.js');
const { log, device, recoveryBudget, recovery, recover } = loadFromArguments();

const steps = [];
const block = Mirror.alignedBuffer(4096);
const residentBefore = process.memoryUsage.rss();
const begun = performance.now();
const sinceBegin = () => performance.now() - begun;
let residentAtCopy = null;

function onProgress({ step, bytesDone, bytesTotal }) {
  const last = steps.at(-1);
  if (last?.step === step) {
    last.bytes = Math.max(last.bytes, bytesDone);
    return;
  }
  const now = sinceBegin();
  if (last) last.endMs = now;
  if (step === 'copy') residentAtCopy = process.memoryUsage.rss();
  steps.push({ step, beginMs: now, endMs: null, bytes: bytesDone, bytesTotal });
}

const mirror = await Mirror.open(log, { device, recoveryBudget, recovery, onProgress });
if (recovery === 'manual') await mirror.recover({ ...recover, onProgress });
const openMs = sinceBegin();
const residentOpen = process.memoryUsage.rss();
if (steps.length > 0) steps.at(-1).endMs = openMs;
await mirror.read(block, { position: 0 });
const firstByteMs = sinceBegin();
await mirror.write(block, { position: 0 });
const firstWriteMs = sinceBegin();
const { lastRecovery, size } = mirror.status();
await mirror.close();
process.stdout.write(
  `${JSON.stringify({
    size,
    openMs,
    firstByteMs,
    firstWriteMs,
    copyBeginsMs: steps.find(({ step }) => step === 'copy')?.beginMs ?? null,
    steps,
    recovery: steps.length > 0 ? lastRecovery : null,
    residentBefore,
    residentGrowth: (residentAtCopy ?? residentOpen) - residentBefore,
    residentPeak: process.resourceUsage().maxRSS * 1024,
  })}\n`,
);
