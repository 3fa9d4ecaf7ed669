/** `blockmirror recover LOG`: makes the images equal after a crash. With --dry-run it writes nothing. */
import { type MirrorClient, recover, recoveryReportToText, type RecoveryReport } from '../../index';
import { EXIT, type ExitCode } from '../exit_codes';
import { interruptible } from '../interrupt';
import { onMirror } from '../living';
import type { Outcome, Output } from '../output';
import { inFlags } from '../spelling';
import { list, wrap } from '../words';
import { commandLine, imagesOf, isInSync, LISTED, presenceOf, type OpeningChoice } from './shared';

export interface RecoverArguments extends OpeningChoice {
  dryRun?: boolean;
  compare: boolean;
  readBack: boolean;
}

const STOPPED =
  'That is harmless: the log still holds everything that has to be copied. Run recover again; it starts over.';

export async function recoverCommand(output: Output, log: string, options: RecoverArguments): Promise<Outcome> {
  const dryRun = options.dryRun === true;
  const how = {
    compare: options.compare,
    readBack: options.readBack,
    onProgress: output.progress.listener,
  };
  const report = await interruptible(STOPPED, output, (signal) => {
    const here = (): Promise<RecoveryReport> =>
      recover(log, {
        dryRun,
        ...how,
        takeOver: options.takeOver === true,
        trustFolders: options.trustFolders === true,
        device: options.device,
        ...presenceOf(options),
        ...imagesOf(options),
        signal,
      });
    // A plan is a look from outside, also of a mirror that is open.
    if (dryRun) return here();
    const living = (mirror: MirrorClient): Promise<RecoveryReport> => mirror.recover({ ...how, signal });
    return onMirror(log, { options, output, signal }, { living, here });
  });
  const text = recoveredToText(report, log, options, output);
  return { exitCode: exitCodeOf(report), document: listed(report), text };
}

/** The report, its list of extents cut. */
function listed(report: RecoveryReport): RecoveryReport & { extentCount: number } {
  return { ...report, extents: report.extents.slice(0, LISTED), extentCount: report.extents.length };
}

export function recoveredToText(
  report: RecoveryReport,
  log: string,
  options: RecoverArguments,
  output: Output,
): string {
  return wrap(inFlags(recoveryReportToText(report)), output.lineWidth) + nextStep(report, log, options);
}

function nextStep(report: RecoveryReport, log: string, options: RecoverArguments): string {
  if (report.dryRun) {
    if (report.clean || report.held) return '';
    return `\n\nNext: ${commandLine('recover', log, options, ...(options.takeOver === true ? ['--take-over'] : []))}`;
  }
  const out = list(report.slaves.filter(({ state }) => !isInSync(state)).map(({ name }) => name));
  return out === ''
    ? ''
    : `\n\nNext: ${commandLine('resync', log, options)} takes ${out} back when its device works; ${commandLine('status', log, options)} says why it is out.`;
}

function exitCodeOf(report: RecoveryReport): ExitCode {
  if (report.dryRun) return report.clean || report.held ? EXIT.done : EXIT.attention;
  return report.slaves.every((slave) => isInSync(slave.state)) ? EXIT.done : EXIT.attention;
}
