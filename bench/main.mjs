// npm run bench: what the mirror costs while it runs and what it copies after a crash, against others measured in the
// same run. `npm run bench -- --help` says what can be asked for; docs/PERFORMANCE.md how it is measured.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { USAGE, UsageError, parseArguments, select } from './arguments.mjs';
import { CATALOG, byPlace } from './catalog.mjs';
import { notHere, titleOf } from './contestants.mjs';
import { describeMachine, isBlockDevice } from './machine.mjs';
import { Places } from './places.mjs';
import { htmlReport } from './report/html.mjs';
import { textReport } from './report/terminal.mjs';

const { parseSize } = createRequire(import.meta.url)('../dist/index.js');

const say = (text) => process.stderr.write(`${text}\n`);

async function measure(one, places, settings) {
  const { id, title } = one;
  const why = one.missing?.() ?? places.missing(one);
  if (why) return { kind: 'skipped', id, title, why };
  // A row that is about one device keeps it; the others run on the one that was asked for.
  const device = one.device === 'io_uring' ? settings.device : one.device;
  const where = one.place === 'own' ? { folder: places.folder() } : { place: await places.get(one) };
  const onRound = (round) => say(`  round ${round + 1} of ${settings.rounds}`);
  const began = performance.now();
  const result = await one.run({ ...where, settings, device, onRound });
  return { id, title, device, ...result, durationMs: Math.round(performance.now() - began) };
}

/** What fails is told in the report, and does not take the figures of the others with it. */
async function measureOrTell(one, places, settings) {
  try {
    return await measure(one, places, settings);
  } catch (error) {
    say(`  failed: ${error.message}`);
    process.exitCode = 1;
    return { kind: 'failed', id: one.id, title: one.title, why: error.message };
  }
}

async function measureAll(chosen, settings) {
  const places = new Places(settings, say);
  // What create refuses is refused before anything else is done, and ends the run.
  if (settings.devices) await places.get({ place: 'images', slaves: 1 });
  const results = [];
  for (const [index, one] of chosen.entries()) {
    say(`[${index + 1}/${chosen.length}] ${one.title}`);
    results.push(await measureOrTell(one, places, settings));
  }
  places.close();
  return results;
}

function writeReports(settings, document) {
  const json = `${JSON.stringify(document, null, 1)}\n`;
  const written = [];
  const write = (file, text) => {
    writeFileSync(file, text);
    written.push(path.resolve(file));
  };
  if (settings.json) write(settings.json, json);
  if (settings.out) {
    mkdirSync(settings.out, { recursive: true });
    write(path.join(settings.out, 'result.json'), json);
    write(path.join(settings.out, 'report.txt'), textReport(document));
    write(path.join(settings.out, 'report.html'), htmlReport(document));
  }
  for (const file of written) console.log(`Written: ${file}`);
}

function refuseFiles(devices) {
  for (const file of devices ? [devices.master, ...devices.slaves, devices.log] : []) {
    if (isBlockDevice(file)) continue;
    throw new UsageError(`${file} is no block device; for files leave out --master, --slave and --log`);
  }
}

/** What the figures depend on; paths are nobody's business. */
function toldOf({ set, only, device, recoveryBudget, rounds, seconds, warmUp, memorySeconds, size }) {
  return { set, only, device, recoveryBudget, rounds, seconds, warmUp, memorySeconds, size };
}

/** Of several runs on one machine; what they were run with is told as it was in the first. */
function reportAgain(settings) {
  const documents = settings.from.map((file) => JSON.parse(readFileSync(file, 'utf8')));
  return { ...documents[0], results: documents.flatMap(({ results }) => results) };
}

async function measureChosen(settings) {
  const chosen = byPlace(select(CATALOG, settings));
  if (chosen.length === 0) throw new UsageError(`no name holds '${settings.only.join("' or '")}'; --list shows them`);
  refuseFiles(settings.devices);
  const machine = describeMachine(settings);
  const absent = notHere(settings.devices ? 'devices' : 'files').map(({ name, why }) => ({
    title: titleOf(name),
    why,
  }));
  return { machine, settings: toldOf(settings), absent, results: await measureAll(chosen, settings) };
}

async function main() {
  const settings = parseArguments(process.argv.slice(2), { parseSize, temporaryFolder: os.tmpdir() });
  if (settings.help) return process.stdout.write(USAGE);
  if (settings.list) return CATALOG.forEach(({ id, title }) => console.log(`${id.padEnd(24)} ${title}`));
  const document = settings.from.length > 0 ? reportAgain(settings) : await measureChosen(settings);
  process.stdout.write(textReport(document));
  writeReports(settings, document);
}

try {
  await main();
} catch (error) {
  const usage = error instanceof UsageError;
  console.error(`bench: ${error.message}${usage ? '. `npm run bench -- --help` shows what there is.' : ''}`);
  process.exit(usage ? 2 : 1);
}
