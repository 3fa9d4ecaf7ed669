/** `blockmirror create`: formats the log and the images, and copies the master to its slaves. */
import { Mirror, formatSize, type CreateReport, type PolicyOptions } from '../../index';
import { ownOf } from '../../base/intrinsics';
import { shown } from '../../base/shown';
import { EXIT } from '../exit_codes';
import { interruptible } from '../interrupt';
import { parseImageChoice } from '../options';
import type { Outcome, Output } from '../output';
import { duration, facts } from '../words';
import { commandLine, imageTable, type DeviceChoice, type TrustFolders } from './shared';

export interface CreateArguments extends DeviceChoice, TrustFolders {
  log: string;
  master: string;
  slave: string[];
  size?: number;
  maxImages?: number;
  minInSync?: number;
  rejoin?: 'auto' | 'manual';
  deviceTimeout?: number;
  waitForImages?: number;
  resyncRate?: number | 'auto';
  assumeIdentical?: boolean;
  keepData?: boolean;
  overwriteSignature?: boolean;
  takeOver?: boolean;
  acceptStale?: string;
  readBack: boolean;
}

const STOPPED = 'There is no mirror yet; run the same create again.';

export async function createCommand(output: Output, options: CreateArguments): Promise<Outcome> {
  const report = await interruptible(STOPPED, output, (signal) =>
    Mirror.create({
      log: options.log,
      master: parseImageChoice(options.master),
      slaves: options.slave.map(parseImageChoice),
      ...(options.size === undefined ? {} : { size: options.size }),
      ...(options.maxImages === undefined ? {} : { maxImages: options.maxImages }),
      ...policiesGiven(options),
      assumeIdentical: options.assumeIdentical === true,
      keepData: options.keepData === true,
      overwriteSignature: options.overwriteSignature === true,
      takeOver: options.takeOver === true,
      trustFolders: options.trustFolders === true,
      ...(options.acceptStale === undefined ? {} : { acceptStale: options.acceptStale }),
      readBack: options.readBack,
      device: options.device,
      onProgress: output.progress.listener,
      signal,
    }),
  );
  return { exitCode: EXIT.done, document: report, text: createdToText(report, options, output) };
}

function policiesGiven(options: CreateArguments): PolicyOptions {
  const { minInSync, rejoin, deviceTimeout, waitForImages, resyncRate } = ownOf(options);
  return {
    ...(minInSync === undefined ? {} : { minInSync }),
    ...(rejoin === undefined ? {} : { rejoin }),
    ...(deviceTimeout === undefined ? {} : { deviceTimeout }),
    ...(waitForImages === undefined ? {} : { waitForImages }),
    ...(resyncRate === undefined ? {} : { resyncRate }),
  };
}

export function createdToText(report: CreateReport, options: CreateArguments, output: Output): string {
  const trust = { trustFolders: options.trustFolders === true };
  return [
    facts([
      ['Mirror', report.uuid],
      ['Log', shown(report.log)],
      ['Size', `${formatSize(report.size)}, in blocks of ${formatSize(report.blockSize)}`],
      ['Copied', copiedInWords(report, options)],
    ]),
    '',
    imageTable(report.images, output),
    '',
    options.assumeIdentical === true
      ? `Next: ${commandLine('verify', options.log, trust)} compares the images that were taken to be identical.`
      : `The mirror is ready: Mirror.open(${JSON.stringify(options.log)}), or ${commandLine('status', options.log, trust)}`,
  ].join('\n');
}

function copiedInWords(report: CreateReport, options: CreateArguments): string {
  if (options.assumeIdentical === true) return 'nothing: the images were said to be identical';
  const proof = report.readBack ? 'read back and found equal' : 'not read back';
  return `${formatSize(report.bytesCopied)} to the slaves in ${duration(report.durationMs)}, ${proof}`;
}
