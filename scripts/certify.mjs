// `npm run certify [-- --seconds N --seed S --out DIR]`: builds the simulator twice, as the core ships and with its
// mutations, and writes the certificate. `-- --share` is a fixed piece of it, the same on a slow machine as on a fast one.
// `-- --replay CASE [--mutation NAME]` does one case again, with its history; `-- --hunt NAME` says which
// seed catches a mutation.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { buildFolder } from './cmake.mjs';
import { root, run as runOrExit } from './support.mjs';

const usage = `usage: npm run certify [-- --seconds N] [--seed S] [--out DIR] [--share] [--no-mutations]
       npm run certify -- --replay CASE [--mutation NAME]
       npm run certify -- --hunt MUTATION [--seed S]
       npm run certify -- --walk OPERATIONS [--seed S]`;

function parse() {
  const options = {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string', default: '1' },
    out: { type: 'string', default: path.join(root, 'build', 'certificate') },
    share: { type: 'boolean', default: false },
    'no-mutations': { type: 'boolean', default: false },
    replay: { type: 'string' },
    mutation: { type: 'string' },
    hunt: { type: 'string' },
    walk: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  };
  try {
    const { values } = parseArgs({ options });
    const numbers = [values.seconds, values.seed, values.walk ?? '1'];
    if (!numbers.every((text) => /^[0-9]+$/.test(text)))
      throw new Error('--seconds, --seed and --walk take whole numbers');
    return values;
  } catch (error) {
    console.error(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

function commit() {
  const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout?.trim() ?? '';
  const name = git('rev-parse', 'HEAD') || 'unknown';
  return git('status', '--porcelain', '--', 'native') === '' ? name : `${name} with changes`;
}

const values = parse();
if (values.help) {
  console.log(usage);
  process.exit(0);
}
runOrExit(process.execPath, ['scripts/cmake.mjs', 'certify']);
const program = (name) => path.join(buildFolder('certify'), name);
const run = (name, args) => process.exit(spawnSync(program(name), args, { cwd: root, stdio: 'inherit' }).status ?? 1);

if (values.replay !== undefined) {
  if (values.mutation === undefined) run('certify', ['--replay', values.replay]);
  run('certify_mutated', ['--replay', values.replay, '--mutation', values.mutation]);
}
if (values.walk !== undefined) run('certify', ['--walk', values.walk, '--seed', values.seed]);
if (values.hunt !== undefined) run('certify_mutated', ['--hunt', values.hunt, '--seed', values.seed]);
const out = path.resolve(values.out);
mkdirSync(out, { recursive: true });
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const args = [
  '--seconds',
  values.seconds,
  '--seed',
  values.seed,
  '--out',
  out,
  '--version',
  version,
  '--commit',
  commit(),
];
// The small configurations and seeds of a share: seconds, on any machine of today.
if (values.share) args.push('--small', '5', '--seeds', '300');
if (!values['no-mutations']) args.push('--mutated-program', program('certify_mutated'));
console.log(`the certificate goes to ${out}`);
run('certify', args);
