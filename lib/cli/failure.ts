/**
 * What a command says when it cannot do its work: the same four facts in text and JSON, and the exit code.
 *
 * Told apart by class and code, never by text.
 */
import { inspect } from 'node:util';
import { CommanderError } from 'commander';
import { BlockmirrorError } from '../index';
import { shownLine } from '../base/shown';
import { EXIT, type ExitCode, exitCodeOfSignal } from './exit_codes';
import { Interrupted } from './interrupt';
import { inFlags } from './spelling';
import { wrap } from './words';

export interface Failure {
  code: string;
  message: string;
  remedy: string;
  cause: FailureCause | null;
}
export interface FailureCause {
  code: string | null;
  message: string;
  syscall: string | null;
  path: string | null;
}

/** The command line itself is wrong. */
export class UsageError extends Error {
  readonly code = 'ERR_BLOCKMIRROR_USAGE';
  constructor(
    message: string,
    readonly remedy: string,
  ) {
    super(message);
    this.name = 'UsageError';
  }
}

/** The work ended and what was found is a failure that no error of the library stands for. */
export class CommandFailed extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly remedy: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CommandFailed';
  }
}

const USAGE_CODES: ReadonlySet<string> = new Set(['ERR_BLOCKMIRROR_INVALID_OPTION', 'ERR_INVALID_ARG_TYPE']);
const REPORT_REMEDY = 'This is a bug in blockmirror: report it with this message';

export function failureOf(error: unknown): Failure {
  if (error instanceof CommanderError) {
    return {
      code: 'ERR_BLOCKMIRROR_USAGE',
      message:
        error.code === 'commander.help' ? 'No command was given.' : sentence(error.message.replace(/^error: /, '')),
      remedy: 'See `blockmirror --help`, or `--help` after the command',
      cause: null,
    };
  }
  if (error instanceof BlockmirrorError) {
    const { remedy } = error;
    return {
      code: error.code,
      message: inFlags(sentence(withoutRemedy(error.message, remedy))),
      remedy: inFlags(remedy),
      cause: causeOf(error.cause),
    };
  }
  if (error instanceof UsageError || error instanceof CommandFailed || error instanceof Interrupted) {
    return { code: error.code, message: sentence(error.message), remedy: error.remedy, cause: causeOf(error.cause) };
  }
  if (error instanceof Error) {
    return {
      code: codeOf(error) ?? 'ERR_BLOCKMIRROR_INTERNAL',
      message: sentence(error.message),
      remedy: remedyOf(error),
      cause: causeOf(error.cause),
    };
  }
  return { code: 'ERR_BLOCKMIRROR_INTERNAL', message: inspect(error), remedy: REPORT_REMEDY, cause: null };
}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof Interrupted) return exitCodeOfSignal(error.signal);
  if (error instanceof CommanderError || error instanceof UsageError) return EXIT.usage;
  const code = error instanceof Error ? codeOf(error) : null;
  return code !== null && USAGE_CODES.has(code) ? EXIT.usage : EXIT.failed;
}

/** Where it happened, for a report of a bug; null for all errors that say themselves what to do. */
export function stackOf(error: unknown, failure: Failure): string | null {
  if (failure.remedy !== REPORT_REMEDY || !(error instanceof Error)) return null;
  const places = (error.stack ?? '').split('\n').filter((line) => /^ {4}at /.test(line));
  return places.map(shownLine).join('\n');
}

function remedyOf(error: Error): string {
  if (codeOf(error) === 'ERR_INVALID_ARG_TYPE') return 'See `--help` after the command';
  const isSystemError = typeof (error as NodeJS.ErrnoException).errno === 'number';
  return isSystemError ? 'Check the path, its permissions and the free space' : REPORT_REMEDY;
}

/** @param lineWidth of the message, which a program may read */
export function failureToText(failure: Failure, width = 100, lineWidth = Infinity): string {
  const cause = failure.cause === null ? '' : `\n  cause: ${shownLine(failure.cause.message)}`;
  const message = wrap(shownLine(`blockmirror: ${failure.message}`), lineWidth);
  return `${message}${cause}\n${wrap(shownLine(`What to do: ${sentence(failure.remedy)}`), width, '  ')}\n  (${failure.code})`;
}

function causeOf(cause: unknown): FailureCause | null {
  if (cause === undefined || cause === null) return null;
  if (!(cause instanceof Error)) return { code: null, message: inspect(cause), syscall: null, path: null };
  const { syscall, path } = cause as NodeJS.ErrnoException;
  return { code: codeOf(cause), message: cause.message, syscall: syscall ?? null, path: path ?? null };
}

function codeOf(error: Error): string | null {
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? code : null;
}

function withoutRemedy(message: string, remedy: string): string {
  const end = `. ${remedy}.`;
  return message.endsWith(end) ? message.slice(0, -end.length) : message;
}

/** Ends it; begins it as it is, since it may begin with the name of an image or a path. */
function sentence(text: string): string {
  const trimmed = text.trim();
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
