/** `blockmirror verify LOG`: compares every byte of the slaves with the master. */
import {
  type Extent,
  type Progress,
  type VerifyFromOptions,
  type VerifyFromReport,
  type VerifyOptions,
  type VerifyReport,
  formatSize,
  verify,
  verifyFromReportToText,
  verifyReportToText,
} from '../../index';
import { EXIT } from '../exit_codes';
import { interruptible } from '../interrupt';
import { onMirror } from '../living';
import type { Outcome, Output } from '../output';
import { inFlags } from '../spelling';
import { list, wrap } from '../words';
import { commandLine, imagesOf, presenceOf, type OpeningChoice, type Presence } from './shared';

export interface VerifyChoice extends OpeningChoice {
  all?: boolean;
  repair?: boolean;
  /** Bytes a second. */
  rate?: number;
  /** Byte of the mirror to begin at. */
  position?: number;
  /** A slave whose content of `extent` is taken. */
  from?: string;
  extent?: Extent;
  overwriteMaster?: boolean;
}

export async function verifyCommand(output: Output, log: string, options: VerifyChoice): Promise<Outcome> {
  if (options.from !== undefined || options.extent !== undefined || options.overwriteMaster === true)
    return verifyFromCommand(output, log, options);
  let last: Progress | null = null;
  const onProgress = (progress: Progress): void => {
    last = progress;
    output.progress.listener(progress);
  };
  const chosen = {
    all: options.all === true,
    repair: options.repair === true,
    position: options.position ?? 0,
    ...(options.rate === undefined ? {} : { rate: options.rate }),
    onProgress,
  };
  const report = await interruptible(
    () => stopped(last, log, options),
    output,
    (signal) =>
      onMirror(
        log,
        { options, output, signal },
        {
          living: (mirror) => mirror.verify({ ...chosen, signal }),
          here: () => verify(log, { ...chosen, ...openingOf(options), signal }),
        },
      ),
  );
  return {
    exitCode: isWell(report, options) ? EXIT.done : EXIT.attention,
    document: report,
    text: verifiedToText(report, log, options, output),
  };
}

function openingOf(
  options: VerifyChoice,
): Pick<VerifyOptions, 'takeOver' | 'trustFolders' | 'device' | 'images'> & Presence {
  return {
    takeOver: options.takeOver === true,
    trustFolders: options.trustFolders === true,
    device: options.device,
    ...presenceOf(options),
    ...imagesOf(options),
  };
}

async function verifyFromCommand(output: Output, log: string, options: VerifyChoice): Promise<Outcome> {
  const { from, extent, all, repair, rate, position } = options;
  // What is missing or does not go together the library says.
  const chosen = {
    from: from as string,
    extent: extent as Extent,
    overwriteMaster: options.overwriteMaster === true,
    ...({ all: all === true, repair: repair === true, ...(rate === undefined ? {} : { rate }) } as object),
    ...(position === undefined ? {} : { position }),
  };
  let bytesDone = 0;
  const onProgress = (progress: Progress): void => {
    if (progress.step === 'copy') bytesDone = progress.bytesDone;
    output.progress.listener(progress);
  };
  const report = await interruptible(
    () =>
      `The first ${bytesDone} bytes of the extent, or up to 1 MiB more, are what ${from} holds; the rest is as it was.`,
    output,
    (signal) => {
      const how = { ...chosen, onProgress, signal };
      return onMirror<VerifyFromReport>(
        log,
        { options, output, signal },
        {
          living: (mirror) => mirror.verify(how),
          here: () => {
            const opening: VerifyFromOptions = { ...how, ...openingOf(options) };
            return verify(log, opening);
          },
        },
      );
    },
  );
  const next = `Next: ${commandLine('verify', log, options)} says whether all images are equal.`;
  return {
    exitCode: EXIT.done,
    document: report,
    text: `${wrap(inFlags(verifyFromReportToText(report)), output.lineWidth)}\n\n${wrap(next, output.width)}`,
  };
}

export function verifiedToText(report: VerifyReport, log: string, options: VerifyChoice, output: Output): string {
  const words = wrap(inFlags(verifyReportToText(report)), output.lineWidth);
  return `${words}\n\n${wrap(nextStep(report, log, options), output.width)}`;
}

/** What it was asked to compare was compared, and is equal. */
function isWell({ result, position, slaves }: VerifyReport, options: VerifyChoice): boolean {
  if (result === 'identical' || result === 'repaired') return true;
  const begun = options.position ?? 0;
  return result === 'incomplete' && position > 0 && position <= begun && slaves.every(({ error }) => error === null);
}

function stopped(last: Progress | null, log: string, options: VerifyChoice): string {
  const position = last?.position ?? 0;
  if (last === null || position === 0) return 'Nothing was compared; nothing was changed.';
  const chosen = [
    ...(options.all === true ? ['--all'] : []),
    ...(options.repair === true ? ['--repair'] : []),
    ...(options.rate === undefined ? [] : ['--rate', `${options.rate}`]),
  ];
  const found =
    options.repair === true
      ? 'What was found different is copied from the master, or owed: the next resync copies it'
      : 'What was found different is remembered (blockmirror status shows it); nothing else was changed';
  const goesOn = commandLine('verify', log, options, '--position', `${position}`, ...chosen);
  return `${formatSize(last.bytesDone)} of ${formatSize(last.bytesTotal)} were compared. ${found}. It goes on with ${goesOn}`;
}

function nextStep(report: VerifyReport, log: string, options: VerifyChoice): string {
  const names = (wanted: (slave: VerifyReport['slaves'][number]) => boolean): string =>
    list(report.slaves.filter(wanted).map(({ name }) => name));
  const real = names(
    ({ bytesDiffered, bytesExpected, bytesRepaired }) =>
      (bytesDiffered ?? 0) > (bytesExpected ?? 0) + (bytesRepaired ?? 0),
  );
  if (!report.clean) {
    const rest = real === '' ? '' : `; what differs in ${real} outside of the live intents stays, so verify again then`;
    return `Next: ${commandLine('recover', log, options)}${rest}`;
  }
  if (real !== '') {
    const doubt = report.differences.some(({ agreesWith }) => agreesWith.length > 0)
      ? 'find out first which of the images is right; '
      : '';
    return (
      `Next: ${doubt}${commandLine('verify', log, options, '--repair')} copies it from the master. That ${real} differs is ` +
      `remembered until then, or until a verify finds it equal.`
    );
  }
  const missing = names(({ error }) => error !== null);
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
