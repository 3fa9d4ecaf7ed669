/**
 * Exit codes: a contract with scripts and monitoring, listed by every --help.
 */
import { constants } from 'node:os';

export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  attention: 3,
} as const;
export type ExitCode = number;

/** 128 + the number of the signal, as shells say of a program that a signal ended: 130 Ctrl-C, 143 TERM, 129 HUP. */
export function exitCodeOfSignal(signal: NodeJS.Signals): ExitCode {
  return 128 + constants.signals[signal];
}

export const EXIT_CODES_HELP = `
Exit codes:
  0  done
  1  failed: nothing can be said, or it could not be done; the message says why
  2  usage: an option or argument is wrong
  3  needs attention: it was done, and what was found needs somebody
  128 + N  ended by signal N: 130 Ctrl-C, 143 TERM, 129 HUP
`;
