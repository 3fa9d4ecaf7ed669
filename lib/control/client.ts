/**
 * MirrorClient: a mirror that another process has open, operated by its control socket.
 *
 * Invariants:
 *  - It speaks to one opening of the mirror, the one that the log named when it was connected: what comes after it answers CLOSED.
 *  - Errors are the mirror's own. What a signal stops is asked to stop there, and waited for, as in one's own process.
 *  - A log is named by the path that this process knows.
 */
import { Agent } from 'node:http';
import type { ControlEvent, MirrorControl } from '../base/control';
import type { LongWorkOptions } from '../base/mirror_events';
import { BlockmirrorError } from '../base/errors';
import { OptionReader, checkSignal } from '../base/option_reader';
import {
  checkMetrics,
  checkMirrorFracture,
  checkMirrorRecover,
  checkMirrorResync,
  checkMirrorVerify,
} from '../base/request_options';
import { checkHistoryChoice, someNames } from '../base/options';
import { SETTING_KEYS } from '../base/policies';
import { isAborted, listen, reasonOf, throwIfAborted, unlisten } from '../base/signals';
import type {
  FractureChoice,
  FractureReport,
  HistoryChoice,
  HistoryReport,
  MetricsOptions,
  MirrorSetOptions,
  SetReport,
  Progress,
  RecoveryReport,
  ResyncChoice,
  ResyncReport,
  Status,
  VerifyChoice,
  VerifyFromChoice,
  VerifyFromReport,
  VerifyReport,
} from '../base/types';
import { refuseWithoutConsent } from '../life/verify_from';
import { METRICS_CONTENT_TYPES } from '../metrics/format';
import { type Question, askDocument, askLines, askText } from './ask';
import { CLIENT_LIMITS } from './limits';
import { HELLO, ROUTES, type Route, type RouteName, STOP } from './routes';
import { type Hello, type Line, OPENING_HEADER, errorFromWire } from './wire';

type Work = Pick<LongWorkOptions, 'onProgress' | 'signal'>;

export class MirrorClient implements MirrorControl {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 8, maxFreeSockets: 1 });
  private opening: string | null = null;

  /**
   * @internal connect() makes them.
   * @param log its path
   * @param socket its control socket
   */
  constructor(
    private readonly log: string,
    readonly socket: string,
  ) {}

  /** @internal Whose socket it is. @throws NO_ANSWER, CLOSED */
  async hello(signal?: AbortSignal): Promise<Hello> {
    const hello = (await askDocument({ ...this.question(HELLO), signal })) as Partial<Hello> | null;
    const { program, uuid, opening, log, device, inode } = hello ?? {};
    const known =
      program === 'blockmirror' && [uuid, opening, log, device, inode].every((text) => typeof text === 'string');
    if (!known) throw new BlockmirrorError('NO_ANSWER', { path: this.socket, detail: 'something else listens there' });
    return hello as Hello;
  }

  /** @internal From now on it speaks to that opening alone. */
  use(opening: string): void {
    this.opening = opening;
  }

  async status(): Promise<Status> {
    return this.named((await this.document('status')) as Status);
  }

  async fracture(images: readonly string[], options: FractureChoice = {}): Promise<FractureReport> {
    const { detach } = checkMirrorFracture(options);
    return (await this.work('fracture', { images: someNames(images, 'images'), detach }, {})) as FractureReport;
  }

  /** Values are checked there, where the limits of that mirror are known. */
  async set(options: MirrorSetOptions): Promise<SetReport> {
    const reader = new OptionReader(options, SETTING_KEYS, 'options', 'mirror.set()');
    const given = SETTING_KEYS.filter((key) => reader.get(key) !== undefined);
    // JSON has no Infinity: it becomes null there.
    return (await this.work('set', Object.fromEntries(given.map((key) => [key, reader.get(key)])), {})) as SetReport;
  }

  async metrics(options: MetricsOptions = {}): Promise<string> {
    const question = this.question(ROUTES.metrics);
    const accept = METRICS_CONTENT_TYPES[checkMetrics(options).format];
    return askText({ ...question, headers: { ...question.headers, accept } });
  }

  async history(options: HistoryChoice = {}): Promise<HistoryReport> {
    const { image, sinceMs } = checkHistoryChoice(options, Date.now());
    const chosen = { ...(image === null ? {} : { image }), ...(sinceMs === null ? {} : { since: sinceMs }) };
    return this.named((await this.document('history', chosen)) as HistoryReport);
  }

  async resync(images?: readonly string[] | null, options: ResyncChoice = {}): Promise<ResyncReport> {
    const { names, rate, full, compare, ...work } = checkMirrorResync(images, options);
    const chosen = { images: names, full, compare, ...(rate === null ? {} : { rate }) };
    return (await this.work('resync', chosen, work)) as ResyncReport;
  }

  async pauseResync(): Promise<void> {
    await this.document('pauseResync');
  }

  async resumeResync(): Promise<void> {
    await this.document('resumeResync');
  }

  async verify(options: LongWorkOptions & VerifyFromChoice): Promise<VerifyFromReport>;
  async verify(options?: LongWorkOptions & VerifyChoice): Promise<VerifyReport>;
  async verify(
    options: LongWorkOptions & (VerifyChoice | VerifyFromChoice) = {},
  ): Promise<VerifyReport | VerifyFromReport> {
    const { all, repair, rate, position, source, ...work } = checkMirrorVerify(options);
    if (source !== null) {
      // By the path of the log that is known here.
      refuseWithoutConsent(this.log, source);
      return (await this.work('verifyFrom', source, work)) as VerifyFromReport;
    }
    const chosen = { all, repair, position, ...(rate === null ? {} : { rate }) };
    return (await this.work('verify', chosen, work)) as VerifyReport;
  }

  async recover(options: LongWorkOptions & { compare?: boolean; readBack?: boolean } = {}): Promise<RecoveryReport> {
    const { compare, readBack, ...work } = checkMirrorRecover(options);
    return (await this.work('recover', { compare, readBack }, work)) as RecoveryReport;
  }

  /**
   * The status, then what happens, until the mirror is closed (the last event), `signal` calls it off, or the loop is left.
   * @throws NO_ANSWER where its process is frozen, CLOSED where it ended
   */
  async *events(options: { signal?: AbortSignal } = {}): AsyncGenerator<ControlEvent, void, void> {
    const reader = new OptionReader(options, ['signal'], 'options', 'events()');
    const question = { ...this.question(ROUTES.events), signal: reader.signal() };
    for await (const line of askLines(question)) {
      if (line === null || typeof line !== 'object' || !('event' in line)) continue;
      const told = line as ControlEvent;
      if (told.event === 'status' || told.event === 'degraded') yield { ...told, data: this.named(told.data) };
      else yield told;
      if (told.event === 'closed') return;
    }
  }

  /** Lets the connections go; what was begun goes on there, as the table of routes says. */
  close(): void {
    this.agent.destroy();
  }

  private question({ method, path }: Pick<Route, 'method' | 'path'>, options?: object): Question {
    const headers: Record<string, string> = this.opening === null ? {} : { [OPENING_HEADER]: this.opening };
    return {
      socket: this.socket,
      agent: this.agent,
      method,
      path,
      headers,
      ...(options === undefined ? {} : { options }),
    };
  }

  private document(route: RouteName, options?: object): Promise<unknown> {
    return askDocument(this.question(ROUTES[route], options));
  }

  private async work(route: RouteName, options: object, { onProgress, signal }: Work): Promise<unknown> {
    throwIfAborted(signal);
    const stop = new Stop(signal, (id) => askDocument(this.question(STOP, { id })));
    try {
      for await (const line of askLines({ ...this.question(ROUTES[route], options), signal: stop.given.signal })) {
        const { work, progress, report, error } = line as Line;
        if (work !== undefined) stop.begun(work.id);
        if (progress !== undefined && isProgress(progress)) onProgress?.(progress);
        if (report !== undefined) return this.named(report as object);
        if (error === undefined) continue;
        throw (
          errorFromWire(error) ??
          new BlockmirrorError('NO_ANSWER', { path: this.socket, detail: 'it failed, and does not say how' })
        );
      }
    } catch (error) {
      // Stopped because we asked for it; whatever else it ended with is told.
      if (isAborted(signal) && stop.isBy(error)) throw reasonOf(signal);
      throw error;
    } finally {
      stop.end();
    }
    throw new BlockmirrorError('CLOSED', { path: this.socket, detail: 'it ended without a report' });
  }

  /** Its process may know the log by a path that means something else here. */
  private named<T extends object>(document: T): T {
    return 'log' in document && typeof document.log === 'string' ? { ...document, log: this.log } : document;
  }
}

function isProgress(progress: unknown): progress is Progress {
  const { step, bytesDone, bytesTotal } = (progress ?? {}) as Partial<Progress>;
  return typeof step === 'string' && typeof bytesDone === 'number' && typeof bytesTotal === 'number';
}

/** Passes on that its caller wants work to stop, as soon as the work has a number; and gives up where that does not help. */
class Stop {
  /** Ends the question itself. */
  readonly given = new AbortController();
  private id: number | null = null;
  private asked = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly signal: AbortSignal | undefined,
    private readonly ask: (id: number) => Promise<unknown>,
  ) {
    if (signal !== undefined) listen(checkSignal(signal, 'options.signal') as AbortSignal, this.onAbort);
  }

  begun(id: number): void {
    this.id = id;
    if (isAborted(this.signal)) this.onAbort();
  }

  /** The mirror's own answer to being stopped, or our giving up. */
  isBy(error: unknown): boolean {
    return this.given.signal.aborted || (error as BlockmirrorError).code === 'ERR_BLOCKMIRROR_WORK_STOPPED';
  }

  end(): void {
    clearTimeout(this.timer);
    if (this.signal !== undefined) unlisten(this.signal, this.onAbort);
  }

  private readonly onAbort = (): void => {
    this.timer ??= setTimeout(() => this.given.abort(), CLIENT_LIMITS.stopMs);
    if (this.id === null || this.asked) return;
    this.asked = true;
    // It may have ended by itself in between.
    this.ask(this.id).catch(() => undefined);
  };
}
