// The command line of `npm run bench`: words in, settings out, or a sentence that says what is wrong. Pure.
import { parseArgs } from 'node:util';

export const USAGE = `Usage: npm run bench -- [options]

Measures the mirror against the same images written without it (the raw pair) and against others, in rounds that
alternate. With no option: files in a temporary folder, the rows of docs/PERFORMANCE.md, about five minutes.

What is measured
  --quick               four rows and a crash, short rounds; a minute
  --all                 everything there is; about half an hour
  --only WORD           rows and experiments whose name is or holds WORD; may be repeated
  --list                prints their names and ends
  --device KIND         io_uring (default) or threads: what the mirror uses
  --recovery-budget N   of the mirror; default 64MiB
  --rounds N            default 5, at least 1; the report's medians are over these
  --seconds N           counted in each round and for each contestant; default 0.8
  --warm-up N           seconds before that, not counted, for all alike; default 1
  --memory-seconds N    how long the experiment \`memory\` runs; default 60

Where
  --directory DIR       files are made in a folder below DIR; default the folder for temporary files
  --size N              of the mirror; default 1GiB, on devices the largest that they allow
  --master DEVICE --slave DEVICE [--slave DEVICE ...] --log DEVICE --destroy-data
                        block devices instead of files; everything on them is lost. What is mounted or in use is refused.

Output
  --json FILE           every figure of every round
  --out DIR             result.json, report.txt and report.html, one page with charts that needs nothing else
  --from FILE           measures nothing: reports what --json or --out wrote earlier; may be repeated
  --help

Exit codes: 0 done, 1 failed, 2 an option is wrong
`;

const OPTIONS = {
  quick: { type: 'boolean' },
  all: { type: 'boolean' },
  only: { type: 'string', multiple: true },
  list: { type: 'boolean' },
  device: { type: 'string', default: 'io_uring' },
  'recovery-budget': { type: 'string', default: '64MiB' },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  'warm-up': { type: 'string' },
  'memory-seconds': { type: 'string' },
  directory: { type: 'string' },
  size: { type: 'string' },
  master: { type: 'string' },
  slave: { type: 'string', multiple: true },
  log: { type: 'string' },
  'destroy-data': { type: 'boolean' },
  json: { type: 'string' },
  out: { type: 'string' },
  from: { type: 'string', multiple: true },
  help: { type: 'boolean', short: 'h' },
};

const MiB = 1024 * 1024;
const LEAST_BUDGET = MiB;
const LEAST_SIZE = 64 * MiB;
const MOST_SLAVES = 15;

/** An option is wrong; the message is the sentence to print. */
export class UsageError extends Error {}

function numberOf(values, name, otherwise, least, whole) {
  const text = values[name];
  if (text === undefined) return otherwise;
  const value = Number(text);
  const fits = text.trim() !== '' && Number.isFinite(value) && value >= least && (!whole || Number.isInteger(value));
  if (!fits) throw new UsageError(`--${name} is '${text}'; give a ${whole ? 'whole ' : ''}number of at least ${least}`);
  return value;
}

function sizeOf(values, name, least, parseSize) {
  let size;
  try {
    size = parseSize(values[name]);
  } catch {
    throw new UsageError(`--${name} is '${values[name]}'; give bytes, or a number with a unit: 512KiB, 64MiB, 4GiB`);
  }
  if (size < least) throw new UsageError(`--${name} is '${values[name]}'; give at least ${least / MiB}MiB`);
  return size;
}

function devicesOf(values) {
  const { master, slave = [], log } = values;
  if (master === undefined && slave.length === 0 && log === undefined) {
    if (values['destroy-data']) throw new UsageError('--destroy-data needs --master, --slave and --log');
    return null;
  }
  for (const [name, given] of [
    ['master', master !== undefined],
    ['slave', slave.length > 0],
    ['log', log !== undefined],
  ]) {
    if (!given) throw new UsageError(`--${name} is missing: a benchmark on devices needs --master, --slave and --log`);
  }
  if (slave.length > MOST_SLAVES) throw new UsageError(`${slave.length} slaves are named; there can be ${MOST_SLAVES}`);
  if (values.directory !== undefined) throw new UsageError('--directory is for files; leave it out with --master');
  if (!values['destroy-data']) {
    const all = [master, ...slave, log].join(', ');
    throw new UsageError(`all data on ${all} would be lost; say --destroy-data if that is meant`);
  }
  return { master, slaves: slave, log };
}

/**
 * @param {readonly string[]} words
 * @param {{ parseSize: (text: string) => number, temporaryFolder: string }} environment
 * @throws UsageError
 */
export function parseArguments(words, { parseSize, temporaryFolder }) {
  let values;
  try {
    ({ values } = parseArgs({ args: [...words], options: OPTIONS, allowPositionals: false }));
  } catch (error) {
    throw new UsageError(error.message.split('. ')[0]);
  }
  if (values.quick && values.all) throw new UsageError('--quick and --all exclude each other');
  if (!['io_uring', 'threads'].includes(values.device)) {
    throw new UsageError(`--device is '${values.device}'; use io_uring or threads`);
  }
  const devices = devicesOf(values);
  const quick = values.quick === true;
  return {
    help: values.help === true,
    list: values.list === true,
    set: quick ? 'quick' : values.all ? 'all' : 'default',
    only: values.only ?? [],
    device: values.device,
    recoveryBudget: sizeOf(values, 'recovery-budget', LEAST_BUDGET, parseSize),
    rounds: numberOf(values, 'rounds', 5, 1, true),
    seconds: numberOf(values, 'seconds', quick ? 0.5 : 0.8, 0.1, false),
    warmUp: numberOf(values, 'warm-up', quick ? 0.5 : 1, 0, false),
    memorySeconds: numberOf(values, 'memory-seconds', 60, 1, false),
    directory: values.directory ?? temporaryFolder,
    size: values.size === undefined ? (devices ? null : 1024 * MiB) : sizeOf(values, 'size', LEAST_SIZE, parseSize),
    devices,
    json: values.json ?? null,
    out: values.out ?? null,
    from: values.from ?? [],
  };
}

/** Those of the table that a run is about. Pure. */
export function select(all, { set, only }) {
  if (only.length > 0) {
    const names = new Set(all.map(({ id }) => id));
    const fits = ({ id, title }, word) => (names.has(word) ? id === word : id.includes(word) || title.includes(word));
    return all.filter((one) => only.some((word) => fits(one, word)));
  }
  return all.filter(({ sets }) => set === 'all' || sets.includes(set));
}
