/**
 * Exit codes: a contract with scripts and monitoring, listed by every --help.
 */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  attention: 3,
  /** 128 + SIGINT, as shells expect of a program that Ctrl-C ended. */
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES_HELP = `
Exit codes:
  0  done
  1  failed: nothing can be said, or it could not be done; the message says why
  2  usage: an option or argument is wrong
  3  needs attention: it was done, and what was found needs somebody
  130  ended by Ctrl-C
`;
