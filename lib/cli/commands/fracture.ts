/** `blockmirror fracture LOG IMAGE...`: takes slaves out at one point in time, a backup. */
import { type FractureReport, type MirrorClient, fracture, fractureReportToText } from '../../index';
import { EXIT } from '../exit_codes';
import { interruptible } from '../interrupt';
import { onMirror } from '../living';
import type { Outcome, Output } from '../output';
import { inFlags } from '../spelling';
import { list, wrap } from '../words';
import { commandLine, imagesOf, presenceOf, type OpeningChoice } from './shared';

export interface FractureArguments extends OpeningChoice {
  detach?: boolean;
}

const STOPPED = 'Nothing was fractured.';
const GOES_ON = 'Where it was asked for already, it is done all the same: status says whether the slaves are behind.';

export async function fractureCommand(
  output: Output,
  log: string,
  slaves: readonly string[],
  options: FractureArguments,
): Promise<Outcome> {
  const detach = options.detach === true;
  let isLiving = false;
  const meaning = (): string => (isLiving ? GOES_ON : STOPPED);
  const report = await interruptible(meaning, output, (signal) =>
    onMirror(
      log,
      { options, output, signal },
      {
        living: (mirror) => {
          isLiving = true;
          return untilStopped(mirror, mirror.fracture(slaves, { detach }), signal);
        },
        here: () =>
          fracture(log, {
            slaves,
            detach,
            takeOver: options.takeOver === true,
            trustFolders: options.trustFolders === true,
            device: options.device,
            ...presenceOf(options),
            ...imagesOf(options),
            onProgress: output.progress.listener,
            signal,
          }),
      },
    ),
  );
  const text = wrap(inFlags(fractureReportToText(report)), output.lineWidth);
  return {
    exitCode: report.common ? EXIT.done : EXIT.attention,
    document: report,
    text: `${text}\n\n${wrap(nextStep(report, log, options), output.width)}`,
  };
}

/** A fracture has no point at which it can be stopped: its caller ceases to wait. */
async function untilStopped<T>(mirror: MirrorClient, work: Promise<T>, signal: AbortSignal): Promise<T> {
  const leave = (): void => mirror.close();
  signal.addEventListener('abort', leave);
  try {
    return await work;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

function nextStep({ common, slaves }: FractureReport, log: string, options: FractureArguments): string {
  const names = list(slaves.map(({ name }) => name));
  const back = `${commandLine('resync', log, options)} takes ${names} back, and copies what was written meanwhile.`;
  if (common) return `Next: nothing has to be done; ${back}`;
  return `Next: for a common point in time see to what is named above; ${back} Then run fracture again.`;
}
