/**
 * Long work that clients of a control socket began: each has a number, by which it can be asked to stop, and its own rule of
 * what becomes of it when its client goes away. How many there are at once is bounded.
 */
import type { ServerResponse } from 'node:http';
import { BlockmirrorError } from '../base/errors';
import { invalidOption } from '../base/option_reader';
import { LineStream, sendError } from './answers';
import { SERVER_LIMITS } from './limits';
import type { ControlledMirror, Options, Route } from './routes';
import { errorToWire } from './wire';

/** What is refused is refused before the first line, so that the code of HTTP says it. */
const REFUSED_WITHIN_MS = 50;

export class Works {
  private readonly underWay = new Map<number, AbortController>();
  private lastId = 0;

  constructor(private readonly mirror: ControlledMirror) {}

  /** Resolves when the work has ended and the client was told, if it is still there. */
  async run(route: Route, options: Options, response: ServerResponse): Promise<void> {
    if (this.underWay.size >= SERVER_LIMITS.works) {
      throw new BlockmirrorError('QUEUE_FULL', {
        detail: `clients of the control socket have ${SERVER_LIMITS.works} works under way`,
        remedy: 'Wait until one of them has ended',
      });
    }
    const id = ++this.lastId;
    const controller = new AbortController();
    this.underWay.set(id, controller);
    const onClose = (): void => {
      if (route.alone === 'stops' && !response.writableEnded) controller.abort(new BlockmirrorError('WORK_STOPPED'));
    };
    response.once('close', onClose);
    let lines: LineStream | null = null;
    const begin = (): LineStream => {
      if (lines === null) {
        lines = new LineStream(response);
        lines.write({ work: { id } });
      }
      return lines;
    };
    const timer = setTimeout(begin, REFUSED_WITHIN_MS);
    timer.unref();
    try {
      const report = await route.call(this.mirror, options, {
        signal: controller.signal,
        onProgress: (progress) => begin().offer({ progress }),
      });
      begin().end({ report });
    } catch (error) {
      if (lines === null) sendError(response, error);
      else (lines as LineStream).end({ error: errorToWire(error) });
    } finally {
      clearTimeout(timer);
      response.off('close', onClose);
      this.underWay.delete(id);
    }
  }

  /** @throws INVALID_OPTION: there is none of that number */
  stop(id: unknown): void {
    const controller = typeof id === 'number' ? this.underWay.get(id) : undefined;
    if (controller === undefined) {
      throw invalidOption(
        'no work of that number is under way',
        'Give the number that the first line of the work told',
      );
    }
    controller.abort(new BlockmirrorError('WORK_STOPPED'));
  }
}
