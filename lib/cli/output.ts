/**
 * Where words go. Text mode: the answer on stdout. --json: exactly one JSON document on stdout. All else (progress,
 * notes, errors) on stderr, so that stdout can always be piped.
 *
 * A reader that goes away (`| head`) is no error of ours: EPIPE is quiet and work goes on, since stopping in the
 * middle because nobody reads the report would be the greater surprise.
 */
import type { ExitCode } from './exit_codes';
import { progressDisplay, type ProgressDisplay } from './progress';

export interface Outcome {
  exitCode: ExitCode;
  /** With --json. */
  document: unknown;
  /** Without. */
  text: string;
}

export type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow';
const CODES: Record<Colour, readonly [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
};

export class Output {
  /** Long work reports here; any other word takes the bar off the screen first. */
  readonly progress: ProgressDisplay;
  private hasLiveLine = false;

  constructor(readonly json: boolean) {
    this.progress = progressDisplay(process.stderr.isTTY === true);
    for (const stream of [process.stdout, process.stderr]) {
      stream.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPIPE') throw error;
      });
    }
  }

  /** The one answer of a command. */
  answer(outcome: Outcome): void {
    this.clearScreen();
    process.stdout.write(`${this.json ? JSON.stringify(outcome.document, null, 2) : outcome.text}\n`);
  }

  /** A running account: part of the answer in text mode, and on stderr beside a JSON document. */
  narrate(text: string): void {
    this.clearScreen();
    (this.json ? process.stderr : process.stdout).write(`${text}\n`);
  }

  note(text: string): void {
    this.clearScreen();
    process.stderr.write(`${text}\n`);
  }

  /** The stream of narrate(). */
  private get narration(): NodeJS.WriteStream {
    return this.json ? process.stderr : process.stdout;
  }

  private get narrationIsTerminal(): boolean {
    return this.narration.isTTY === true;
  }

  /** A line that the next one overwrites, and any other word removes. Only on a terminal. */
  liveLine(text: string): void {
    if (!this.narrationIsTerminal) return;
    this.narration.write(`\r\u001b[K${text}`);
    this.hasLiveLine = true;
  }

  private clearScreen(): void {
    this.progress.stop();
    if (this.hasLiveLine) this.narration.write('\r\u001b[K');
    this.hasLiveLine = false;
  }

  paint(colour: Colour, text: string): string {
    if (!this.narrationIsTerminal || process.env['NO_COLOR'] !== undefined) return text;
    const [on, off] = CODES[colour];
    return `\u001b[${on}m${text}\u001b[${off}m`;
  }
}
