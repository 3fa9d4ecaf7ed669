/**
 * `blockmirror status LOG`: what state the mirror is in, as its process tells or from log and labels, and what to do next. Writes
 * nothing.
 * With --check: one line and exit codes of its own, for monitoring; with --metrics what status_metrics.ts says.
 */
import { formatSize, type ImageStatus, type Inspection, type Settings, type Status } from '../../index';
import { POLICY_KEYS, SETTINGS } from '../../base/policies';
import { type MirrorFacts, recreate, remakeOverSlave } from '../../base/remedies';
import { elsewhereOf } from '../../life/find_images';
import { elsewhereToText } from '../../look/report';
import { countsForMinInSync } from '../../look/status';
import { shellPath } from '../../base/shell';
import { shown, shownLine } from '../../base/shown';
import { checkOfError, checkToText, judgeCheck, type CheckVerdict } from '../check';
import { EXIT, type ExitCode } from '../exit_codes';
import { failureOf } from '../failure';
import type { Outcome, Output } from '../output';
import { see, type Seeing } from '../sight';
import { inFlags } from '../spelling';
import { count, duration, facts, list, number, share, wrap } from '../words';
import { metricsCommand } from './status_metrics';
import { followCommand } from './watch';
import {
  STATE_MEANING,
  commandLine,
  damageToText,
  holderInWords,
  imageTable,
  isInSync,
  isStranger,
  type ImagePaths,
  type TrustFolders,
} from './shared';

interface StatusArguments extends ImagePaths, TrustFolders {
  check?: boolean;
  metrics?: boolean;
  metricsFile?: string;
  follow?: boolean;
  /** ms */
  maxAge?: number;
}

export async function statusCommand(output: Output, log: string, options: StatusArguments): Promise<Outcome> {
  if (options.check === true) return checkCommand(log, options);
  if (options.metrics === true || options.metricsFile !== undefined) return metricsCommand(output, log, options);
  if (options.follow === true) return followCommand(output, log, options);
  const seen = await see(log, options);
  const { status, live, notLive } = seen;
  return {
    exitCode: exitCodeOf(seen),
    document: { ...status, live, notLive },
    text: statusToText(seen, log, options, output),
  };
}

async function checkCommand(log: string, options: StatusArguments): Promise<Outcome> {
  let verdict: CheckVerdict;
  let status: Status | null = null;
  try {
    const inspection = await see(log, options);
    status = inspection.status;
    verdict = judgeCheck({
      inspection,
      now: Date.now(),
      maximumAge: options.maxAge ?? null,
      privileged: process.geteuid?.() === 0,
    });
  } catch (error) {
    const { code, message } = failureOf(error);
    verdict = checkOfError(code, message);
  }
  const { code, reasons } = verdict;
  return { exitCode: code, document: { code, reasons, status }, text: checkToText(verdict, `mirror ${shown(log)}`) };
}

function exitCodeOf(inspection: Inspection): ExitCode {
  const { status } = inspection;
  const inUse = (status.phase === 'held' || status.phase === 'running') && status.holder?.state !== 'frozen';
  const settled = status.phase === 'closed' && inspection.attachable && !inspection.damaged;
  const imagesFine = status.images.every(
    (image) => isInSync(image.state) && image.error === null && image.bytesDiffered === 0,
  );
  return (inUse || settled) && imagesFine && inspection.lostCopies.length === 0 ? EXIT.done : EXIT.attention;
}

export function statusToText(
  inspection: Inspection & Partial<Seeing>,
  log: string,
  options: ImagePaths & TrustFolders,
  output: Output,
): string {
  const { status, obstacles } = inspection;
  const { width } = output;
  const told = new Set(status.images.map((image) => image.error?.message));
  const problems = status.images.filter((image) => image.error !== null).map((image) => image.error?.message ?? '');
  const others = obstacles.map(({ message }) => message).filter((message) => !told.has(message));
  const odd = status.images.filter((image) => !isInSync(image.state) && image.error === null);
  // Images that a create had not made yet are no loss: the same create makes them.
  const creating = status.phase === 'creating';
  const paragraphs = [
    ...(creating ? others : [...others, ...problems]).map((message) => wrap(inFlags(shownLine(message)), width)),
    ...(creating ? [] : odd).map((image) =>
      wrap(`${shown(image.name)} is ${image.state}: ${STATE_MEANING[image.state]}.`, width),
    ),
    ...elsewhereToText(elsewhereOf(status.images)).map((line) => wrap(`${line}.`, width)),
    ...stalledInWords(status).map((line) => wrap(line, width)),
    ...inspection.lostCopies.map(({ where, copy, state }) => {
      const what = where === 'log' ? 'the superblock of the log' : `the label of ${shown(where)}`;
      return wrap(`Copy ${copy} of ${what} is ${state}. The other one counts; the next opening writes both.`, width);
    }),
  ];
  return [
    facts(
      [
        ['Mirror', status.uuid],
        ['Log', shown(status.log)],
        ['State', output.paint('bold', phaseInWords(inspection))],
        ...seeingInWords(inspection),
        [
          'Size',
          `${formatSize(status.size)}, in blocks of ${formatSize(status.blockSize)}; generation ${status.generation.counter}`,
        ],
        ['Policies', policiesInWords(status)],
        ['Log use', logUseInWords(status)],
        ['Coverage', inspection.damaged ? 'not known: the log is damaged' : coverageInWords(status)],
        ['Recovery', lastRecoveryInWords(status)],
        ['Verify', lastVerifyInWords(status)],
      ],
      output.lineWidth,
    ),
    '',
    imageTable(status.images, output),
    ...(inspection.damaged
      ? ['', 'The log is damaged, so that recovery compares everything:', damageToText(inspection)]
      : []),
    ...(paragraphs.length > 0 ? ['', paragraphs.join('\n\n')] : []),
    '',
    nextStepInLines(inspection, log, options, width),
  ].join('\n');
}

function stalledInWords({ stalled }: Status): string[] {
  return (stalled ?? []).map(
    ({ device, operation, since }) =>
      `${device === 'log' ? 'The log' : shown(device)} does not answer: a ${operation} waits since ${since}.`,
  );
}

function phaseInWords({ status }: Inspection): string {
  const holder = status.holder === null && status.owner === null ? '' : ` by ${holderInWords(status)}`;
  switch (status.phase) {
    case 'creating':
      return 'not made yet: create did not finish';
    case 'closed':
      return 'closed cleanly';
    case 'unclean':
      return `NOT closed cleanly: it needs recovery${status.stopped === null ? '' : '; it had stopped, since the master failed'}`;
    case 'held':
      return `in use${holder}`;
    case 'recovering':
      return `being recovered, or waiting for it; open${holder}`;
    case 'running':
      return `in use${holder}`;
    case 'stopped':
      return `STOPPED, since ${whatFailed(status)} failed; still open${holder}`;
  }
}

/** Of a mirror that somebody has open: who tells all this. */
function seeingInWords({ live, notLive, status }: Inspection & Partial<Seeing>): [string, string][] {
  if (live === true) {
    const paused = status.resyncPaused === true ? '; resyncs are PAUSED' : '';
    return [['Seen', `live: its process tells it, by its control socket${paused}`]];
  }
  const { message = null } = notLive ?? {};
  return message === null ? [] : [['Seen', `from outside, by log and labels: ${inFlags(shownLine(message))}`]];
}

export function whatFailed({ stopped }: Status): string {
  return stopped?.code === 'ERR_BLOCKMIRROR_LOG_FAILED' ? 'the log' : 'the master';
}

function policiesInWords(status: Status): string {
  const { images } = status;
  const inSync = `, and ${images.filter(countsForMinInSync).length} of ${count(images.length, 'image')} in sync`;
  return POLICY_KEYS.map((key) => {
    const { field, toText } = SETTINGS[key];
    const value = (status as Partial<Settings>)[field] ?? null;
    return `${key} ${toText(value)}${key === 'minInSync' ? inSync : ''}`;
  }).join('; ');
}

function logUseInWords(status: Status): string {
  const { recordsLive, recordCount } = status.logUse;
  return `${number(recordsLive)} of ${count(recordCount, 'record')} (${share(recordsLive, recordCount)}) hold live intents`;
}

function coverageInWords(status: Status): string {
  const { bytes, budget } = status.coverage;
  if (status.phase === 'creating') return 'nothing is promised yet';
  if (bytes === 0) return 'nothing to be copied';
  const whole = `${formatSize(bytes)} of ${formatSize(status.size)} (${share(bytes, status.size)})`;
  const when =
    status.phase === 'held' || status.phase === 'running' ? 'would be copied after a crash now' : 'to be copied';
  return `${whole} ${when}${budget === null ? '' : `, at most ${formatSize(budget)}`}`;
}

function lastRecoveryInWords(status: Status): string {
  const last = status.lastRecovery;
  if (last === null) return 'never needed';
  const scope = last.fullCompare
    ? 'everything compared'
    : `${formatSize(last.bytesCovered)} from ${count(last.liveIntents, 'live intent')}`;
  const proof = last.readBack ? 'read back' : 'not read back';
  return `last at ${last.finishedAt}: ${scope}, ${formatSize(last.bytesCopied)} copied in ${duration(last.durationMs)}, ${proof}`;
}

function lastVerifyInWords(status: Status): string {
  const last = status.lastVerify;
  if (last === null) return 'never done';
  const mended = last.result === 'repaired' ? ', repaired' : '';
  const differed = `${number(last.bytesDiffered)} ${last.bytesDiffered === 1 ? 'byte' : 'bytes'} differed${mended}`;
  const found = last.bytesDiffered === 0 ? 'nothing differed' : differed;
  return `last at ${last.finishedAt}: ${formatSize(last.bytesCompared)} compared, ${found}`;
}

function nextStepInLines(
  inspection: Inspection,
  log: string,
  options: ImagePaths & TrustFolders,
  width: number,
): string {
  const text = nextStep(inspection, log, options);
  if (text !== null) return wrap(`Next: ${inFlags(text)}`, width);
  return [
    `Next: ${commandLine('recover', log, options)}`,
    `      (${commandLine('recover', log, options, '--dry-run')} shows what it would copy and writes nothing)`,
  ].join('\n');
}

/** The first row that holds says what to do. Never "nothing to do" where an opening would be refused. null: recovery. */
function nextStep(inspection: Inspection, log: string, options: ImagePaths & TrustFolders): string | null {
  const { status } = inspection;
  const command = (verb: string, ...flags: string[]): string => `\`${commandLine(verb, log, options, ...flags)}\``;
  const names = (wanted: (image: ImageStatus) => boolean): string =>
    list(status.images.filter(wanted).map((image) => image.name));
  // It receives every write, and so is no loss that refuses any.
  const differs = ({ state, bytesDiffered }: ImageStatus): boolean => state === 'inconsistent' && bytesDiffered > 0;
  const lost = names((image) => !isInSync(image.state) && !differs(image) && image.role === 'slave');
  const assumed = names((image) => image.state === 'assumed');
  const different = names((image) => image.bytesDiffered > 0);
  if (status.phase === 'creating') {
    // No command names what another user may have written into the log.
    if (!inspection.believed)
      return 'there is no mirror yet; run the same create again, with the images that you know.';
    const again = recreate(status).replace(' --overwrite-signature', '');
    return `there is no mirror yet; run the same create again, or, to keep what the master holds: \`${again}\``;
  }
  if (status.holder?.state === 'frozen') {
    return `its process is frozen, and every request waits for it. Wake it (\`kill -CONT ${status.holder.process}\`, or thaw its control group).`;
  }
  const { holder } = status;
  if (holder !== null && holder.process !== null && isStranger(holder)) {
    return (
      `see what holds the log: \`ps -fp ${holder.process}\`. When it opens or repairs the mirror, it looks after it; ` +
      `when it has no business with it, end it: \`kill ${holder.process}\`, and let nobody open the log who need not: ` +
      `\`chmod go-rwx ${shellPath(log)}\``
    );
  }
  if (status.phase === 'stopped') {
    if (status.stopped?.code === 'ERR_BLOCKMIRROR_LOG_FAILED') {
      return `close it there, and see to the device of the log; ${command('recover')} then pays what is left.`;
    }
    return `close it there. ${masterStep(inspection, command)}`;
  }
  if (status.phase === 'recovering') return `${command('recover')} has it recovered where it is open.`;
  const stalled = status.stalled ?? [];
  if (stalled.length > 0) {
    return `see to ${list(stalled.map(({ device }) => device))}: until it answers, or its deadline has passed, requests wait.`;
  }
  if (status.phase === 'held') {
    return (
      'nothing to do here; the process that has it open looks after it. ' +
      'Whether it goes on writing can only be seen there: when the log fails, that cannot be noted anywhere.'
    );
  }
  const master = status.images[0];
  const gone = master?.state === 'failed' && isLost(master);
  if (gone || status.stopped !== null) return `${masterStep(inspection, command)}`;
  if (!inspection.attachable && status.phase !== 'running')
    return 'see to what is named above; the mirror cannot be opened as it is.';
  if (status.phase === 'unclean' || (inspection.damaged && status.phase !== 'running')) return null;
  if (lost !== '') {
    const inSync = status.images.filter(countsForMinInSync).length;
    const tooFew = inSync < status.minInSync;
    const how = tooFew
      ? `writes are refused until ${count(status.minInSync, 'image')} are in sync`
      : `the mirror works without ${lost}`;
    const back = names((image) => image.role === 'slave' && mayComeBack(image));
    if (status.resyncPaused === true)
      return `${how}, and resyncs are paused; ${command('resync', '--resume')} lets them go on.`;
    if (back === '') return `${how}; what is said above brings ${lost} back.`;
    return `${how}; ${command('resync')} takes ${back} back when its device works, and copies what it missed.`;
  }
  if (different !== '')
    return `${command('verify')} says where ${different} differs, and whether it still does; what is said above mends it.`;
  if (assumed !== '') {
    return `${command('verify')} proves that ${assumed} is identical; so far it was only said to be.`;
  }
  if (inspection.lostCopies.length > 0) return 'nothing that cannot wait for the next opening.';
  return 'nothing to do.';
}

/** It is out, or its resync was cut off, and nothing else is wrong with it. */
function mayComeBack({ state, error, debt }: ImageStatus): boolean {
  if (debt === 'none') return false;
  return error === null
    ? state === 'synchronizing' || state === 'behind'
    : error.code === 'ERR_BLOCKMIRROR_SLAVE_FAILED';
}

/** What is at the master's path is another thing, or we may not look at it: no reason to replace it. */
function isLost({ error, path }: ImageStatus): boolean {
  // A file can be put aside, whatever it is.
  if (error?.code === 'ERR_BLOCKMIRROR_NO_LABEL' && !path.startsWith('/dev/')) return true;
  return !NOT_LOST.has(error?.code ?? '');
}

const NOT_LOST: ReadonlySet<string> = new Set([
  'ERR_BLOCKMIRROR_OPEN_FAILED',
  'ERR_BLOCKMIRROR_NO_LABEL',
  'ERR_BLOCKMIRROR_FOREIGN_IMAGE',
  'ERR_BLOCKMIRROR_SWAPPED_IMAGES',
  'ERR_BLOCKMIRROR_FOREIGN_LOG',
  // It is the log that is old.
  'ERR_BLOCKMIRROR_STALE_LOG',
]);

/** The master cannot be used: when it is not to be had again, a slave that is in sync takes its place. */
function masterStep(inspection: Inspection, command: (verb: string) => string): string {
  const { status, imageDevices } = inspection;
  const slave = status.images.find(({ role, state, error }) => role === 'slave' && isInSync(state) && error === null);
  const back =
    status.stopped === null
      ? 'put the master back that was there'
      : `when the master answers again: ${command('recover')}`;
  if (slave === undefined) return `${back}; no slave is in sync that could take its place.`;
  const images = status.images.map(({ name, path, role, state }) => {
    return { name, path, doubtful: role === 'slave' && state === 'failed' };
  });
  const takes = `${shown(slave.name)}, which is in sync, takes its place, and everything is copied from it to the others`;
  // Nobody pastes a command that makes or writes what another user has put into the log.
  if (!inspection.believed) return `${back}. When it is lost, ${takes}, by a create with the images that you know.`;
  const mirror: MirrorFacts = { ...status, images };
  const anew = remakeOverSlave(mirror, slave.name, imageDevices[0] !== null);
  return `${back}. When it is lost, ${takes}; see that a sound device is there for the master: ${anew}`;
}
