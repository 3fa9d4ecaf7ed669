/** The demo's words, for somebody who has never heard of a write-intent log. */
import { formatSize, recoveryReportToText, type CreateReport, type RecoveryReport } from '../../index';
import type { Output } from '../output';
import { count, duration, number, share, shellQuote, wrap } from '../words';
import { MAXIMUM_ROUNDS, type DemoFiles, type DemoObserver, type Round, isRight } from './rounds';
import type { LoadResult } from './load';
import { WRITERS } from './pattern';

const WIDTH = 92;
const INDENT = '   ';

export class Story implements DemoObserver {
  private step = 0;
  private size = 0;
  private liveLineShown = false;

  constructor(private readonly output: Output) {}

  begin(folder: string, size: number, note: string | null): void {
    this.size = size;
    this.title('Make a mirror');
    this.say(
      `Two files of ${formatSize(size)} each stand for two disks, the master and its slave. A third, small file is the ` +
        `log. They are in ${folder}${note === null ? '' : ` ${note}`}.`,
    );
  }

  created(report: CreateReport): void {
    this.size = report.size;
    this.say(`Made in ${duration(report.durationMs)}; both images hold the same ${formatSize(report.size)}.`);
  }

  loadBegins(round: number): void {
    this.title(round === 1 ? 'Write, and kill it in the middle' : `Once more (try ${round} of ${MAXIMUM_ROUNDS})`);
    this.say(
      `Another process writes to the mirror at random places, ${WRITERS} writes at a time. Each goes to both images at ` +
        'once; one of the two is always a little earlier.',
    );
  }

  loadTick(writes: number, elapsedMs: number): void {
    if (!this.output.narrationIsTerminal || elapsedMs === 0) return;
    this.liveLineShown = true;
    this.output.liveLine(`${INDENT}${number(writes)} writes, ${number(perSecond(writes, elapsedMs))} a second`);
  }

  killed(load: LoadResult): void {
    if (this.liveLineShown) this.output.liveLine('');
    this.liveLineShown = false;
    this.say(
      `Killed (SIGKILL) after ${duration(load.durationMs)}, with no chance to finish anything: ${count(load.writes, 'write')} ` +
        `had been acknowledged, ${number(perSecond(load.writes, load.durationMs))} a second.`,
    );
  }

  assessed({
    broken,
    liveIntents,
    bytesCovered,
  }: Pick<Round, 'liveIntents' | 'bytesCovered' | 'extents' | 'broken'>): void {
    this.title('Look at the damage');
    this.say(
      broken.bytesDiffered === 0
        ? `The two images, compared byte for byte, are equal this time: the kill fell between two writes. That is luck, and ` +
            'nobody could know it without comparing everything.'
        : `The two images, compared byte for byte, DIFFER in ${count(broken.bytesDiffered, 'byte')} at ` +
            `${count(broken.unitsDiffered, 'place')} of 4 KiB: writes that had reached one and not yet the other.`,
    );
    this.say(
      `Without a log all ${formatSize(this.size)} would have to be compared or copied to be sure. The log names ` +
        `${formatSize(bytesCovered)} (${share(bytesCovered, this.size)}) by ${count(liveIntents, 'live intent')}: all that could differ, written down ` +
        `before each write began.${this.outsideInWords(broken.bytesDifferedOutside, broken.bytesDiffered)}`,
    );
  }

  recovered(report: RecoveryReport): void {
    this.title('Recover');
    this.say(
      'Only what the log names is copied from the master to the slave. This is what `blockmirror recover` does:',
    );
    this.output.narrate(indented(recoveryReportToText(report)));
  }

  checked(round: Round): void {
    const { repaired, acknowledged } = round;
    this.title('Check, without trusting the mirror');
    this.say(
      repaired.bytesDiffered === 0
        ? `All ${formatSize(repaired.bytesCompared)} of both images compared with plain file reads: equal.`
        : `All ${formatSize(repaired.bytesCompared)} of both images compared with plain file reads: ${count(repaired.bytesDiffered, 'byte')} DIFFER.`,
    );
    this.say(
      acknowledged.unitsLost === 0
        ? `Every write that had been acknowledged is there: ${count(acknowledged.unitsChecked, 'place')} read back and checked.`
        : `${count(acknowledged.unitsLost, 'place')} of ${number(acknowledged.unitsChecked)} LOST an acknowledged write.`,
    );
  }

  end(rounds: readonly Round[], files: DemoFiles, kept: boolean): string {
    const right = rounds.every(isRight);
    const lines = [this.verdict(rounds, right)];
    if (kept) lines.push('', keptInWords(files, this.size));
    else lines.push('', 'The files are removed.');
    return `\n${lines.join('\n')}`;
  }

  private verdict(rounds: readonly Round[], right: boolean): string {
    if (!right)
      return this.output.paint(
        'red',
        'The demo FAILED. That is a bug in blockmirror: please report it with the output above.',
      );
    const last = rounds[rounds.length - 1] as Round;
    const luck =
      last.broken.bytesDiffered === 0
        ? ` (In ${rounds.length} kills none left a difference to repair; that happens.)`
        : '';
    return wrap(
      `${this.output.paint('green', 'Done.')} Before a write touched either image, the log held where it would go. So after the kill ` +
        `${formatSize(last.bytesCovered)} were copied instead of ${formatSize(this.size)}, in ${duration(last.report.durationMs)}, and the ` +
        `images are equal again.${luck}`,
      WIDTH,
    );
  }

  private outsideInWords(outside: number, differing: number): string {
    if (differing === 0) return '';
    return outside === 0
      ? ' Every differing byte lies inside.'
      : ` ${count(outside, 'differing byte')} lie OUTSIDE of it.`;
  }

  private title(text: string): void {
    this.step += 1;
    this.output.narrate(`\n${this.output.paint('bold', `${this.step}. ${text}`)}`);
  }

  private say(text: string): void {
    this.output.narrate(wrap(text, WIDTH, INDENT));
  }
}

function perSecond(writes: number, elapsedMs: number): number {
  return Math.round((writes / Math.max(elapsedMs, 1)) * 1000);
}

function indented(text: string): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? '' : INDENT + line))
    .join('\n');
}

function keptInWords({ log, master, slave }: DemoFiles, size: number): string {
  return [
    'The files are kept. To look at them:',
    `  npx blockmirror status ${shellQuote(log)}`,
    `  npx blockmirror log ${shellQuote(log)}`,
    `  npx blockmirror verify ${shellQuote(log)}`,
    `  cmp -n ${size} ${shellQuote(master)} ${shellQuote(slave)}    (the last MiB of each is its own label)`,
    `  rm -r ${shellQuote(log.slice(0, log.lastIndexOf('/')))}`,
  ].join('\n');
}
