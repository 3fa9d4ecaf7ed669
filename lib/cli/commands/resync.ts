/** `blockmirror resync LOG [IMAGE...]`: takes slaves back that are out, and copies what they miss. */
import { type ResyncReport, resync, resyncReportToText } from '../../index';
import { EXIT } from '../exit_codes';
import { interruptible } from '../interrupt';
import type { Outcome, Output } from '../output';
import { inFlags } from '../spelling';
import { list, wrap } from '../words';
import { commandLine, imagesOf, presenceOf, type OpeningChoice } from './shared';

export interface ResyncArguments extends OpeningChoice {
  /** Bytes a second. */
  rate?: number | 'auto';
  full?: boolean;
  compare?: boolean;
}

const STOPPED =
  'What was copied counts, and the slaves are synchronizing: run resync again, and it goes on from there.';

export async function resyncCommand(
  output: Output,
  log: string,
  slaves: readonly string[],
  options: ResyncArguments,
): Promise<Outcome> {
  const report = await interruptible(STOPPED, output, (signal) =>
    resync(log, {
      ...(slaves.length === 0 ? {} : { slaves }),
      ...(options.rate === undefined ? {} : { rate: options.rate }),
      full: options.full === true,
      compare: options.compare === true,
      takeOver: options.takeOver === true,
      trustFolders: options.trustFolders === true,
      device: options.device,
      ...presenceOf(options),
      ...imagesOf(options),
      onProgress: output.progress.listener,
      signal,
    }),
  );
  return {
    exitCode: report.inSync ? EXIT.done : EXIT.attention,
    document: report,
    text: `${wrap(inFlags(resyncReportToText(report)), output.lineWidth)}\n\n${wrap(nextStep(report, log, options), output.width)}`,
  };
}

function nextStep(report: ResyncReport, log: string, options: ResyncArguments): string {
  const out = list(report.slaves.filter(({ error }) => error !== null).map(({ name }) => name));
  if (out === '') return 'Next: nothing to do.';
  return `Next: see to ${out}, for the reason named above; then ${commandLine('resync', log, options)} goes on.`;
}
