// `npm run fuzz:api [-- --seconds N --seed S]`: calls everything the library and the command line have, right and wrong, in
// processes of their own, as seeds say; test/fuzz says what is held against them. Ends with `N passed, N failed, 0 skipped`.
//
//   --share    a fixed piece of it, the same on a slow machine as on a fast one; npm test runs it
//   --replay   one seed again: `--replay 17` of the library, `--replay 17 --command-line`
//   --library  the file to load instead of dist/index.js
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { root } from './support.mjs';

const { runCommandLine } = createRequire(import.meta.url)(path.join(root, 'test', 'fuzz', 'command_lines.cjs'));
const usage =
  'usage: npm run fuzz:api -- [--seconds N] [--seed S] [--share] [--replay S [--command-line]] [--library FILE]';
const share = { lives: 5, commandLines: 6 };
// Of one life, whose every call has a deadline of its own.
const patienceMs = 300_000;
const lastCalls = 40;
const openFiles = '256';

function parse() {
  const options = {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    share: { type: 'boolean', default: false },
    replay: { type: 'string' },
    library: { type: 'string', default: path.join(root, 'dist', 'index.js') },
    'command-line': { type: 'boolean', default: false },
  };
  try {
    const { values } = parseArgs({ options });
    const numbers = [values.seconds, values.seed, values.replay ?? '0'];
    if (!numbers.every((text) => /^[0-9]+$/.test(text))) throw new Error('seconds and seeds are whole numbers');
    return values;
  } catch (error) {
    console.error(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

/** Runs the work in a folder that is removed after it, whatever was made in it. */
async function inFolder(work) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'blockmirror-fuzz-'));
  try {
    return await work(folder);
  } finally {
    openFolders(folder);
    rmSync(folder, { recursive: true, force: true });
  }
}

function openFolders(folder) {
  chmodSync(folder, 0o700);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) openFolders(path.join(folder, entry.name));
  }
}

/** A process of test/fuzz/api_life.cjs. Answers what was wrong, or null. */
function runLife(seed, folder) {
  const what = JSON.stringify({ library: path.resolve(values.library), seed, folder });
  const program = path.join(root, 'test', 'fuzz', 'api_life.cjs');
  const limited = ['-c', 'ulimit -c 0; ulimit -n "$0"; exec "$@"', openFiles, process.execPath, program, what];
  const child = spawn('sh', limited, { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve(null);
      const calls = readFileSync(path.join(folder, 'history'), 'utf8').trimEnd().split('\n').slice(-lastCalls);
      return resolve(
        [`ended with ${signal ?? `exit code ${code}`}`, stderr.trimEnd(), 'Its last calls:', ...calls].join('\n'),
      );
    });
  });
}

const values = parse();
const main = path.join(root, 'dist', 'cli', 'main.js');
const kinds = {
  life: { run: runLife, replay: '' },
  commandLine: { run: (seed, folder) => runCommandLine(main, seed, folder), replay: ' --command-line' },
};
const counts = { passed: 0, failed: 0 };

async function tryOne(name, seed) {
  const { run, replay } = kinds[name];
  const wrong = await inFolder((folder) => run(seed, folder));
  if (wrong === null) counts.passed += 1;
  else {
    counts.failed += 1;
    console.error(`seed ${seed}: ${wrong}\nAgain: npm run fuzz:api -- --replay ${seed}${replay}\n`);
  }
}

mkdirSync(os.tmpdir(), { recursive: true });
const seed = Number(values.seed);
if (values.replay !== undefined) {
  await tryOne(values['command-line'] ? 'commandLine' : 'life', Number(values.replay));
} else if (values.share) {
  for (let at = 0; at < share.lives; at += 1) await tryOne('life', seed + at);
  for (let at = 0; at < share.commandLines; at += 1) await tryOne('commandLine', seed + at);
} else {
  const end = Date.now() + Number(values.seconds) * 1000;
  for (let at = 0; Date.now() < end; at += 1) {
    await tryOne('life', seed + at);
    await tryOne('commandLine', seed + at);
  }
}
console.log(`${counts.passed} passed, ${counts.failed} failed, 0 skipped`);
process.exitCode = counts.failed > 0 ? 1 : 0;
