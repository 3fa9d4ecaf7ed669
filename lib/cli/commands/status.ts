/** `blockmirror status LOG`: what state the mirror is in, from log and labels, and what to do next. Writes nothing. */
import { formatSize, inspect, type Inspection, type Status } from '../../index';
import { EXIT, type ExitCode } from '../exit_codes';
import type { Outcome, Output } from '../output';
import { count, duration, facts, list, number, share, wrap } from '../words';
import { STATE_MEANING, commandLine, imageTable, imagesOf, isInSync, ownerInWords, type ImagePaths } from './shared';

export async function statusCommand(output: Output, log: string, options: ImagePaths): Promise<Outcome> {
  const inspection = await inspect(log, imagesOf(options));
  return {
    exitCode: exitCodeOf(inspection),
    document: inspection.status,
    text: toText(inspection, log, options, output),
  };
}

function exitCodeOf(inspection: Inspection): ExitCode {
  const { status } = inspection;
  const inUse = status.phase === 'held' || status.phase === 'running' || status.phase === 'recovering';
  const settled = status.phase === 'closed' && inspection.attachable && !inspection.damaged;
  const imagesFine = status.images.every((image) => isInSync(image.state) && image.error === null);
  return (inUse || settled) && imagesFine ? EXIT.done : EXIT.attention;
}

function toText(inspection: Inspection, log: string, options: ImagePaths, output: Output): string {
  const { status } = inspection;
  const problems = status.images.filter((image) => image.error !== null);
  const odd = status.images.filter((image) => !isInSync(image.state) && image.error === null);
  return [
    facts([
      ['Mirror', status.uuid],
      ['Log', status.log],
      ['State', output.paint('bold', phaseInWords(inspection))],
      [
        'Size',
        `${formatSize(status.size)}, in blocks of ${formatSize(status.blockSize)}; generation ${status.generation.counter}`,
      ],
      ['Log use', logUseInWords(status)],
      ['Coverage', inspection.damaged ? 'not known: the log is damaged' : coverageInWords(status)],
      ['Recovery', lastRecoveryInWords(status)],
    ]),
    '',
    imageTable(status.images, output),
    ...(inspection.damaged
      ? [
          '',
          'The log is damaged, so that recovery compares everything:',
          ...inspection.damage.map((line) => `  ${line}`),
        ]
      : []),
    ...(problems.length > 0 ? [''] : []),
    ...problems.map((image) => wrap(`${image.name}: ${image.error?.message ?? ''}`, 100)),
    ...(odd.length > 0 ? [''] : []),
    ...odd.map((image) => `${image.name} is ${image.state}: ${STATE_MEANING[image.state]}.`),
    '',
    nextStep(inspection, log, options),
  ].join('\n');
}

function phaseInWords(inspection: Inspection): string {
  const { status } = inspection;
  switch (status.phase) {
    case 'creating':
      return 'not made yet: create did not finish';
    case 'closed':
      return 'closed cleanly';
    case 'unclean':
      return 'NOT closed cleanly: it needs recovery';
    case 'held':
      return `in use${status.owner === null ? '' : ` by ${ownerInWords(status.owner)}`}`;
    case 'recovering':
      return 'being recovered';
    case 'running':
      return 'open';
    case 'stopped':
      return `stopped: ${status.stopped?.message ?? 'the master or the log failed'}`;
  }
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
  const proof = last.verified ? 'verified' : 'not verified';
  return `last at ${last.finishedAt}: ${scope}, ${formatSize(last.bytesCopied)} copied in ${duration(last.durationMs)}, ${proof}`;
}

function nextStep(inspection: Inspection, log: string, options: ImagePaths): string {
  const { status } = inspection;
  const names = (wanted: (state: (typeof status.images)[number]) => boolean) =>
    list(status.images.filter(wanted).map((image) => image.name));
  if (status.phase === 'creating') return 'Next: run the same create again; there is no mirror yet.';
  if (status.phase === 'held') return 'Next: nothing to do here; the process that has it open looks after it.';
  if (status.phase === 'unclean' && !inspection.attachable)
    return 'Next: see to the images named above; recovery takes the mirror only when they are there.';
  if (status.phase === 'unclean' || inspection.damaged)
    return (
      `Next: ${commandLine('recover', log, options)}\n` +
      `      (${commandLine('recover', log, options, '--dry-run')} shows what it would copy and writes nothing)`
    );
  if (!inspection.attachable) return 'Next: see to the images named above; the mirror cannot be opened as it is.';
  const lost = names((image) => !isInSync(image.state));
  if (lost !== '')
    return (
      `Next: the mirror works without ${lost}. To have it back, replace the device and make the mirror anew over the\n` +
      '      same master: blockmirror create … --keep-data --overwrite-signature'
    );
  const assumed = names((image) => image.state === 'assumed');
  if (assumed !== '')
    return `Next: ${commandLine('verify', log, options)} proves that ${assumed} is identical; so far it was only said to be.`;
  return 'Next: nothing to do.';
}
