/** The demo's words, for somebody who has never heard of a write-intent log. */
import { formatSize, type CreateReport, type RecoveryReport } from '../../index';
import type { Output } from '../output';
import { count, duration, facts, number, share, wrap } from '../words';
import { shellQuote } from '../../base/shell';
import { shown } from '../../base/shown';
import type { LoadResult } from './load';
import { WRITERS } from './pattern';
import { MAXIMUM_ROUNDS, isRight, type DemoFiles, type DemoObserver, type Round } from './rounds';

const LARGEST_WIDTH = 92;
const INDENT = '   ';

export class Story implements DemoObserver {
  private step = 0;
  private size = 0;
  private round = 0;
  private load: LoadResult | null = null;
  /** Of a kill that left the images equal and is not the last: told in brief, since another follows. */
  private brief = false;

  constructor(private readonly output: Output) {}

  private get width(): number {
    return Math.min(this.output.width, LARGEST_WIDTH);
  }

  begin(folder: string, imageSize: number, note: string | null): void {
    this.title('Make a mirror');
    this.say(
      `Two files of ${formatSize(imageSize)} each stand for two disks, the master and its slave. A third, small file is ` +
        `the log. They are in ${shown(folder)}${note === null ? '' : ` ${note}`}.`,
    );
  }

  created(report: CreateReport): void {
    this.size = report.size;
    this.say(`Made in ${duration(report.durationMs)}: both images hold the same ${formatSize(report.size)}.`);
  }

  loadBegins(round: number, withThreads: boolean): void {
    this.round = round;
    if (round === 1) {
      this.title('Write, and kill it in the middle');
      this.say(
        `Another process writes to the mirror at random places, ${WRITERS} writes at a time. Each write goes to both ` +
          'images at once, and one of the two has it a little earlier.',
      );
    } else if (round === 2 && withThreads) {
      this.say(
        'io_uring hands both writes of a pair to the kernel in one call, and the kernel finishes them even when the process ' +
          'is killed; it would take a power failure to part them. So again, with plain threads, where a kill can do it.',
      );
    }
  }

  loadTick(writes: number, elapsedMs: number): void {
    if (elapsedMs > 0)
      this.output.liveLine(`${INDENT}${number(writes)} writes, ${number(perSecond(writes, elapsedMs))} a second`);
  }

  killed(load: LoadResult): void {
    this.load = load;
    if (this.round === 1) this.say(killInWords(load));
  }

  assessed({ broken, liveIntents, bytesCovered }: Pick<Round, 'liveIntents' | 'bytesCovered' | 'broken'>): void {
    const equal = broken.bytesDiffered === 0;
    this.brief = equal && this.round < MAXIMUM_ROUNDS;
    if (this.brief) return;
    if (this.round > 1 && this.load !== null) this.say(killInWords(this.load));
    this.title('Look at the damage');
    this.say(
      equal
        ? 'The images, compared byte for byte, are equal once more: every kill fell between two writes.'
        : `The images, compared byte for byte, DIFFER in ${count(broken.bytesDiffered, 'byte')} at ` +
            `${count(broken.unitsDiffered, 'place')}: writes that had reached one of them and not yet the other.`,
    );
    this.say(
      `Without a log, all ${formatSize(this.size)} would have to be copied, or compared, to be sure. The log names ` +
        `${formatSize(bytesCovered)} (${share(bytesCovered, this.size)}) by ${count(liveIntents, 'live intent')}, each written down before its ` +
        `write began.${outsideInWords(broken.bytesDifferedOutside, broken.bytesDiffered)}`,
    );
  }

  recovered(report: RecoveryReport): void {
    const time = duration(report.durationMs);
    if (this.brief) {
      this.say(this.luckInWords(report, time));
      return;
    }
    this.title('Recover');
    this.say('What the log names is copied from the master to the slave; `blockmirror recover` does just that.');
    const [slave] = report.slaves;
    const lines = facts([
      ['live intents', `${number(report.liveIntents)}, merged into ${count(report.extents.length, 'extent')}`],
      ['copied', `${formatSize(report.bytesCopied)}, of which ${count(slave?.bytesDiffered ?? 0, 'byte')} differed`],
      ['time', `${time}, with reading back and comparing what was copied`],
      ['slave', slave?.state ?? 'missing'],
    ]);
    this.output.narrate(lines.replace(/^/gm, INDENT + INDENT));
  }

  checked(round: Round): void {
    const { repaired, acknowledged } = round;
    if (this.brief && isRight(round)) return;
    this.title('Check, without trusting the mirror');
    const compared = `All ${formatSize(repaired.bytesCompared)} of both images, compared with plain file reads`;
    this.say(
      repaired.bytesDiffered === 0
        ? `${compared}: equal.`
        : `${compared}: ${count(repaired.bytesDiffered, 'byte')} DIFFER.`,
    );
    this.say(
      acknowledged.unitsLost === 0
        ? `Every write that was acknowledged before a kill is there: ${count(acknowledged.unitsChecked, 'place')} read back and checked.`
        : `${count(acknowledged.unitsLost, 'place')} of ${number(acknowledged.unitsChecked)} LOST an acknowledged write.`,
    );
  }

  end(rounds: readonly Round[], files: DemoFiles, kept: boolean): string {
    const last = kept ? keptInWords(files, this.size) : 'The files are removed.';
    return `\n${this.verdict(rounds)}\n\n${last}`;
  }

  private verdict(rounds: readonly Round[]): string {
    if (!rounds.every(isRight))
      return this.output.paint(
        'red',
        'The demo FAILED. That is a bug in blockmirror: report it with the output above.',
      );
    const { broken, report } = rounds[rounds.length - 1] as Round;
    const luck =
      broken.bytesDiffered > 0 ? '' : ` None of ${rounds.length} kills left a difference to repair this time.`;
    const saved = report.bytesCopied < this.size ? ` instead of ${formatSize(this.size)}` : '';
    const text =
      'Done. Before a write touched either image, the log held where it would go. So after the kill ' +
      `${formatSize(report.bytesCopied)} were copied${saved}, in ${duration(report.durationMs)}, and the images are equal ` +
      `again.${luck}`;
    return wrap(text, this.width).replace('Done.', this.output.paint('green', 'Done.'));
  }

  private luckInWords(report: RecoveryReport, time: string): string {
    const copied = `${formatSize(report.bytesCopied)} copied in ${time}`;
    if (this.round === 1)
      return (
        'The images, compared byte for byte, are equal this time. Nobody could know that without comparing everything, ' +
        `so recovery did its work all the same: ${copied}.`
      );
    const writes = count(this.load?.writes ?? 0, 'write');
    return `Kill ${this.round} of at most ${MAXIMUM_ROUNDS}, after ${writes}: equal by luck; ${copied}.`;
  }

  private title(text: string): void {
    this.step += 1;
    this.output.narrate(`\n${this.output.paint('bold', `${this.step}. ${text}`)}`);
  }

  private say(text: string): void {
    this.output.narrate(wrap(text, this.width, INDENT));
  }
}

function killInWords(load: LoadResult): string {
  return (
    `Killed (SIGKILL) after ${duration(load.durationMs)}, with no chance to finish anything: ${count(load.writes, 'write')} ` +
    `acknowledged, ${number(perSecond(load.writes, load.durationMs))} a second.`
  );
}

function perSecond(writes: number, elapsedMs: number): number {
  return Math.round((writes / Math.max(elapsedMs, 1)) * 1000);
}

function outsideInWords(outside: number, differing: number): string {
  if (differing === 0) return '';
  return outside === 0
    ? ' Every differing byte lies inside.'
    : ` ${count(outside, 'differing byte')} lie OUTSIDE of it.`;
}

function keptInWords({ log, master, slave }: DemoFiles, size: number): string {
  const folder = log.slice(0, log.lastIndexOf('/'));
  return [
    'The files are kept. To look at them:',
    `  npx blockmirror status ${shellQuote(log)}`,
    `  npx blockmirror log ${shellQuote(log)}`,
    `  npx blockmirror verify ${shellQuote(log)}`,
    `  cmp -n ${size} ${shellQuote(master)} ${shellQuote(slave)}`,
    '    (beyond that each image has its own label)',
    `  rm -r ${shellQuote(folder)}`,
  ].join('\n');
}
