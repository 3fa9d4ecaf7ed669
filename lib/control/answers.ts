/**
 * Answers of a control socket over HTTP: one document, or a stream of lines (NDJSON) to a client that may read slowly, or not at
 * all. What waits for such a client is bounded: past it the connection is cut.
 */
import type { ServerResponse } from 'node:http';
import type { ErrorName } from '../base/errors';
import { SERVER_LIMITS } from './limits';
import { type Line, errorToWire } from './wire';

const STATUS_OF: Partial<Record<`ERR_BLOCKMIRROR_${ErrorName}`, number>> = {
  ERR_BLOCKMIRROR_INVALID_OPTION: 400,
  ERR_BLOCKMIRROR_QUEUE_FULL: 503,
  ERR_BLOCKMIRROR_CLOSED: 503,
  ERR_BLOCKMIRROR_INTERNAL: 500,
};

/** What the code of HTTP says of an error; the code of the error itself says more. Pure. */
export function httpStatusOf(code: string): number {
  if (!code.startsWith('ERR_BLOCKMIRROR_')) return 400;
  return STATUS_OF[code as `ERR_BLOCKMIRROR_${ErrorName}`] ?? 409;
}

export function sendDocument(response: ServerResponse, document: unknown, status = 200): void {
  send(response, `${JSON.stringify(document ?? null)}\n`, 'application/json', status);
}

export function sendError(response: ServerResponse, error: unknown, status?: number): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const wire = errorToWire(error);
  sendDocument(response, { error: wire }, status ?? httpStatusOf(wire.code));
}

export function sendText(response: ServerResponse, { text, type }: { text: string; type: string }): void {
  send(response, text, type, 200);
}

function send(response: ServerResponse, text: string, type: string, status: number): void {
  if (response.destroyed) return;
  const { req } = response;
  // What is left of a request that was not read to its end is nobody's next request.
  const rest = req.complete ? {} : { connection: 'close' };
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text), ...rest });
  response.end(text);
  if (!req.complete) response.once('finish', () => req.socket.destroySoon());
  cutWhenUnread(response);
}

/** An answer that nobody takes holds a connection. */
function cutWhenUnread(response: ServerResponse): void {
  if (response.writableFinished) return;
  const timer = setTimeout(() => response.destroy(), SERVER_LIMITS.unreadMs);
  timer.unref();
  response.once('close', () => clearTimeout(timer));
}

/** A stream of lines; it says that it lives where it has nothing else to say. */
export class LineStream {
  private readonly alive: NodeJS.Timeout;
  private unreadSince: number | null = null;

  constructor(private readonly response: ServerResponse) {
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    response.flushHeaders();
    this.alive = setInterval(() => this.beat(), SERVER_LIMITS.aliveMs);
    this.alive.unref();
    response.once('close', () => clearInterval(this.alive));
  }

  /** What can be left out: a later one says the same and more. */
  offer(line: Line): void {
    if (this.response.writableLength === 0) this.write(line);
  }

  write(line: object): void {
    this.writeText(`${JSON.stringify(line)}\n`);
  }

  /** Of an event that goes to many. */
  writeText(text: string): void {
    const { response } = this;
    if (response.destroyed || response.writableEnded) return;
    if (response.writableLength > SERVER_LIMITS.unreadBytes) response.destroy();
    else response.write(text);
  }

  /** The last line, whatever its length. */
  end(line: object): void {
    if (this.response.destroyed || this.response.writableEnded) return;
    this.response.end(`${JSON.stringify(line)}\n`);
    cutWhenUnread(this.response);
  }

  private beat(): void {
    const { response } = this;
    if (response.writableLength === 0) {
      this.unreadSince = null;
      this.write({ alive: true });
      return;
    }
    this.unreadSince ??= performance.now();
    if (performance.now() - this.unreadSince > SERVER_LIMITS.unreadMs) response.destroy();
  }
}
