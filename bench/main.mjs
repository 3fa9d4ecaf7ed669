// npm run bench: what the mirror costs while it runs and what it copies after a crash, against others measured in the
// same run. `npm run bench -- --help` says what can be asked for; docs/PERFORMANCE.md how it is measured.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import process from 'node:process';
import { USAGE, UsageError, parseArguments, select } from './arguments.mjs';
import { describeMachine, machineInWords } from './machine.mjs';
import { measureRow } from './measure.mjs';
import { Places } from './places.mjs';
import { contestantsTable, figuresTable } from './report/terminal.mjs';
import { WORKLOADS } from './workloads.mjs';

const { parseSize } = createRequire(import.meta.url)('../dist/index.js');

function settingsOrExit() {
  try {
    return parseArguments(process.argv.slice(2), { parseSize, temporaryFolder: os.tmpdir() });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`bench: ${error.message}. \`npm run bench -- --help\` shows what there is.`);
    process.exit(2);
  }
}

const say = (text) => process.stderr.write(`${text}\n`);

async function run(row, places, settings) {
  const refused = places.missing(row);
  if (refused) return { kind: 'skipped', id: row.id, title: row.title, why: refused };
  const place = await places.get(row);
  const device = row.device === 'io_uring' ? settings.device : row.device;
  return measureRow({ ...row, device }, place, settings, (round) => say(`  round ${round + 1} of ${settings.rounds}`));
}

async function main(settings) {
  const everything = WORKLOADS;
  if (settings.help) return console.log(USAGE);
  if (settings.list) return everything.forEach(({ id, title }) => console.log(`${id.padEnd(24)} ${title}`));
  const chosen = select(everything, settings);
  if (chosen.length === 0) throw new UsageError(`no name holds '${settings.only.join("' or '")}'; see --list`);
  const machine = describeMachine(settings);
  say(machineInWords(machine).join('\n'));
  const places = new Places(settings, say);
  const results = [];
  for (const [index, row] of chosen.entries()) {
    say(`[${index + 1}/${chosen.length}] ${row.title}`);
    results.push(await run(row, places, settings));
  }
  places.close();
  console.log(contestantsTable(results));
  console.log(figuresTable(results));
  for (const { title, why } of results.filter(({ kind }) => kind === 'skipped'))
    console.log(`Left out: ${title}: ${why}`);
  console.log(`Medians of ${settings.rounds} rounds (and their range). covered: writes that needed no log write.`);
  if (settings.json) writeFileSync(settings.json, `${JSON.stringify({ machine, settings, results }, null, 1)}\n`);
}

const settings = settingsOrExit();
try {
  await main(settings);
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`bench: ${error.message}.`);
    process.exit(2);
  }
  console.error(`bench: ${error.message}`);
  process.exit(1);
}
