/**
 * What crosses a control socket: errors as JSON and back, lines of a stream, and the number of the opening. Pure.
 *
 * Invariant: whatever comes from the other side is looked at before it is believed: it may be of another version, or of
 * somebody else.
 */
import { createHash } from 'node:crypto';
import type { NativeSuperblock } from '../base/binding';
import {
  BlockmirrorError,
  ERRORS,
  type ErrorContext,
  type ErrorName,
  type SystemError,
  isBlockmirrorError,
  withCode,
} from '../base/errors';
import { shownLine } from '../base/shown';
import type { Progress } from '../base/types';

/** By which a client says which opening of the mirror it means. */
export const OPENING_HEADER = 'blockmirror-opening';

/**
 * Names this opening of the mirror: whoever reads the log, and whoever holds it, come to the same. A copy of the log that was
 * opened by itself, and the log after another opening, come to something else.
 */
export function openingOf({ logUuid, openCount, owner }: NativeSuperblock): string {
  const facts = [logUuid, openCount, owner.bootId, owner.process, owner.processStarted, owner.startedAtMs];
  return createHash('sha256').update(facts.join(' ')).digest('hex').slice(0, 32);
}

/** The answer of GET /v1/. */
export interface Hello {
  program: 'blockmirror';
  uuid: string;
  opening: string;
  /** As its process names it. */
  log: string;
  /** Of the file or device of the log: 'major:minor', and the inode; '0' of a device. */
  device: string;
  inode: string;
}

/** A line of a stream: one of these, by its only key. */
export interface Line {
  work?: { id: number };
  progress?: Progress;
  alive?: true;
  report?: unknown;
  error?: WireError;
}

export interface WireError {
  code: string;
  message: string;
  remedy?: string;
  detail?: string;
  image?: string;
  path?: string;
  position?: number;
  /** A positive errno. */
  systemError?: number;
  cause?: WireCause;
}

interface WireCause {
  message: string;
  code?: string;
  errno?: number;
  syscall?: string;
  path?: string;
}

const NAME = /^ERR_BLOCKMIRROR_([A-Z_]+)$/;
/** Node's own, for arguments. */
const ARGUMENTS: Readonly<Record<string, new (message: string) => Error>> = {
  ERR_INVALID_ARG_TYPE: TypeError,
  ERR_OUT_OF_RANGE: RangeError,
};

export function errorToWire(error: unknown): WireError {
  if (isBlockmirrorError(error)) {
    const { detail, image, path, position, systemError, cause } = error.facts();
    const wire: WireError = { code: error.code, message: error.message, remedy: error.remedy };
    if (detail !== undefined) wire.detail = detail;
    if (image !== undefined) wire.image = image;
    if (path !== undefined) wire.path = path;
    if (position !== undefined) wire.position = position;
    if (systemError !== undefined) wire.systemError = systemError;
    if (cause instanceof Error) wire.cause = causeToWire(cause);
    return wire;
  }
  const code = error instanceof Error ? (error as SystemError).code : undefined;
  if (code !== undefined && Object.hasOwn(ARGUMENTS, code)) return { code, message: (error as Error).message };
  return errorToWire(
    new BlockmirrorError('INTERNAL', { detail: error instanceof Error ? error.message : 'unknown', cause: error }),
  );
}

function causeToWire(cause: Error): WireCause {
  const { message, code, errno, syscall, path } = cause as SystemError;
  const wire: WireCause = { message };
  if (typeof code === 'string') wire.code = code;
  if (typeof errno === 'number') wire.errno = errno;
  if (typeof syscall === 'string') wire.syscall = syscall;
  if (typeof path === 'string') wire.path = path;
  return wire;
}

/** The same error. null: it is none that this program knows. */
export function errorFromWire(wire: unknown): Error | null {
  if (wire === null || typeof wire !== 'object') return null;
  const { code, message } = wire as Partial<WireError>;
  if (typeof code !== 'string' || typeof message !== 'string') return null;
  if (Object.hasOwn(ARGUMENTS, code)) {
    const Kind = ARGUMENTS[code] as new (message: string) => Error;
    return withCode(new Kind(shownLine(message)), code);
  }
  const name = NAME.exec(code)?.[1];
  if (name === undefined || !Object.hasOwn(ERRORS, name)) return null;
  return new BlockmirrorError(name as ErrorName, contextOf(wire as Record<string, unknown>));
}

const TEXTS = ['detail', 'remedy', 'image', 'path'] as const;
const NUMBERS = ['position', 'systemError'] as const;

function contextOf(wire: Record<string, unknown>): ErrorContext {
  const context: ErrorContext = {};
  for (const name of TEXTS) {
    const value = wire[name];
    if (typeof value === 'string') context[name] = value;
  }
  for (const name of NUMBERS) {
    const value = wire[name];
    if (Number.isSafeInteger(value) && (value as number) >= 0) context[name] = value as number;
  }
  const cause = causeFromWire(wire['cause']);
  if (cause !== null) context.cause = cause;
  return context;
}

function causeFromWire(wire: unknown): Error | null {
  if (wire === null || typeof wire !== 'object') return null;
  const { message, code, errno, syscall, path } = wire as Partial<WireCause>;
  if (typeof message !== 'string') return null;
  const cause = new Error(message) as SystemError;
  if (typeof code === 'string') cause.code = code;
  if (typeof errno === 'number') cause.errno = errno;
  if (typeof syscall === 'string') cause.syscall = syscall;
  if (typeof path === 'string') cause.path = path;
  return cause;
}
