/**
 * Clients that listen to the events of a mirror. The mirror has one listener of ours for each event, and only while anybody
 * listens; an event is written out once, whoever gets it. Who does not read is cut off, and never waited for.
 */
import type { ServerResponse } from 'node:http';
import { BlockmirrorError } from '../base/errors';
import type { Status } from '../base/types';
import { LineStream } from './answers';
import { SERVER_LIMITS } from './limits';
import { type ControlledMirror, EVENT_NAMES } from './routes';

export class Listeners {
  private readonly streams = new Set<LineStream>();
  private readonly heard = EVENT_NAMES.map((name) => ({ name, listener: (data: unknown) => this.tell(name, data) }));

  constructor(private readonly mirror: ControlledMirror) {}

  /** @param status as it is now: what came before it is in it */
  add(response: ServerResponse, status: Status): void {
    if (this.streams.size >= SERVER_LIMITS.listeners) {
      throw new BlockmirrorError('QUEUE_FULL', {
        detail: `${SERVER_LIMITS.listeners} clients listen to the events of this mirror`,
        remedy: 'End one of them, or ask for the status instead',
      });
    }
    const stream = new LineStream(response);
    if (this.streams.size === 0) this.listen();
    this.streams.add(stream);
    response.once('close', () => {
      this.streams.delete(stream);
      if (this.streams.size === 0) this.unlisten();
    });
    stream.writeText(eventLine('status', status));
  }

  /** The last that they hear. */
  end(): void {
    this.unlisten();
    for (const stream of this.streams) stream.end({ event: 'closed', at: new Date().toISOString(), data: null });
  }

  private tell(name: string, data: unknown): void {
    const line = eventLine(name, data);
    for (const stream of this.streams) stream.writeText(line);
  }

  private listen(): void {
    for (const { name, listener } of this.heard) this.mirror.on(name, listener);
  }

  private unlisten(): void {
    for (const { name, listener } of this.heard) this.mirror.off(name, listener);
  }
}

function eventLine(event: string, data: unknown): string {
  return `${JSON.stringify({ event, at: new Date().toISOString(), data })}\n`;
}
