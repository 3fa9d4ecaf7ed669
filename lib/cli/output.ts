/**
 * Where words go. Text mode: the answer on stdout. --json: exactly one JSON document on stdout. All else (progress,
 * notes, errors) on stderr, so that stdout can always be piped.
 *
 * What comes from a disk or a path is shown, never sent: only the colours that paint() made reach a terminal (colours.ts).
 *
 * A reader that goes away (`| head`) is no error of ours: EPIPE is quiet and work goes on, since stopping in the
 * middle because nobody reads the report would be the greater surprise.
 */
import { shownJson } from '../base/shown';
import { type Colour, forScreen, painted } from './colours';
import { EXIT, type ExitCode } from './exit_codes';
import { progressDisplay, type ProgressDisplay } from './progress';

export interface Outcome {
  exitCode: ExitCode;
  /** With --json. */
  document: unknown;
  /** Without. */
  text: string;
  /** All of it was written already, line by line. */
  told?: boolean;
}

/** Of text that is not on a terminal; and the most that is readable on one. */
const WIDTH = 100;
const LARGEST_WIDTH = 120;
const SMALLEST_WIDTH = 40;

function widthOf(stream: NodeJS.WriteStream): number {
  const { columns, isTTY } = stream as { columns?: number; isTTY?: boolean };
  if (isTTY !== true || columns === undefined || columns === 0) return WIDTH;
  return Math.min(Math.max(columns, SMALLEST_WIDTH), LARGEST_WIDTH);
}

/**
 * The answer is lost (a full disk): one line about it, and the exit code of a failure whatever the command's own is. Where
 * even that line cannot be written the code alone tells.
 */
function writingFailed(stream: NodeJS.WriteStream, error: NodeJS.ErrnoException): void {
  if (stream === process.stdout) {
    process.stderr.write(`blockmirror: the output could not be written: ${forScreen(error.message)}\n`);
  }
  process.on('exit', () => {
    process.exitCode = EXIT.failed;
  });
}

export class Output {
  /** Long work reports here; any other word takes the bar off the screen first. */
  readonly progress: ProgressDisplay;
  private hasLiveLine = false;

  constructor(readonly json: boolean) {
    this.progress = progressDisplay(process.stderr.isTTY === true);
    for (const stream of [process.stdout, process.stderr]) {
      stream.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPIPE') writingFailed(stream, error);
      });
    }
  }

  /** The one answer of a command. */
  answer(outcome: Outcome): void {
    this.clearScreen();
    if (outcome.told === true) return;
    process.stdout.write(
      `${this.json ? shownJson(JSON.stringify(outcome.document, null, 2)) : forScreen(outcome.text)}\n`,
    );
  }

  /** A running account: part of the answer in text mode, and on stderr beside a JSON document. */
  narrate(text: string): void {
    this.clearScreen();
    (this.json ? process.stderr : process.stdout).write(`${forScreen(text)}\n`);
  }

  note(text: string): void {
    this.clearScreen();
    process.stderr.write(`${forScreen(text)}\n`);
  }

  /** Columns of the answer. */
  get width(): number {
    return widthOf(this.narration);
  }

  /** Columns of what goes to stderr. */
  get noteWidth(): number {
    return widthOf(process.stderr);
  }

  /** Of lines that a program may read: broken on a terminal only. */
  get lineWidth(): number {
    return this.narrationIsTerminal ? this.width : Infinity;
  }

  get noteLineWidth(): number {
    return process.stderr.isTTY === true ? this.noteWidth : Infinity;
  }

  get isTerminal(): boolean {
    return this.narrationIsTerminal;
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
    this.narration.write(`\r\u001b[K${forScreen(text).slice(0, this.width - 1)}`);
    this.hasLiveLine = true;
  }

  private clearScreen(): void {
    this.progress.stop();
    if (this.hasLiveLine) this.narration.write('\r\u001b[K');
    this.hasLiveLine = false;
  }

  paint(colour: Colour, text: string): string {
    if (!this.narrationIsTerminal || process.env['NO_COLOR'] !== undefined) return text;
    return painted(colour, text);
  }
}
