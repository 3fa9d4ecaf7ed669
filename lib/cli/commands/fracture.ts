/** `blockmirror fracture LOG IMAGE...`: takes slaves out at one point in time, a backup. */
import { type FractureReport, fracture, fractureReportToText } from '../../index';
import { EXIT } from '../exit_codes';
import { interruptible } from '../interrupt';
import type { Outcome, Output } from '../output';
import { inFlags } from '../spelling';
import { list, wrap } from '../words';
import { commandLine, imagesOf, presenceOf, type OpeningChoice } from './shared';

export interface FractureArguments extends OpeningChoice {
  detach?: boolean;
}

const STOPPED = 'Nothing was fractured.';

export async function fractureCommand(
  output: Output,
  log: string,
  slaves: readonly string[],
  options: FractureArguments,
): Promise<Outcome> {
  const report = await interruptible(STOPPED, output, (signal) =>
    fracture(log, {
      slaves,
      detach: options.detach === true,
      takeOver: options.takeOver === true,
      trustFolders: options.trustFolders === true,
      device: options.device,
      ...presenceOf(options),
      ...imagesOf(options),
      onProgress: output.progress.listener,
      signal,
    }),
  );
  const text = wrap(inFlags(fractureReportToText(report)), output.lineWidth);
  return {
    exitCode: report.common ? EXIT.done : EXIT.attention,
    document: report,
    text: `${text}\n\n${wrap(nextStep(report, log, options), output.width)}`,
  };
}

function nextStep({ common, slaves }: FractureReport, log: string, options: FractureArguments): string {
  const names = list(slaves.map(({ name }) => name));
  const back = `${commandLine('resync', log, options)} takes ${names} back, and copies what was written meanwhile.`;
  if (common) return `Next: nothing has to be done; ${back}`;
  return `Next: for a common point in time see to what is named above; ${back} Then run fracture again.`;
}
