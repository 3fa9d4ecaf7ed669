/** `blockmirror resync LOG [IMAGE...]`: takes slaves back that are out, and copies what they miss. */
import { type MirrorClient, type ResyncReport, resync, resyncReportToText } from '../../index';
import { shown } from '../../base/shown';
import { EXIT } from '../exit_codes';
import { interruptible } from '../interrupt';
import { UsageError } from '../failure';
import { onLiving, onMirror } from '../living';
import type { Outcome, Output } from '../output';
import { inFlags } from '../spelling';
import { list, wrap } from '../words';
import { commandLine, imagesOf, presenceOf, type OpeningChoice } from './shared';

export interface ResyncArguments extends OpeningChoice {
  /** Bytes a second. */
  rate?: number | 'auto';
  full?: boolean;
  compare?: boolean;
  /** Of a mirror that is open. */
  pause?: boolean;
  resume?: boolean;
}

const STOPPED =
  'What was copied counts, and the slaves are synchronizing: run resync again, and it goes on from there.';

export async function resyncCommand(
  output: Output,
  log: string,
  slaves: readonly string[],
  options: ResyncArguments,
): Promise<Outcome> {
  if (options.pause === true || options.resume === true) return pauseCommand(output, log, slaves, options);
  const how = {
    ...(options.rate === undefined ? {} : { rate: options.rate }),
    full: options.full === true,
    compare: options.compare === true,
    onProgress: output.progress.listener,
  };
  const report = await interruptible(STOPPED, output, (signal) =>
    onMirror(
      log,
      { options, output, signal },
      {
        living: (mirror) => mirror.resync(slaves.length === 0 ? null : slaves, { ...how, signal }),
        here: () =>
          resync(log, {
            ...(slaves.length === 0 ? {} : { slaves }),
            ...how,
            takeOver: options.takeOver === true,
            trustFolders: options.trustFolders === true,
            device: options.device,
            ...presenceOf(options),
            ...imagesOf(options),
            signal,
          }),
      },
    ),
  );
  return {
    exitCode: report.inSync ? EXIT.done : EXIT.attention,
    document: report,
    text: `${wrap(inFlags(resyncReportToText(report)), output.lineWidth)}\n\n${wrap(nextStep(report, log, options), output.width)}`,
  };
}

/** What cannot be said together with --pause or --resume, which are of every resync of the mirror, and begin none. */
const OF_A_RESYNC = ['rate', 'full', 'compare'] as const;

async function pauseCommand(
  output: Output,
  log: string,
  slaves: readonly string[],
  options: ResyncArguments,
): Promise<Outcome> {
  const pause = options.pause === true;
  const given = OF_A_RESYNC.filter((name) => options[name] !== undefined).map((name) => `--${name}`);
  const besides = [...(slaves.length === 0 ? [] : ['the names of slaves']), ...given];
  if (besides.length > 0) {
    throw new UsageError(
      `${pause ? '--pause' : '--resume'} takes nothing besides: ${list(besides)}`,
      'It is of every resync of the mirror; leave the rest out',
    );
  }
  const act = async (mirror: MirrorClient): Promise<{ uuid: string; log: string; resyncPaused: boolean | null }> => {
    await (pause ? mirror.pauseResync() : mirror.resumeResync());
    const { uuid, resyncPaused } = await mirror.status();
    return { uuid, log, resyncPaused };
  };
  const document = await interruptible('', output, (signal) => onLiving(log, { options, output, signal }, act));
  const done = pause
    ? `A resync of mirror ${shown(log)} waits after its step under way, and so does any to come. While the mirror is open.`
    : `Resyncs of mirror ${shown(log)} go on.`;
  const next = pause
    ? `Next: ${commandLine('resync', log, options, '--resume')} lets it go on.`
    : `Next: ${commandLine('watch', log, options)} shows how far they are.`;
  return {
    exitCode: EXIT.done,
    document,
    text: `${wrap(done, output.lineWidth)}\n\n${wrap(next, output.width)}`,
  };
}

function nextStep(report: ResyncReport, log: string, options: ResyncArguments): string {
  const out = list(report.slaves.filter(({ error }) => error !== null).map(({ name }) => name));
  if (out === '') return 'Next: nothing to do.';
  return `Next: see to ${out}, for the reason named above; then ${commandLine('resync', log, options)} goes on.`;
}
