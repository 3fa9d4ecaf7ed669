/**
 * The control socket of a mirror that is open in this process: HTTP over a Unix socket, by which the same user, or root, operates
 * the mirror from outside (docs/API.md, Control socket).
 *
 * Invariants:
 *  - A mirror opens, works and closes as well without: whatever is wrong with the socket is told in the status, and nothing waits
 *    for a client.
 *  - It never keeps the process alive. Work that a client began does, as any request of the mirror.
 *  - Connections, bytes and times of a client are bounded (limits.ts); a connection has one request at a time.
 *  - What a client sends reaches the mirror through the table of routes alone, and is checked as a caller's own options are.
 *  - The socket is gone before the lock of the log is let go: its path belongs to whoever holds that lock.
 */
import { chmod, unlink } from 'node:fs/promises';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { Socket } from 'node:net';
import type { ControlStatus } from '../base/control';
import { BlockmirrorError, type SystemError, isBlockmirrorError } from '../base/errors';
import { OptionReader, invalidOption } from '../base/option_reader';
import type { NativeSuperblock } from '../base/binding';
import { findPlace } from '../system/places';
import { sendDocument, sendError, sendText } from './answers';
import { SERVER_LIMITS } from './limits';
import { Listeners } from './listeners';
import { makeFolder, type Place, placeOfControl, removeStale } from './place';
import { type ControlledMirror, HELLO, type Options, type Route, STOP, type Text, routeOf } from './routes';
import { type Hello, OPENING_HEADER, openingOf } from './wire';
import { Works } from './works';

/** The socket of a mirror, or why there is none. Never rejects. */
export async function offerControl(
  mirror: ControlledMirror,
  log: string,
  superblock: NativeSuperblock,
): Promise<Control> {
  try {
    const place = placeOfControl(superblock.mirrorUuid);
    await makeFolder(place);
    await removeStale(place);
    const server = new ControlServer(mirror, place, await helloOf(log, superblock));
    await server.listen();
    return new Control(server, { socket: place.path, problem: null });
  } catch (error) {
    const known = isBlockmirrorError(error)
      ? error
      : new BlockmirrorError('CONTROL_UNAVAILABLE', { detail: (error as Error).message, cause: error });
    return new Control(null, { socket: null, problem: known.toJSON() });
  }
}

export class Control {
  constructor(
    private readonly server: ControlServer | null,
    readonly status: ControlStatus,
  ) {}

  /** Never rejects. */
  async close(): Promise<void> {
    await this.server?.close();
  }
}

async function helloOf(log: string, superblock: NativeSuperblock): Promise<Hello> {
  const place = await findPlace(log, 'log');
  return {
    program: 'blockmirror',
    uuid: superblock.mirrorUuid,
    opening: openingOf(superblock),
    log,
    device: place?.number ?? place?.inodeDevice ?? '',
    inode: place === null || place.number !== null ? '0' : place.inode,
  };
}

class ControlServer {
  private readonly server: Server;
  private readonly works: Works;
  private readonly listeners: Listeners;
  /** Connections with a request that was not answered yet. */
  private readonly answering = new WeakSet<Socket>();
  private closing = false;

  constructor(
    private readonly mirror: ControlledMirror,
    private readonly place: Place,
    private readonly hello: Hello,
  ) {
    this.works = new Works(mirror);
    this.listeners = new Listeners(mirror);
    this.server = createServer(
      {
        maxHeaderSize: SERVER_LIMITS.headerBytes,
        headersTimeout: SERVER_LIMITS.headersMs,
        requestTimeout: SERVER_LIMITS.requestMs,
        keepAliveTimeout: SERVER_LIMITS.idleMs,
        connectionsCheckingInterval: 1000,
      },
      (request, response) => void this.answer(request, response),
    );
    this.server.maxConnections = SERVER_LIMITS.connections;
    this.server.on('connection', (socket) => socket.unref());
    this.server.on('clientError', (_error, socket) => socket.destroy());
    // CONNECT and Upgrade are of proxies and of browsers.
    this.server.on('connect', (_request, socket) => socket.destroy());
    this.server.on('upgrade', (_request, socket) => socket.destroy());
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(this.place.path, resolve);
    }).catch((error: SystemError) => {
      const { path } = this.place;
      throw new BlockmirrorError('CONTROL_UNAVAILABLE', {
        path,
        detail: `it cannot be bound (${error.code})`,
        cause: error,
      });
    });
    this.server.unref();
    // Afterwards an error of accept() is nobody's: the next connection tries again.
    this.server.on('error', () => undefined);
    // Nobody else can enter its folder; this is for one whose rights are widened later.
    await chmod(this.place.path, 0o600).catch(() => undefined);
  }

  async close(): Promise<void> {
    this.closing = true;
    const closed = new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
    this.listeners.end();
    this.server.closeIdleConnections();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SERVER_LIMITS.closeMs);
    });
    await Promise.race([closed, late]);
    clearTimeout(timer);
    this.server.closeAllConnections();
    // Node.js removes it as it stops to listen; where it could not, nobody may find it.
    await unlink(this.place.path).catch(() => undefined);
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    // A second request before the first was answered: nobody of ours does so, and a flood of them would be one long turn.
    if (this.answering.has(socket)) {
      socket.destroy();
      return;
    }
    this.answering.add(socket);
    response.once('close', () => this.answering.delete(socket));
    response.on('error', () => undefined);
    try {
      await this.dispatch(request, response);
    } catch (error) {
      sendError(response, error);
    }
  }

  private async dispatch(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.closing) throw new BlockmirrorError('CLOSED');
    const { method = '', url = '' } = request;
    if (method === HELLO.method && url === HELLO.path) return sendDocument(response, this.hello);
    this.refuseOther(request.headers[OPENING_HEADER]);
    if (method === STOP.method && url === STOP.path) {
      const { id } = readOptions(await readBody(request), STOP);
      this.works.stop(id);
      return sendDocument(response, null);
    }
    const route = routeOf(method, url);
    const options = readOptions(await readBody(request), route);
    await this.perform(route, options, response, request.headers.accept);
  }

  private async perform(
    route: Route,
    options: Options,
    response: ServerResponse,
    accept: string | undefined,
  ): Promise<void> {
    switch (route.answer) {
      case 'document':
        return sendDocument(response, await route.call(this.mirror, options, {}));
      case 'text':
        return sendText(response, (await route.call(this.mirror, options, { accept })) as Text);
      case 'events':
        return this.listeners.add(response, await this.mirror.status());
      case 'work':
        return this.works.run(route, options, response);
    }
  }

  private refuseOther(opening: string | string[] | undefined): void {
    if (opening === undefined || opening === this.hello.opening) return;
    throw new BlockmirrorError('CLOSED', {
      detail: 'it was closed, and opened again since',
      remedy: 'Look at it as it is now, and ask again',
    });
  }
}

/** @throws INVALID_OPTION: it is no JSON, or longer than a body may be */
async function readBody(request: IncomingMessage): Promise<unknown> {
  const bytes = await takeBody(request);
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch {
    throw invalidOption('the body is no JSON', 'Send one JSON object, whose members are the options');
  }
}

/** What is too long is not read to its end: the answer says so, and the connection ends. */
function takeBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let length = 0;
    request.on('data', (piece: Buffer) => {
      length += piece.length;
      if (length <= SERVER_LIMITS.bodyBytes) {
        pieces.push(piece);
        return;
      }
      request.pause();
      pieces.length = 0;
      reject(invalidOption('the body is too long', `Send at most ${SERVER_LIMITS.bodyBytes} bytes of JSON`));
    });
    request.once('end', () => resolve(Buffer.concat(pieces)));
    request.once('error', reject);
    request.once('close', () => reject(new BlockmirrorError('CLOSED', { detail: 'the client went away' })));
  });
}

/** By name; what their values are is looked at by whoever they are for, as of any caller. */
function readOptions(body: unknown, { method, path, options }: Pick<Route, 'method' | 'path' | 'options'>): Options {
  const reader = new OptionReader(Array.isArray(body) ? null : body, options, 'body', `${method} ${path}`);
  const given = options.filter((name) => reader.get(name) !== undefined);
  return Object.fromEntries(given.map((name) => [name, reader.get(name)]));
}
