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
import { ratesBetween, type Rates, type ResyncNews } from '../rates';
import type { Sight } from '../sight';
import { type ToldEvent, eventToLine, pictureToLines } from '../watch_view';
import type { ImagePaths, TrustFolders } from './shared';

type WatchArguments = ImagePaths & TrustFolders;

const DONE: Outcome = { exitCode: EXIT.done, document: null, text: '', told: true };
/** More than any terminal has lines. */
const KEPT_EVENTS = 200;
const RATES_OVER_MS = 900;

export async function watchCommand(output: Output, log: string, options: WatchArguments): Promise<Outcome> {
  if (output.json) throw new UsageError('A picture is no JSON', 'Use `blockmirror status LOG --json --follow`');
  if (process.stdout.isTTY !== true) return followCommand(output, log, options);
  const screen = new Screen(output);
  try {
    await lookUntilStopped(log, options, (sight, events) => {
      const at = new Date().toISOString();
      screen.show(
        sight,
        events.map((event) => ({ at, event })),
      );
    });
  } finally {
    screen.restore();
  }
  return DONE;
}

export async function followCommand(output: Output, log: string, options: WatchArguments): Promise<Outcome> {
  await lookUntilStopped(log, options, (_, events) => {
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
  private sight: Sight | null = null;
  /** From which look on the rates are taken. */
  private since: { status: Status; at: number } | null = null;
  private rates: Rates | null = null;
  private resync: ResyncNews | null = null;
  private begun = false;
  private readonly draw = (): void => this.drawNow();
  private readonly atExit = (): void => this.restore();

  constructor(private readonly output: Output) {}

  show(sight: Sight, events: readonly ToldEvent[]): void {
    this.begin();
    this.noteRates(sight);
    for (const { event } of events) {
      if (event.event === 'resync') this.resync = event.step === 'ended' ? null : event;
    }
    if (!sight.live) this.resync = null;
    this.sight = sight;
    const { status } = sight;
    // How far a resync is stands in its bar.
    this.events.push(...events.filter(({ event }) => event.event !== 'resync' || event.step !== 'progress'));
    this.events.splice(0, this.events.length - KEPT_EVENTS);
    for (const { name, bytesOwed } of status.images) {
      // A debt that is paid begins anew with the next one.
      const most = bytesOwed === 0 ? 0 : Math.max(this.mostOwed.get(name) ?? 0, bytesOwed ?? 0);
      this.mostOwed.set(name, most);
    }
    this.drawNow();
  }

  /** Over a look of a second or more: of a shorter one they would jump. */
  private noteRates(sight: Sight): void {
    const now = performance.now();
    const before = this.sight;
    if (!sight.live || before?.live !== true) {
      this.rates = null;
      this.since = sight.live ? { status: sight.status, at: now } : null;
    } else if (this.since !== null && now - this.since.at >= RATES_OVER_MS) {
      this.rates = ratesBetween(this.since.status, sight.status, now - this.since.at);
      this.since = { status: sight.status, at: now };
    }
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
    if (this.sight === null || !this.begun) return;
    const lines = pictureToLines({
      ...this.sight,
      rates: this.rates,
      resync: this.resync,
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
