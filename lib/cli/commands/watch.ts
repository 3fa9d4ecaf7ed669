/**
 * `blockmirror watch LOG`: what a mirror does, as it happens, until Ctrl-C. On a terminal a picture that is drawn over itself; on a
 * pipe a line for each event. `status --follow` gives the same events, with --json as a document a line.
 *
 * Invariant: however it ends, the terminal has its cursor and its screen back.
 */
import type { Status } from '../../index';
import { shownJson } from '../../base/shown';
import { forScreen } from '../colours';
import { EXIT } from '../exit_codes';
import { UsageError } from '../failure';
import { lookUntilStopped } from '../looks';
import type { Outcome, Output } from '../output';
import { type ToldEvent, eventToLine, pictureToLines } from '../watch_view';
import { imagesOf, type ImagePaths, type TrustFolders } from './shared';

type WatchArguments = ImagePaths & TrustFolders;

const DONE: Outcome = { exitCode: EXIT.done, document: null, text: '', told: true };
/** More than any terminal has lines. */
const KEPT_EVENTS = 200;

const lookOptions = (options: WatchArguments): { trustFolders: boolean } => ({
  ...imagesOf(options),
  trustFolders: options.trustFolders === true,
});

export async function watchCommand(output: Output, log: string, options: WatchArguments): Promise<Outcome> {
  if (output.json) throw new UsageError('A picture is no JSON', 'Use `blockmirror status LOG --json --follow`');
  if (process.stdout.isTTY !== true) return followCommand(output, log, options);
  const screen = new Screen(output);
  try {
    await lookUntilStopped(log, lookOptions(options), (status, events) => {
      const at = new Date().toISOString();
      screen.show(
        status,
        events.map((event) => ({ at, event })),
      );
    });
  } finally {
    screen.restore();
  }
  return DONE;
}

export async function followCommand(output: Output, log: string, options: WatchArguments): Promise<Outcome> {
  await lookUntilStopped(log, lookOptions(options), (_, events) => {
    const at = new Date().toISOString();
    for (const event of events) {
      const line = output.json ? shownJson(JSON.stringify({ at, ...event })) : forScreen(eventToLine(at, event));
      process.stdout.write(`${line}\n`);
    }
  });
  return DONE;
}

/** The alternate screen of a terminal. */
class Screen {
  private readonly events: ToldEvent[] = [];
  private readonly mostOwed = new Map<string, number>();
  private status: Status | null = null;
  private begun = false;
  private readonly draw = (): void => this.drawNow();
  private readonly atExit = (): void => this.restore();

  constructor(private readonly output: Output) {}

  show(status: Status, events: readonly ToldEvent[]): void {
    this.begin();
    this.status = status;
    this.events.push(...events);
    this.events.splice(0, this.events.length - KEPT_EVENTS);
    for (const { name, bytesOwed } of status.images) {
      // A debt that is paid begins anew with the next one.
      const most = bytesOwed === 0 ? 0 : Math.max(this.mostOwed.get(name) ?? 0, bytesOwed ?? 0);
      this.mostOwed.set(name, most);
    }
    this.drawNow();
  }

  restore(): void {
    if (!this.begun) return;
    this.begun = false;
    process.stdout.off('resize', this.draw);
    process.off('exit', this.atExit);
    process.stdout.write('\u001b[?25h\u001b[?1049l');
  }

  private begin(): void {
    if (this.begun) return;
    this.begun = true;
    process.stdout.on('resize', this.draw);
    process.on('exit', this.atExit);
    process.stdout.write('\u001b[?1049h\u001b[?25l');
  }

  private drawNow(): void {
    if (this.status === null || !this.begun) return;
    const lines = pictureToLines({
      status: this.status,
      events: this.events,
      columns: process.stdout.columns || 80,
      rows: process.stdout.rows || 24,
      mostOwed: this.mostOwed,
      paint: (colour, text) => this.output.paint(colour, text),
    });
    const drawn = lines.map((line) => `${forScreen(line)}\u001b[K`).join('\r\n');
    process.stdout.write(`\u001b[H${drawn}\u001b[J`);
  }
}
