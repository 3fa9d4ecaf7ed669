/** `blockmirror verify LOG`: compares every byte of the slaves with the master. */
import { verify, verifyReportToText } from '../../index';
import { EXIT } from '../exit_codes';
import { interruptible } from '../interrupt';
import type { Outcome, Output } from '../output';
import { imagesOf, type DeviceChoice, type ImagePaths, type TakeOver } from './shared';

const STOPPED = 'Nothing was changed; what was compared so far is not kept.';

type VerifyArguments = DeviceChoice & ImagePaths & TakeOver;

export async function verifyCommand(output: Output, log: string, options: VerifyArguments): Promise<Outcome> {
  const report = await interruptible(STOPPED, output, (signal) =>
    verify(log, {
      takeOver: options.takeOver === true,
      device: options.device,
      ...imagesOf(options),
      onProgress: output.progress.listener,
      signal,
    }),
  );
  return {
    exitCode: report.identical ? EXIT.done : EXIT.attention,
    document: report,
    text: verifyReportToText(report),
  };
}
