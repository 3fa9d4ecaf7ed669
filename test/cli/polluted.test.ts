/** What another package put on Object.prototype is no option: the command line answers as if it were not there. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../support/command_line';
import { useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();
const POLLUTED = join(__dirname, '..', 'support', 'polluted.cjs');

/** Of the command line, of the calls behind it, and what other programs call the like. Not signal: Node does not start. */
const NAMES = [
  ...[
    'log',
    'master',
    'slave',
    'slaves',
    'size',
    'image',
    'images',
    'device',
    'json',
    'check',
    'maxAge',
    'keep',
    'all',
  ],
  ...['assumeIdentical', 'keepData', 'overwriteSignature', 'acceptStale', 'takeOver', 'trustFolders', 'dryRun'],
  ...['compare', 'readBack', 'ringRecords', 'recovery', 'recoveryBudget', 'polling', 'onProgress'],
  ...['force', 'overwrite', 'verify', 'yes', 'quiet', 'verbose', 'debug'],
];

function emptyFolder(name: string): string {
  const path = join(folder(), name);
  mkdirSync(path);
  return path;
}

interface Answer {
  command: string;
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

/** What differs from one mirror to the next whatever one does. */
const plain = (text: string, at: string): string =>
  text
    .replaceAll(at, 'FOLDER')
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID')
    .replace(/\d{4}-\d\d-\d\d[T ][\d:.]+Z?/g, 'DATE')
    .replace(/[\d.]+( |&nbsp;)?(ms|s|us)\b|"durationMs": \d+/g, 'DURATION')
    .replace(/"(process|processStarted|startedAt|freeBytes)": [^,\n]+/g, '"$1": …');

/** A mirror's life, with refusals in it that an option would lift. */
async function life(at: string, env: Record<string, string>): Promise<Answer[]> {
  const [log, master, slave] = ['log', 'master', 'slave'].map((name) => join(at, name)) as [string, string, string];
  const images = ['--log', log, '--master', master, '--slave', slave];
  const answers: Answer[] = [];
  const ask = async (...args: string[]): Promise<void> => {
    const { exitCode, stdout, stderr } = await runCommand(args, { env });
    const command = plain(args.join(' '), at);
    answers.push({ command, exitCode, stdout: plain(stdout, at), stderr: plain(stderr, at) });
  };
  await ask('create', '--log', log, '--master', master, '--size', '8MiB');
  await ask('create', ...images);
  await ask('create', ...images, '--size', '8MiB');
  await ask('create', ...images, '--size', '8MiB');
  await ask('status', log);
  await ask('status', log, '--check');
  await ask('status', log, '--json');
  await ask('inspect', log, master);
  await ask('log', log);
  await ask('verify', log);
  await ask('verify', log, '--json');
  await ask('recover', log, '--dry-run');
  await ask('recover', log);
  await ask('recover', log, '--json');
  appendFileSync(slave, 'grown');
  await ask('recover', log);
  await ask('status', log);
  await ask('unknown');
  return answers;
}

test('under every name of an option, it answers as if there were nothing', async () => {
  const clean = await life(emptyFolder('life'), {});
  expect(new Set(clean.map(({ exitCode }) => exitCode))).toEqual(new Set([0, 1, 2]));
  for (const [number, value] of [true, 'slave'].entries()) {
    const polluted = await life(emptyFolder(`lif${number}`), {
      NODE_OPTIONS: `--require ${JSON.stringify(POLLUTED)}`,
      BLOCKMIRROR_TEST_POLLUTION: JSON.stringify({ names: NAMES, value }),
    });
    expect(polluted).toEqual(clean);
  }
}, 120_000);
