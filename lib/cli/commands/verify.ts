/** `blockmirror verify LOG`: compares every byte of the slaves with the master. */
import { type Progress, type VerifyReport, formatSize, verify, verifyReportToText } from '../../index';
import { EXIT } from '../exit_codes';
import { interruptible } from '../interrupt';
import type { Outcome, Output } from '../output';
import { inFlags } from '../spelling';
import { list, wrap } from '../words';
import { commandLine, imagesOf, presenceOf, type OpeningChoice } from './shared';

export interface VerifyChoice extends OpeningChoice {
  all?: boolean;
}

export async function verifyCommand(output: Output, log: string, options: VerifyChoice): Promise<Outcome> {
  let last: Progress | null = null;
  const onProgress = (progress: Progress): void => {
    last = progress;
    output.progress.listener(progress);
  };
  const chosen = {
    all: options.all === true,
    takeOver: options.takeOver === true,
    trustFolders: options.trustFolders === true,
    device: options.device,
  };
  const report = await interruptible(
    () => stopped(last),
    output,
    (signal) => verify(log, { ...chosen, ...presenceOf(options), ...imagesOf(options), onProgress, signal }),
  );
  return {
    exitCode: report.result === 'identical' ? EXIT.done : EXIT.attention,
    document: report,
    text: verifiedToText(report, log, options, output),
  };
}

export function verifiedToText(report: VerifyReport, log: string, options: VerifyChoice, output: Output): string {
  const words = wrap(inFlags(verifyReportToText(report)), output.lineWidth);
  return `${words}\n\n${wrap(nextStep(report, log, options), output.width)}`;
}

function stopped(last: Progress | null): string {
  const scope =
    last === null
      ? 'Nothing was compared'
      : `${formatSize(last.bytesDone)} of ${formatSize(last.bytesTotal)} were compared`;
  return `${scope}. What was found different is remembered (blockmirror status shows it); nothing else was changed.`;
}

function nextStep(report: VerifyReport, log: string, options: VerifyChoice): string {
  const names = (wanted: (slave: VerifyReport['slaves'][number]) => boolean): string =>
    list(report.slaves.filter(wanted).map(({ name }) => name));
  const real = names((slave) => (slave.bytesDiffered ?? 0) > (slave.bytesExpected ?? 0));
  if (!report.clean) {
    const rest = real === '' ? '' : `; what differs in ${real} outside of the live intents stays, so verify again then`;
    return `Next: ${commandLine('recover', log, options)}${rest}`;
  }
  if (real !== '') {
    const doubt = report.differences.some(({ agreesWith }) => agreesWith.length > 0)
      ? 'find out first which of the images is right; '
      : '';
    return (
      `Next: ${doubt}${commandLine('status', log, options)} gives the command that has everything copied from the ` +
      `master. That ${real} differs is remembered until then, or until a verify finds it equal.`
    );
  }
  const missing = names(({ compared }) => !compared);
  if (missing !== '' && options.all !== true) {
    return `Next: ${commandLine('verify', log, options, '--all')} compares ${missing} too.`;
  }
  if (missing !== '') return `Next: see to ${missing}; it could not be compared, for the reason named above.`;
  const out = names(({ state }) => state === 'failed' || state === 'behind');
  if (out !== '') {
    return `Next: ${out} holds the same now, but receives no writes; ${commandLine('resync', log, options)} takes it back.`;
  }
  return 'Next: nothing to do.';
}
