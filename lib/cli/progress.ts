/**
 * Progress of long work as a bar, on a terminal only: a log file or a pipe gets no control characters.
 */
import { Presets, SingleBar } from 'cli-progress';
import type { Progress, ProgressListener, ProgressStep } from '../index';
import { formatSize } from '../index';
import { duration } from './words';

const STEP_WORDS: Record<ProgressStep, string> = {
  waitForImages: 'Waiting for images',
  prepare: 'Preparing files',
  format: 'Formatting',
  scan: 'Reading the log',
  copy: 'Copying',
  compare: 'Comparing',
  retire: 'Retiring intents',
  resync: 'Resyncing',
};
/** Columns of the bar; and of a line with it, when every number is at its longest. */
const BAR = 24;
const FULL_LINE = 104;
const LABEL_WIDTH = Math.max(...Object.values(STEP_WORDS).map((word) => word.length));

export interface ProgressDisplay {
  listener: ProgressListener;
  /** Removes what is on the screen; call it before other words are printed. */
  stop(): void;
}

export function progressDisplay(terminal: boolean): ProgressDisplay {
  return terminal ? new ProgressBars() : SILENT;
}

const SILENT: ProgressDisplay = { listener: () => undefined, stop: () => undefined };

class ProgressBars implements ProgressDisplay {
  private bar: SingleBar | null = null;
  private step: ProgressStep | null = null;
  private startedAt = 0;

  constructor() {
    // The bar hides the cursor and switches line wrapping off; no way out of the process may leave it so.
    process.on('exit', () => this.stop());
  }

  readonly listener = (progress: Progress): void => {
    if (progress.step !== this.step || this.bar === null) this.begin(progress);
    this.bar?.update(progress.bytesDone, this.payload(progress));
  };

  stop(): void {
    this.bar?.stop();
    this.bar = null;
    this.step = null;
  }

  private begin(progress: Progress): void {
    this.stop();
    this.step = progress.step;
    this.startedAt = Date.now();
    const sized = progress.bytesTotal > 0;
    this.bar = new SingleBar(
      {
        format: sized ? '{label} {bar} {percentage}% · {done} of {whole} · {rate}/s · {left}' : '{label} …',
        stream: process.stderr,
        barsize: BAR - Math.min(BAR - 4, Math.max(0, FULL_LINE - (process.stderr.columns || FULL_LINE))),
        hideCursor: true,
        clearOnComplete: true,
        // Ours (interrupt.ts) says what stopping means before anything is torn down.
        gracefulExit: false,
      },
      Presets.shades_classic,
    );
    this.bar.start(Math.max(progress.bytesTotal, 1), progress.bytesDone, this.payload(progress));
  }

  private payload(progress: Progress): Record<string, string> {
    const elapsed = Math.max(Date.now() - this.startedAt, 1);
    const rate = (progress.bytesDone / elapsed) * 1000;
    const left = rate > 0 ? ((progress.bytesTotal - progress.bytesDone) / rate) * 1000 : NaN;
    return {
      label: STEP_WORDS[progress.step].padEnd(LABEL_WIDTH),
      done: formatSize(progress.bytesDone),
      whole: formatSize(progress.bytesTotal),
      rate: formatSize(Math.round(rate)),
      left: Number.isFinite(left) ? `${duration(left)} left` : '',
    };
  }
}
