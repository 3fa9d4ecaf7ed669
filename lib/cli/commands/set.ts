/** `blockmirror set LOG KEY=VALUE...`: changes what a mirror goes by. */
import { type MirrorSetOptions, type SetOptions, set, setReportToText } from '../../index';
import { settingsOfText } from '../../base/policies';
import { EXIT } from '../exit_codes';
import { interruptible } from '../interrupt';
import { onMirror } from '../living';
import type { Outcome, Output } from '../output';
import type { TakeOver, TrustFolders } from './shared';

const STOPPED = 'What was asked for may hold already: status says what the mirror goes by.';

export async function setCommand(
  output: Output,
  log: string,
  settings: readonly string[],
  options: TakeOver & TrustFolders,
): Promise<Outcome> {
  const chosen = settingsOfText(settings);
  const report = await interruptible(STOPPED, output, (signal) =>
    onMirror(
      log,
      { options, output, signal },
      {
        living: (mirror) => mirror.set(chosen as MirrorSetOptions),
        here: () =>
          set(log, {
            ...(chosen as SetOptions),
            takeOver: options.takeOver === true,
            trustFolders: options.trustFolders === true,
          }),
      },
    ),
  );
  return { exitCode: EXIT.done, document: report, text: setReportToText(report) };
}
