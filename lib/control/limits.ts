/**
 * The limits of a control socket: everything that comes from outside has one. docs/API.md names them, and a test holds both
 * together. Pure.
 */

/** Of the process that holds the mirror. */
export const SERVER_LIMITS = {
  /** At once; more are closed unheard. */
  connections: 32,
  /** Bytes of a request's line and headers, and of its body. */
  headerBytes: 8 * 1024,
  bodyBytes: 64 * 1024,
  /** Until the headers of a request have come; until all of it has. */
  headersMs: 5_000,
  requestMs: 10_000,
  /** Between two requests of a connection. */
  idleMs: 5_000,
  /** Of an answer that its client does not read. */
  unreadMs: 10_000,
  /** Bytes of a stream that wait for its client; then it is cut off. */
  unreadBytes: 1024 * 1024,
  /** Long work at once, and clients that listen to events. */
  works: 8,
  listeners: 16,
  /** A stream that has nothing to tell says so as often. */
  aliveMs: 1_000,
  /** How long a close lets answers be read. */
  closeMs: 1_000,
} as const;

/** Of whoever asks. */
export const CLIENT_LIMITS = {
  /** Until the mirror's process answers at all. */
  answerMs: 5_000,
  /** Of a stream in which nothing comes, not even that it lives. */
  silenceMs: 10_000,
  /** Until work that was asked to stop has ended. */
  stopMs: 10_000,
  /** Bytes of an answer, and of one line of a stream: the largest is a recovery's list of extents. */
  answerBytes: 64 * 1024 * 1024,
} as const;

/** Bytes of a socket's path (sun_path), without the zero at its end. */
export const SOCKET_PATH_BYTES = 107;
