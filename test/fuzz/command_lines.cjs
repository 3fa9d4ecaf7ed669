// Random command lines, and what each must come to: an exit code of the list, no stack trace, one JSON document with --json.
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { Random } = require('./random.cjs');
const { makeOddPaths } = require('./values.cjs');

const PATIENCE_MS = 60_000;
const EXIT_CODES = [0, 1, 2, 3];
const COMMANDS = ['create', 'status', 'inspect', 'recover', 'verify', 'log', 'doctor', 'help', 'destroy', ''];
const SIZES = ['1MiB', '0', '-1', 'NaN', '1e30', '8EiB', '1.5MiB', '4GB', '', '9007199254740993', '1'];
const FLAGS = [
  ...['--json', '--dry-run', '--no-compare', '--no-read-back', '--check', '--take-over', '--keep-data'],
  ...['--assume-identical', '--overwrite-signature', '--version', '--help', '--nonsense', '--', '-', '-x'],
];

/** One command line in a folder of its own. Answers what was wrong with how it ended, or null. */
async function runCommandLine(main, seed, folder) {
  const random = new Random(seed);
  const odd = makeOddPaths(path.join(folder, 'odd'));
  const home = path.join(folder, 'home');
  fs.mkdirSync(home);
  if (random.oneIn(3)) await start([main, ...createOf(home)], { stdout: 'ignore' });
  const args = draw(random, home, odd);
  const stdout = random.weighted({ pipe: 6, closed: 1, full: 1 });
  const ended = await start([main, ...args], { stdout, openFiles: random.oneIn(6) ? random.between(40, 60) : 1024 });
  const wrong = judge(ended, args, stdout);
  const line = ['blockmirror', ...args.map((arg) => JSON.stringify(arg.slice(0, 300)))].join(' ');
  return wrong === null ? null : `${line} (stdout: ${stdout}): ${wrong}\n${ended.stderr.slice(0, 4000)}`;
}

function createOf(home) {
  const at = (name) => path.join(home, name);
  return ['create', '--log', at('log'), '--master', at('master'), '--slave', at('slave'), '--size', '1MiB'];
}

function draw(random, home, odd) {
  const somewhere = () =>
    random.pick([...odd, ...['log', 'master', 'slave', 'new'].map((name) => path.join(home, name))]);
  const named = () => `${random.pick(['slave1=', 'master=', '=', 'x=', '', '\u001b[2J='])}${somewhere()}`;
  const command = random.pick(COMMANDS);
  const args = random.oneIn(20) ? [] : [command];
  if (command === 'create') {
    // What it makes lies in its home or at odd paths, which are its own, too.
    args.push('--log', somewhere(), '--master', named(), '--slave', named());
    for (let more = random.oneIn(4) ? random.below(20) : 0; more > 0; more -= 1) args.push('--slave', somewhere());
    if (!random.oneIn(5)) args.push('--size', random.pick(SIZES));
  } else if (!random.oneIn(10)) {
    args.push(somewhere());
  }
  if (random.oneIn(4)) args.push('--image', named());
  if (random.oneIn(4)) args.push('--device', random.pick(['auto', 'io_uring', 'threads', 'tape', '']));
  if (random.oneIn(8)) args.push('--max-age', random.pick(['30d', '-1d', '1e9d', '', 'x', '99999999999999999999d']));
  for (let more = random.below(3); more > 0; more -= 1)
    args.splice(random.below(args.length + 1), 0, random.pick(FLAGS));
  // Zero bytes cannot be in an argument.
  return args.map((arg) => arg.replaceAll('\0', ''));
}

/** @param stdout 'pipe', 'ignore', 'closed' (nobody reads it), 'full' (the device is full) */
function start(args, { stdout, openFiles = 1024 }) {
  const full = stdout === 'full' ? fs.openSync('/dev/full', 'w') : null;
  const output = full ?? (stdout === 'ignore' ? 'ignore' : 'pipe');
  const limited = ['-c', 'ulimit -n "$0"; exec "$@"', String(openFiles), process.execPath, ...args];
  const child = spawn('sh', limited, { stdio: ['ignore', output, 'pipe'], env: { ...process.env, NO_COLOR: '1' } });
  if (full !== null) fs.closeSync(full);
  const ended = { code: null, signal: null, stdout: '', stderr: '', late: false };
  if (stdout === 'closed') child.stdout.destroy();
  else child.stdout?.setEncoding('utf8').on('data', (text) => (ended.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (ended.stderr += text));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      ended.late = true;
      child.kill('SIGKILL');
    }, PATIENCE_MS);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ ...ended, code, signal });
    });
  });
}

function judge(ended, args, stdout) {
  if (ended.late) return 'it does not end';
  if (ended.signal !== null) return `it was ended by ${ended.signal}`;
  if (!EXIT_CODES.includes(ended.code)) return `its exit code is ${ended.code}`;
  if (/\n {4}at .*:\d+:\d+/.test(ended.stderr)) return 'it shows a stack trace';
  if (/ERR_BLOCKMIRROR_INTERNAL/.test(ended.stdout + ended.stderr)) return 'it calls itself broken';
  if (ended.code !== 0 && ended.code !== 3 && stdout === 'pipe' && ended.stdout + ended.stderr === '')
    return 'it says nothing';
  const asked = args.includes('--json') && !args.some((arg) => ['--help', '--version', 'help', '--', ''].includes(arg));
  if (!asked || stdout !== 'pipe') return null;
  try {
    JSON.parse(ended.stdout);
    return null;
  } catch {
    return `its answer is no JSON document: ${JSON.stringify(ended.stdout.slice(0, 200))}`;
  }
}

module.exports = { runCommandLine };
