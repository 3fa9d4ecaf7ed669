/**
 * The command line: which commands and options there are, and what their help says. It parses and hands over; what a
 * command does is in commands/.
 *
 * Invariants:
 *  - stdout carries the answer alone: with --json one document, whether the command ended well or not.
 *  - An action returns an Outcome or throws; only run() turns either into output and an exit code.
 */
import { Command, CommanderError, Option } from 'commander';
import { formatSize } from '../index';
import { POLICY_KEYS, SETTINGS } from '../base/policies';
import { shownLine } from '../base/shown';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from './exit_codes';
import { exitCodeOf, failureOf, failureToText, stackOf } from './failure';
import {
  collectImage,
  collectSlave,
  parseAge,
  parseCount,
  parseExtent,
  parsePosition,
  parsePositiveSize,
  parseRateOrAuto,
  parseWait,
} from './options';
import { Output, type Outcome } from './output';
import { createCommand } from './commands/create';
import { demoCommand, DEMO_DEFAULT_SIZE } from './commands/demo';
import { doctorCommand } from './commands/doctor';
import { explainCommand } from './commands/explain';
import { fractureCommand } from './commands/fracture';
import { historyCommand } from './commands/history';
import { inspectCommand } from './commands/inspect';
import { logCommand } from './commands/log';
import { recoverCommand } from './commands/recover';
import { resyncCommand } from './commands/resync';
import { setCommand } from './commands/set';
import { statusCommand } from './commands/status';
import { verifyCommand } from './commands/verify';
import { watchCommand } from './commands/watch';
import { packageVersion } from './version';

type Action<A extends unknown[]> = (output: Output, ...args: A) => Promise<Outcome>;

/** Runs one command line and says how it ended; never rejects, never calls process.exit. */
export async function run(argv: readonly string[]): Promise<ExitCode> {
  const output = new Output(argv.includes('--json'));
  let exitCode: ExitCode = EXIT.done;
  const perform =
    <A extends unknown[]>(action: Action<A>) =>
    async (...args: A): Promise<void> => {
      const outcome = await action(output, ...args);
      output.answer(outcome);
      exitCode = outcome.exitCode;
    };
  try {
    await buildProgram(perform).parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done;
    const failure = failureOf(error);
    output.note(failureToText(failure, output.noteWidth, output.noteLineWidth));
    const stack = stackOf(error, failure);
    if (stack !== null) output.note(stack);
    if (output.json) output.answer({ exitCode: EXIT.failed, document: { error: failure }, text: '' });
    if (!isCheck(argv)) return exitCodeOf(error);
    // A monitoring system would take the usual code of a wrong command line, 2, for a mirror that is broken.
    if (!output.json)
      output.answer({ exitCode: EXIT.attention, document: null, text: shownLine(`UNKNOWN ${failure.message}`) });
    return EXIT.attention;
  }
}

function isCheck(argv: readonly string[]): boolean {
  return argv.includes('status') && argv.includes('--check');
}

type Perform = <A extends unknown[]>(action: Action<A>) => (...args: A) => Promise<void>;

function buildProgram(perform: Perform): Command {
  const program = new Command('blockmirror')
    .description(
      'A block mirror with a write-intent log: a master and its slaves are written in parallel,\n' +
        'and after a crash only what was being written is copied again.',
    )
    .version(packageVersion(), '-V, --version')
    .exitOverride()
    // Errors are printed once, by run().
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError()
    // Taken here too, so that an error before any command is told the same way.
    .addOption(jsonOption().hideHelp())
    .addHelpText('after', PROGRAM_HELP);
  addCreate(program, perform);
  addStatus(program, perform);
  addWatch(program, perform);
  addInspect(program, perform);
  addRecover(program, perform);
  addVerify(program, perform);
  addFracture(program, perform);
  addResync(program, perform);
  addSet(program, perform);
  addLog(program, perform);
  addHistory(program, perform);
  addExplain(program, perform);
  addDoctor(program, perform);
  addDemo(program, perform);
  for (const command of [program, ...program.commands]) forgetPrototype(command);
  return program;
}

/** What some package put on Object.prototype is no option: commander reads the values of options by plain access. */
function forgetPrototype(command: Command): void {
  Object.setPrototypeOf(command.opts(), null);
}

function addCreate(program: Command, perform: Perform): void {
  program
    .command('create')
    .description('Make a mirror: format the log and the images, then copy the master to its slaves')
    .requiredOption('--log <path>', 'device or file of the log; its path is the name of the mirror')
    .requiredOption('--master <[name=]path>', 'device or file of the master image')
    .requiredOption('--slave <[name=]path>', 'device or file of a slave image; repeat it for more', collectSlave)
    .option(
      '--size <size>',
      'size of the mirror, such as 4GiB; default: the largest that all images allow',
      parsePositiveSize,
    )
    .option('--max-images <count>', 'images that the log has room for, the master counted; default: 4', parseCount)
    .option('--min-in-sync <count>', `${SETTINGS.minInSync.meaning}; default: 1`, parseCount)
    .addOption(new Option('--rejoin <how>', `${SETTINGS.rejoin.meaning}; default: auto`).choices(['auto', 'manual']))
    .option(
      '--device-timeout <duration>',
      `${SETTINGS.deviceTimeout.meaning}, such as 30s, or 'none'; default: 30s`,
      parseWait,
    )
    .option(
      '--wait-for-images <duration>',
      `${SETTINGS.waitForImages.meaning}, such as 60s, or 'none'; default: 10s`,
      parseWait,
    )
    .option('--resync-rate <size>', `${SETTINGS.resyncRate.meaning} (default)`, parseRateOrAuto)
    .option('--assume-identical', 'all images hold the same bytes already: copy nothing')
    .option('--keep-data', "the master's content is the truth and stays")
    .option('--overwrite-signature', 'what the slaves and the log hold now may go')
    .option('--accept-stale <name>', 'the master is not the newest image of its mirror, and shall win nevertheless')
    .option('--no-read-back', 'do not read the copy back')
    .addOption(takeOverOption())
    .addOption(trustFoldersOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .addHelpText('after', CREATE_HELP + EXIT_CODES_HELP)
    .action(perform(createCommand));
}

function addStatus(program: Command, perform: Perform): void {
  program
    .command('status <log>')
    .description('Say what state a mirror is in and what to do next; writes nothing, also while it is in use')
    .option('--check', 'one line, and exit codes for monitoring (below)')
    .option('--max-age <age>', 'with --check: how old the last verify may be, such as 30d, 12h or 90m', parseAge)
    .addOption(
      new Option('--follow', 'go on: a line for each change, with --json as a document a line').conflicts([
        'check',
        'metrics',
        'metricsFile',
      ]),
    )
    .addOption(new Option('--metrics', 'print metrics, as Prometheus and node_exporter read them').conflicts('check'))
    .addOption(
      new Option('--metrics-file <file>', 'the same, in a file that is replaced as a whole').conflicts([
        'check',
        'metrics',
      ]),
    )
    .addOption(imageOption())
    .addOption(trustFoldersOption())
    .addOption(jsonOption())
    .addHelpText('after', STATUS_HELP + EXIT_CODES_HELP)
    .action(perform(statusCommand));
}

function addWatch(program: Command, perform: Perform): void {
  program
    .command('watch <log>')
    .description('Show what a mirror does, as it happens, until Ctrl-C; writes nothing, also while it is in use')
    .addOption(imageOption())
    .addOption(trustFoldersOption())
    .addOption(jsonOption().hideHelp())
    .addHelpText('after', WATCH_HELP + EXIT_CODES_HELP)
    .action(perform(watchCommand));
}

function addInspect(program: Command, perform: Perform): void {
  program
    .command('inspect <paths...>')
    .description('Say what devices or files are: of which mirror, which log or image, and where the rest of it is')
    .addOption(jsonOption())
    .addHelpText('after', INSPECT_HELP + EXIT_CODES_HELP)
    .action(perform(inspectCommand));
}

function addRecover(program: Command, perform: Perform): void {
  withPresence(
    program
      .command('recover <log>')
      .description('Make the images equal after a crash: copy what the log names from the master to the slaves')
      .option('--dry-run', 'write nothing, only say what would be copied')
      .option('--no-compare', 'do not count what differs before it is overwritten: faster')
      .option('--no-read-back', 'do not read the copy back'),
  )
    .addOption(deviceOption())
    .addOption(imageOption())
    .addOption(takeOverOption())
    .addOption(trustFoldersOption())
    .addOption(jsonOption())
    .addHelpText('after', RECOVER_HELP + EXIT_CODES_HELP)
    .action(perform(recoverCommand));
}

function addVerify(program: Command, perform: Perform): void {
  withPresence(
    program
      .command('verify <log>')
      .description('Compare every byte of the slaves with the master; changes no data without --repair')
      .option('--all', 'read slaves that are out as well, where their devices can be opened')
      .option('--repair', 'copy what differs from the master')
      .option(
        '--rate <size>',
        'most bytes a second to compare, such as 100MiB; default: as fast as it goes',
        parsePositiveSize,
      )
      .option(
        '--position <size>',
        'begin at this byte of the mirror, where an earlier verify was stopped',
        parsePosition,
      )
      .option('--from <slave>', 'the content of --extent as this slave holds it replaces that of all images')
      .option('--extent <position+length>', 'with --from: which bytes, such as 1MiB+4096', parseExtent)
      .option('--overwrite-master', 'with --from: what the master and the other images hold there may go'),
  )
    .addOption(deviceOption())
    .addOption(imageOption())
    .addOption(takeOverOption())
    .addOption(trustFoldersOption())
    .addOption(jsonOption())
    .addHelpText('after', VERIFY_HELP + EXIT_CODES_HELP)
    .action(perform(verifyCommand));
}

function addResync(program: Command, perform: Perform): void {
  withPresence(
    program
      .command('resync <log> [slaves...]')
      .description('Take slaves back that are out of the mirror: copy what they miss from the master')
      .option(
        '--rate <size>',
        'most bytes a second, such as 100MiB; auto: as fast as it goes; default: as the mirror has it (resyncRate)',
        parseRateOrAuto,
      )
      .option('--full', 'copy everything, whatever is known of what they miss')
      .option('--compare', 'read the slaves before, and write only what differs')
      .addOption(new Option('--pause', 'of a mirror that is open: resyncs wait, until --resume').conflicts('resume'))
      .option('--resume', 'of a mirror that is open: resyncs go on'),
  )
    .addOption(deviceOption())
    .addOption(imageOption())
    .addOption(takeOverOption())
    .addOption(trustFoldersOption())
    .addOption(jsonOption())
    .addHelpText('after', RESYNC_HELP + EXIT_CODES_HELP)
    .action(perform(resyncCommand));
}

function addFracture(program: Command, perform: Perform): void {
  withPresence(
    program
      .command('fracture <log> <slaves...>')
      .description('Take slaves out of the mirror at one point in time: each keeps what the mirror holds now')
      .option(
        '--detach',
        'let their devices go too, to be pulled, mounted or copied from, also where the mirror is in use',
      ),
  )
    .addOption(deviceOption())
    .addOption(imageOption())
    .addOption(takeOverOption())
    .addOption(trustFoldersOption())
    .addOption(jsonOption())
    .addHelpText('after', FRACTURE_HELP + EXIT_CODES_HELP)
    .action(perform(fractureCommand));
}

function addSet(program: Command, perform: Perform): void {
  program
    .command('set <log> <settings...>')
    .description('Change what a mirror goes by: KEY=VALUE, kept in its log')
    .addOption(takeOverOption())
    .addOption(trustFoldersOption())
    .addOption(jsonOption())
    .addHelpText('after', SET_HELP + EXIT_CODES_HELP)
    .action(perform(setCommand));
}

function addLog(program: Command, perform: Perform): void {
  program
    .command('log <log>')
    .description('List the live intents: the portions that a crash now would have recovery copy')
    .addOption(imageOption())
    .addOption(jsonOption())
    .addHelpText('after', LOG_HELP + EXIT_CODES_HELP)
    .action(perform(logCommand));
}

function addHistory(program: Command, perform: Perform): void {
  program
    .command('history <log>')
    .description('Say what happened to a mirror, and when; writes nothing, also while it is in use')
    .option('--image <name>', 'events of this image alone')
    .option('--since <time>', "from then on: '2h' or '7d' ago, or a date such as 2026-11-27 or 2026-11-27T02:00Z")
    .addOption(jsonOption())
    .addHelpText('after', HISTORY_HELP + EXIT_CODES_HELP)
    .action(perform(historyCommand));
}

function addExplain(program: Command, perform: Perform): void {
  program
    .command('explain <log>')
    .description('Say what is known of the block at a byte of the mirror: whether images may differ there, and why')
    .argument('<position>', 'byte of the mirror, such as 1048576 or 1MiB', parsePosition)
    .addOption(imageOption())
    .addOption(trustFoldersOption())
    .addOption(jsonOption())
    .addHelpText('after', EXPLAIN_HELP + EXIT_CODES_HELP)
    .action(perform(explainCommand));
}

function addDoctor(program: Command, perform: Perform): void {
  program
    .command('doctor [paths...]')
    .description('Check this system, and devices, files or folders, for what a mirror needs; writes nothing')
    .addOption(jsonOption())
    .addHelpText('after', DOCTOR_HELP + EXIT_CODES_HELP)
    .action(perform(doctorCommand));
}

function addDemo(program: Command, perform: Perform): void {
  program
    .command('demo')
    .description('Watch a mirror being killed in the middle of writing, and repaired; no root, no device')
    .addOption(
      new Option('--size <size>', 'size of each image')
        .argParser(parsePositiveSize)
        .default(DEMO_DEFAULT_SIZE, formatSize(DEMO_DEFAULT_SIZE)),
    )
    .option('--keep', 'keep the files and say how to look at them')
    .addOption(deviceOption())
    .addOption(jsonOption())
    .addHelpText('after', DEMO_HELP + EXIT_CODES_HELP)
    .action(perform(demoCommand));
}

/** Of a verb that opens the mirror. */
function withPresence(command: Command): Command {
  return command
    .option(
      '--wait-for-images <duration>',
      "how long to wait for absent images, such as 60s, or 'none'; default: as the mirror has it (waitForImages)",
      parseWait,
    )
    .option(
      '--device-timeout <duration>',
      "how long a device may take for a request before its image goes out of the mirror, such as 30s, or 'none'; default: as the mirror has it (deviceTimeout)",
      parseWait,
    )
    .option(
      '--require-all',
      'refuse the mirror where an image is absent or not what it should be, instead of going on without it',
    );
}

function jsonOption(): Option {
  return new Option('--json', 'print one JSON document on stdout, and everything else on stderr');
}

function imageOption(): Option {
  return new Option(
    '--image <name=path>',
    'where this image is now, instead of where the log says; repeat it for more',
  ).argParser(collectImage);
}

function takeOverOption(): Option {
  return new Option(
    '--take-over',
    'the process that the log names as its owner is dead for good, which cannot be seen from here: it ran on another host',
  );
}

function trustFoldersOption(): Option {
  return new Option(
    '--trust-folders',
    'as root: log and images may be in folders that other users may write; whoever may is trusted',
  );
}

function deviceOption(): Option {
  return new Option('--device <kind>', 'how to reach the images; auto: io_uring where it is allowed, else threads')
    .choices(['auto', 'io_uring', 'threads'])
    .default('auto');
}

const PROGRAM_HELP = `
Examples:
  blockmirror demo
  blockmirror doctor /dev/nvme0n1 /dev/nvme1n1
  blockmirror create --log /dev/nvme2n1p1 --master /dev/nvme0n1 --slave /dev/nvme1n1
  blockmirror status /dev/nvme2n1p1
  blockmirror recover /dev/nvme2n1p1
${EXIT_CODES_HELP}`;

const CREATE_HELP = `
An image that does not exist yet is made as a file; --size is needed then. Each image needs 1 MiB more than the
mirror, for its label. A device that is mounted, swap or held by another is always refused. One that carries
data is refused unless you say which content may go:
  --keep-data            the master is adopted as it is; its last MiB must be free
  --overwrite-signature  the slaves and the log are overwritten

Examples:
  Files, made and allocated in full:
    blockmirror create --log m.log --master a.img --slave b.img --size 4GiB
  A disk in use so far becomes the master, two new disks its slaves:
    blockmirror create --log /dev/sdd1 --master /dev/sda --slave /dev/sdb --slave /dev/sdc --keep-data
  Names of your own, for status and --image:
    blockmirror create --log m.log --master left=/dev/sda --slave right=/dev/sdb
`;

const STATUS_HELP = `
Exit code 3: the mirror was not closed cleanly and needs recovery, an image is missing or out of sync, something is in
the way of opening it, a copy of superblock or label is lost, its process is frozen, the log is damaged, or create did
not finish.

With --check one line is printed, and the exit code is
  0  every image is synchronized or consistent
  1  a slave is assumed, synchronizing or fractured by the operator; a copy of superblock or label is lost; the last
     verify is older than --max-age
  2  the mirror stopped, its process is frozen, it was left unclean, or an image failed, is inconsistent, differs, or
     is behind by a fault
  3  it cannot be told, also where the command line itself is wrong

With --metrics and --metrics-file it is 0 wherever the metrics are true; what is wrong stands in them.

Examples:
  blockmirror status m.log
  blockmirror status m.log --image slave1=/mnt/b.img
  blockmirror status m.log --json | jq .phase
  blockmirror status m.log --check --max-age 30d
  blockmirror status m.log --metrics-file /var/lib/node_exporter/textfile/m.prom
`;

const WATCH_HELP = `
A mirror that is open with a control socket tells it itself: with rates, latencies and events at once. Of any other it is what
log and labels say, once a second. On a pipe it prints a line for each change. For programs:
\`blockmirror status LOG --json --follow\`. Ctrl-C ends it, with exit code 0.

Examples:
  blockmirror watch m.log
  blockmirror watch m.log | tee m.events
`;

const INSPECT_HELP = `
The rest of a mirror is searched among the block devices, in the folder of the path, and where its log says.
Exit code 3: a mark of blockmirror is there, and cannot be read.

Examples:
  blockmirror inspect /dev/sdb /dev/sdc
  blockmirror inspect a.img --json | jq '.[0].mirror'
`;

const RECOVER_HELP = `
It may be stopped and run again at any time: the log keeps every intent until the copy is proven.
Exit code 3: with --dry-run, there is something to do (a mirror that is in use needs nothing); otherwise, a slave is left out of sync.

Examples:
  blockmirror recover m.log --dry-run
  blockmirror recover m.log
`;

const LIVING_HELP = `A mirror that another process has open is operated there, where it was opened with a control
socket ({ control: true }; the command line always does so); otherwise nobody may have it open. Ctrl-C stops what was begun.
`;

const VERIFY_HELP = `
${LIVING_HELP}What differs is remembered: the slave is inconsistent, and status says so, until it was
verified equal. With --repair what differs is copied from the master instead; a mirror that was not closed cleanly is
recovered first. A slave that is out is compared with --all alone, and stays out whatever is found: resync takes it back.
Of three images or more the report names the one that stands alone. Stopped by Ctrl-C it prints the command that goes on.
Exit code 3: a slave differs, or was not compared.

With --from nothing is compared: the master is the one that is wrong there, and what the slave holds is written to all
images, durably, as a write of the mirror. What they held in the extent is gone for good, which --overwrite-master allows.
A crash in the middle leaves each block as the master or as that slave had it, on all images; to be safe from that, take
a copy of the slave first.

Examples:
  blockmirror verify m.log
  blockmirror verify m.log --json | jq .differences
  blockmirror verify m.log --repair --rate 100MiB
  blockmirror verify m.log --from slave1 --extent 1MiB+4096 --overwrite-master
`;

const FRACTURE_HELP = `
${LIVING_HELP}One that was not closed cleanly is recovered first. All slaves that are named go out together:
they hold the same point in time, dated, and nothing is written to them until resync takes them back. It is refused where
fewer images would be in sync than the mirror asks for (minInSync).
Exit code 3: there is no common point: a slave failed, or was out already.

Examples:
  blockmirror fracture m.log slave1
  blockmirror fracture m.log slave1 slave2 --json | jq '.common, .at'
`;

const RESYNC_HELP = `
${LIVING_HELP}Slaves are named as status names them; without names all are taken that are not in sync. A mirror
that was not closed cleanly is recovered first. Only what a slave missed is copied; one that was restored from an older
copy, or whose file lost blocks, gets everything. It may be stopped and run again at any time: it goes on from where it was.
Exit code 3: a slave is still out of sync.

Examples:
  blockmirror resync m.log
  blockmirror resync m.log slave1 --rate 100MiB
  blockmirror resync m.log --pause
  blockmirror resync m.log --json | jq '.slaves[].state'
`;

const SET_HELP = `
${POLICY_KEYS.map((key) => `  ${key}=VALUE`.padEnd(23) + `${SETTINGS[key].meaning}: ${SETTINGS[key].values}`).join('\n')}

${LIVING_HELP}Of one that nobody has open the images need not be there, and nothing is recovered. With minInSync=1 the master goes on
alone when every slave is out. With 2 writes are refused until a slave is in sync again: nothing that was acknowledged is
then on the master alone.

Examples:
  blockmirror set m.log minInSync=2
  blockmirror set m.log minInSync=1 rejoin=manual
  blockmirror set m.log deviceTimeout=5s waitForImages=60s resyncRate=100MiB
`;

const LOG_HELP = `
Exit code 3: the log is damaged, so that what it covers is unknown and recovery has to compare everything.

Examples:
  blockmirror log m.log
  blockmirror log m.log --json | jq '.extentCount'
`;

const HISTORY_HELP = `
Openings, closes and recoveries, slaves that went out and came back, resyncs, verifies, repairs and errors: the last
1024 of them, oldest first, with dates in UTC. They are written behind what they tell of: after a power loss the very
last may be missing, and nothing depends on any of them.

Examples:
  blockmirror history m.log
  blockmirror history m.log --since 12h --image slave1
  blockmirror history m.log --json | jq '.events[] | select(.kind == "fractured")'
`;

const EXPLAIN_HELP = `
It tells what superblock, live intents, fracture maps and history say of that block: which slave owes it, since when
and why. Of a mirror that is in use it is a moment of a moving picture.

Exit code 3: images may differ there, or it is not known.

Examples:
  blockmirror explain m.log 1GiB
  blockmirror explain m.log 1073741824 --json | jq '.uncertain'
`;

const DOCTOR_HELP = `
Each check says ok, warn or problem, and what to do about it. Exit code 3: there is a problem.

Examples:
  blockmirror doctor
  blockmirror doctor /dev/nvme0n1 /srv/images
`;

const DEMO_HELP = `
Two images of --size each and a log are made in a temporary folder (TMPDIR) and removed at the end.

Examples:
  blockmirror demo
  blockmirror demo --size 64MiB --keep
`;
