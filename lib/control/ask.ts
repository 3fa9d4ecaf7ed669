/**
 * Asking a control socket: one request over HTTP, its document or its stream of lines, and bounds on how long and how much.
 *
 * Invariants:
 *  - No wait without an end: a process that is frozen takes a connection, and answers nothing.
 *  - The other side may be anybody who has that user's rights: what it sends is bounded, and looked at.
 */
import { type Agent, type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { BlockmirrorError, type SystemError } from '../base/errors';
import { isAborted, listen, reasonOf, unlisten } from '../base/signals';
import { CLIENT_LIMITS } from './limits';
import { errorFromWire } from './wire';

export interface Question {
  socket: string;
  agent: Agent;
  method: 'GET' | 'POST';
  path: string;
  headers: Readonly<Record<string, string>>;
  options?: object;
  /** Ends the question, not what it began: that is asked for by a question of its own. */
  signal?: AbortSignal | undefined;
}

/** The process is gone, or the mirror is closed. */
const GONE: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'EPIPE']);

/** @throws NO_ANSWER; CLOSED where nobody listens any more; what the other side answers as an error */
export async function askDocument(question: Question): Promise<unknown> {
  const response = await ask(question);
  return parse(question, await textOf(question, response));
}

export async function askText(question: Question): Promise<string> {
  return textOf(question, await ask(question));
}

/** Each line as it comes. Ends with the other side. */
export async function* askLines(question: Question): AsyncGenerator<unknown, void, void> {
  const response = await ask(question);
  let rest = '';
  response.setEncoding('utf8');
  const watch = watchSilence(question, response);
  try {
    for await (const piece of response as AsyncIterable<string>) {
      watch.refresh();
      const lines = (rest + piece).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > CLIENT_LIMITS.answerBytes) throw strange(question, 'a line of its answer has no end');
      for (const line of lines) yield parse(question, line);
    }
  } catch (error) {
    if (isAborted(question.signal)) throw reasonOf(question.signal);
    throw typed(question, error);
  } finally {
    clearTimeout(watch);
    response.destroy();
  }
  if (!response.complete) throw gone(question);
}

async function ask(question: Question): Promise<IncomingMessage> {
  const response = await send(question);
  const { statusCode = 0 } = response;
  if (statusCode === 200) return response;
  const document = parse(question, await textOf(question, response)) as { error?: unknown } | null;
  throw errorFromWire(document?.error) ?? strange(question, `it answered with code ${statusCode}`);
}

function send(question: Question): Promise<IncomingMessage> {
  const { socket, agent, method, path, headers, options, signal } = question;
  return new Promise((resolve, reject) => {
    const body = options === undefined ? '' : JSON.stringify(options);
    const asked: ClientRequest = httpRequest({
      socketPath: socket,
      agent,
      method,
      path,
      headers: { ...headers, 'content-length': Buffer.byteLength(body) },
    });
    const onAbort = (): void => {
      asked.destroy();
      settle(() => reject(reasonOf(signal)));
    };
    const settle = (how: () => void): void => {
      clearTimeout(timer);
      if (signal !== undefined) unlisten(signal, onAbort);
      how();
    };
    const timer = setTimeout(() => {
      asked.destroy();
      settle(() => reject(silent(question, CLIENT_LIMITS.answerMs)));
    }, CLIENT_LIMITS.answerMs);
    asked.once('response', (response) => settle(() => resolve(response)));
    // Also of a connection that breaks later, which is then the answer's error.
    asked.on('error', (error) => settle(() => reject(typed(question, error))));
    if (isAborted(signal)) onAbort();
    else if (signal !== undefined) listen(signal, onAbort);
    asked.end(body);
  });
}

function textOf(question: Question, response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let length = 0;
    const watch = watchSilence(question, response);
    response.on('data', (piece: Buffer) => {
      watch.refresh();
      pieces.push(piece);
      length += piece.length;
      if (length > CLIENT_LIMITS.answerBytes) response.destroy(strange(question, 'its answer has no end'));
    });
    response.on('error', (error) => reject(typed(question, error)));
    response.once('close', () => {
      clearTimeout(watch);
      reject(gone(question));
    });
    response.once('end', () => {
      if (response.complete) resolve(Buffer.concat(pieces).toString('utf8'));
      else reject(gone(question));
    });
  });
}

/** Of an answer that has begun. */
function watchSilence(question: Question, response: IncomingMessage): NodeJS.Timeout {
  return setTimeout(() => response.destroy(silent(question, CLIENT_LIMITS.silenceMs)), CLIENT_LIMITS.silenceMs);
}

function parse(question: Question, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw strange(question, 'it answered with something that is no JSON');
  }
}

/** Of a connection; an error that is typed stays as it is. */
function typed(question: Question, error: unknown): Error {
  if (error instanceof BlockmirrorError) return error;
  const { code = '' } = error as SystemError;
  if (GONE.has(code)) return gone(question, error);
  return new BlockmirrorError('NO_ANSWER', {
    path: question.socket,
    detail: code === 'EAGAIN' ? 'as many wait for it already as can' : (error as Error).message,
    cause: error,
  });
}

function gone({ socket }: Question, cause?: unknown): BlockmirrorError {
  return new BlockmirrorError('CLOSED', {
    path: socket,
    detail: 'its process closed it, or ended, before it had answered',
    remedy: 'See what became of it: `blockmirror status`',
    ...(cause === undefined ? {} : { cause }),
  });
}

function silent({ socket }: Question, ms: number): BlockmirrorError {
  return new BlockmirrorError('NO_ANSWER', { path: socket, detail: `it said nothing for ${ms / 1000} s` });
}

function strange({ socket }: Question, detail: string): BlockmirrorError {
  return new BlockmirrorError('NO_ANSWER', { path: socket, detail });
}
