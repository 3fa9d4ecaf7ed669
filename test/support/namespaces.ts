/** Processes in namespaces of their own: what a container, another host or a hardened service is to us. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { MAIN, type CommandResult } from './command_line';
import { notRoot } from './skip';
import { shellQuote } from '../../lib/base/shell';

export const noNamespaces: string | null =
  notRoot ??
  (spawnSync('unshare', ['-mpuf', '--mount-proc', 'true']).status === 0 ? null : 'needs unshare, and to be allowed it');

const INDEX = join(__dirname, '..', '..', 'dist', 'index.js');
const HOLD = `
  const { Mirror } = require(${JSON.stringify(INDEX)});
  const options = JSON.parse(process.argv[2] ?? '{}');
  Mirror.open(process.argv[1], options).then(
    (mirror) => {
      process.stdout.write('open\\n');
      setInterval(() => mirror.status(), 1000);
    },
    (error) => {
      process.stdout.write(error.message + '\\n');
      process.exitCode = 1;
    },
  );
`;

export interface Holder {
  child: ChildProcess;
  /** What it said first: 'open', or the message of its error. */
  said: string;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

/** Flags of unshare(1), and what is done in the namespaces first, in the language of sh. */
export interface Surrounding {
  flags: string;
  first?: string;
}

/** Runs the words in these namespaces; the process is that of the last of them. */
function startIn({ flags, first = ':' }: Surrounding, words: readonly string[]): ChildProcess {
  const script = `${first} && exec ${words.map(shellQuote).join(' ')}`;
  const more = flags.includes('p') ? ['--kill-child', '--mount-proc'] : [];
  // bash: the words are quoted as an operator's shell reads them ($'…'), which dash does not.
  return spawn('unshare', [flags, ...more, 'bash', '-ec', script], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Opens a mirror in these namespaces, and keeps it open until it is killed. */
export function holdIn(surrounding: Surrounding, log: string, options: object = {}): Promise<Holder> {
  return holderOf(startIn(surrounding, [process.execPath, '-e', HOLD, log, JSON.stringify(options)]));
}

/** Something else that says a line when it is ready, and stays. */
export function runIn(surrounding: Surrounding, script: string): Promise<Holder> {
  return holderOf(startIn(surrounding, ['sh', '-ec', script]));
}

async function holderOf(child: ChildProcess): Promise<Holder> {
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let text = '';
  const said = await new Promise<string>((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      if (text.includes('\n')) resolve(text.trim());
    });
    child.once('close', () => reject(new Error(`it ended, having said: ${text}`)));
  });
  const kill = (): Promise<void> => {
    child.kill('SIGKILL');
    return closed;
  };
  return { child, said, kill };
}

/** The command line, in these namespaces. */
export function commandIn(surrounding: Surrounding, args: readonly string[]): Promise<CommandResult> {
  const script = `${surrounding.first ?? ':'} && exec ${[process.execPath, MAIN, ...args].map(shellQuote).join(' ')}`;
  const more = surrounding.flags.includes('p') ? ['--mount-proc'] : [];
  const { status, stdout, stderr } = spawnSync('unshare', [surrounding.flags, ...more, 'sh', '-ec', script], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
  return Promise.resolve({ exitCode: status, stdout, stderr, json: <T>() => JSON.parse(stdout) as T });
}
