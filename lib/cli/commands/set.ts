/** `blockmirror set LOG KEY=VALUE...`: changes what a mirror goes by. */
import { type SetOptions, set, setReportToText } from '../../index';
import { settingsOfText } from '../../base/policies';
import { EXIT } from '../exit_codes';
import type { Outcome, Output } from '../output';
import type { TakeOver, TrustFolders } from './shared';

export async function setCommand(
  _output: Output,
  log: string,
  settings: readonly string[],
  options: TakeOver & TrustFolders,
): Promise<Outcome> {
  const report = await set(log, {
    ...(settingsOfText(settings) as SetOptions),
    takeOver: options.takeOver === true,
    trustFolders: options.trustFolders === true,
  });
  return { exitCode: EXIT.done, document: report, text: setReportToText(report) };
}
