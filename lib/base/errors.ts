/**
 * Errors: one class with a stable `code`, the system error as `cause`, and a remedy in every message.
 *
 * Invariants:
 *  - ERRORS is the only list of codes in lib/: it holds every name the addon has (a test compares them, and both with
 *    docs/ERRORS.md) and the ones that only lib/ raises.
 *  - An error says what was found, on which image or path and where, and then what to do about it.
 *  - `message` and `remedy` are one line each and safe to print, whatever the names and paths hold (shown.ts); `image` and
 *    `path` are exact.
 *  - Arguments of a wrong type keep Node's own ERR_INVALID_ARG_TYPE (TypeError).
 */
import { constants as osConstants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import type { NativeOutcome } from './binding';
import { ownOf } from './intrinsics';
import { type MirrorFacts, remedyOf, remedyOfPath, remedyOfWrongBytes } from './remedies';
import { shown, shownLine } from './shown';
import type { Problem } from './types';

interface ErrorEntry {
  /** What is wrong, without a full stop. */
  summary: string;
  /** What to do about it. */
  remedy: string;
  /** The system call that a system error of this kind came from. */
  syscall?: string;
}

export const ERRORS = {
  // Requests.
  MISALIGNED: {
    summary: 'Position, length or offset is not a multiple of what the images need',
    remedy:
      'Write with unaligned: true, which keeps the other bytes of the first and last block; read whole blocks and take what you need; or use streams, which take any start and length',
  },
  OUT_OF_RANGE: {
    summary: 'The request reaches past the end of the mirror',
    remedy: 'Stay below status().size',
  },
  CLOSED: {
    summary: 'The mirror is closed or closing',
    remedy: 'Open it again with Mirror.open()',
  },
  QUEUE_FULL: {
    summary: 'Too many requests are pending; nothing was logged or written',
    remedy: 'Wait for some of the pending promises, then try again, or use createWriteStream(), which waits by itself',
  },
  NOT_RECOVERED: {
    summary: 'The mirror was not closed cleanly and has not been recovered',
    remedy: "Call mirror.recover(), or open it with recovery: 'auto'",
  },
  ABORTED: {
    summary: 'The request was cancelled before it reached any image',
    remedy: 'Nothing to do: nothing was written',
  },
  OUTCOME_UNKNOWN: {
    summary:
      'The request was abandoned by its signal while the log or the master hangs; what it was to write may be written, in part, or not at all',
    remedy:
      'Read the range, or write it again, once the device answers (`stalled` of the status says which hangs); both wait for this request to end',
  },
  NOT_TRANSFERABLE: {
    summary: 'The memory of this buffer cannot be handed over',
    remedy: 'Use Mirror.alignedBuffer(length) or Buffer.allocUnsafeSlow(length), or leave transfer out',
  },
  BUFFER_DETACHED: {
    summary: 'The buffer was detached or shrunk while the request ran',
    remedy: 'Leave a buffer alone until the promise of its request has settled',
  },
  // Failures while a mirror is open.
  MASTER_FAILED: {
    summary: 'The master image failed, and the mirror has stopped',
    remedy:
      'Close the mirror. When the device answers again, recover the mirror; when it does not, a slave that was in sync can take its place: blockmirror status says which',
    syscall: 'write',
  },
  SLAVE_FAILED: {
    summary: 'The slave is no longer part of the mirror',
    remedy:
      'When its device works again, blockmirror resync takes it back, and copies what it missed; mirror.resync() does so while the mirror is open',
  },
  SLAVE_DIFFERS: {
    summary: 'A verify found that the slave differs from the master',
    remedy: 'Verify the mirror again: it says where, and whether it still does',
  },
  TOO_FEW_IN_SYNC: {
    summary: 'Fewer images are in sync than the mirror asks for, and writes are rejected',
    remedy:
      'Nothing that was acknowledged is lost, and reading still works. When the device of a slave works again, blockmirror resync takes it back, and writes go on: repeat the one that failed, for its range may hold it in part. To go on with fewer, lower minInSync: blockmirror set',
  },
  LOG_FAILED: {
    summary: 'The log cannot be written, and no write is acknowledged any more',
    remedy: 'Close the mirror, repair the device of the log, and open it again',
    syscall: 'write',
  },
  READ_FAILED: {
    summary: 'Reading failed',
    remedy: 'Look at the kernel log (`dmesg`) for errors of that device',
    syscall: 'read',
  },
  WRITE_FAILED: {
    summary: 'Writing failed',
    remedy: 'Look at the kernel log (`dmesg`) for errors of that device, and at the free space of its file system',
    syscall: 'write',
  },
  UNUSABLE_SOURCE: {
    summary: 'What the slave holds there cannot be taken: it is out of the mirror, or misses writes there',
    remedy:
      'Nothing was written. Take the content of another slave, or let blockmirror resync take this one back, which copies from the master what it missed',
  },
  INTERNAL: {
    summary: 'A check of our own state failed; nothing more is written',
    remedy: 'Open the mirror again (it will be recovered) and report this as a bug',
  },
  NO_MEMORY: {
    summary: 'Memory or file descriptors ran out',
    remedy:
      'Look at the free memory, and at the limits: `ulimit -n` (open files), `ulimit -u` (threads), `ulimit -l` (locked memory), `ulimit -v` (address space)',
    syscall: 'mmap',
  },
  WRONG_PHASE: {
    summary: 'The mirror is not in a state in which this can be done',
    remedy: 'Look at status().phase',
  },
  // Opening.
  OPEN_FAILED: {
    summary: 'A device or file cannot be opened',
    remedy: 'Check the path and its permissions; blockmirror doctor looks closer',
    syscall: 'open',
  },
  BUSY: {
    summary: 'It is in use',
    remedy: 'Close it there first',
    syscall: 'open',
  },
  NO_DIRECT_IO: {
    summary: 'The file system or device does not take O_DIRECT',
    remedy: 'Use a block device or a file on ext4, xfs or btrfs (tmpfs and many network file systems do not do)',
    syscall: 'open',
  },
  READ_ONLY_DEVICE: {
    summary: 'The device or file cannot be written',
    remedy: 'Make it and its file system writable, or name another',
    syscall: 'open',
  },
  HOLE: {
    summary: 'The file is not allocated in full, or shares blocks with another file',
    remedy: 'Write it in full, or, where blocks are shared, name a full copy of it',
  },
  TOO_SMALL: {
    summary: 'A device or file is too small',
    remedy: 'An image needs the size of the mirror and 1 MiB for its label; give a smaller size or a larger image',
  },
  NOT_A_LOG: {
    summary: 'This is not a log of blockmirror',
    remedy: 'Name the log of the mirror; blockmirror inspect says what a path is',
  },
  LOG_DAMAGED: {
    summary: 'No copy of the superblock of the log is whole',
    remedy:
      'Without the log it is not known where the images differ: make the mirror anew over the same master, with keepData, which copies everything',
  },
  UNKNOWN_VERSION: {
    summary: 'It was written in a version of the format that this program does not know',
    remedy: 'Use the version of blockmirror that wrote it, or a newer one',
  },
  UNKNOWN_FEATURE: {
    summary: 'It needs a feature of the format that this program does not know',
    remedy: 'Use the version of blockmirror that wrote it, or a newer one',
  },
  CREATE_UNFINISHED: {
    summary: 'Creating the mirror was interrupted; there is no mirror yet',
    remedy: 'Run create again with the same log and images',
  },
  NO_LABEL: {
    summary: 'The image carries no label of blockmirror',
    remedy: 'Say where the image of this mirror is, by the option images (--image NAME=PATH)',
  },
  LABEL_DAMAGED: {
    summary: 'Both copies of the label of the image are damaged',
    remedy: 'If it is a slave, create the mirror anew with keepData; if it is the master, restore it first',
  },
  FOREIGN_IMAGE: {
    summary: 'The image belongs to another mirror, or to an earlier one made with this log',
    remedy: 'Say where the image of this mirror is, by the option images (--image NAME=PATH)',
  },
  SWAPPED_IMAGES: {
    summary: 'The image belongs to this mirror, but it is not the one that was named',
    remedy: 'Say where each image is, by its own name, by the option images (--image NAME=PATH)',
  },
  STALE_IMAGE: {
    summary: 'The image was restored from an older copy, or missed an opening of the mirror',
    remedy:
      'It does not hold what was acknowledged. Put the current image back, or create the mirror anew with keepData',
  },
  STALE_LOG: {
    summary: 'The log was restored from an older copy: the images have moved on without it',
    remedy:
      'Put the current log back, or create the mirror anew over the same master with keepData, which copies everything',
  },
  DIVERGED: {
    summary: 'The log and the image both moved on since they parted',
    remedy: 'Decide which side is right, and create the mirror anew over that master with keepData',
  },
  TRUNCATED_IMAGE: {
    summary: 'The image is smaller than it was when the mirror was made, or lost blocks and its label',
    remedy:
      'Put the image back that was there, or say where it is, by the option images (--image NAME=PATH); nothing was written to it',
  },
  LOST_ALLOCATION: {
    summary:
      'The file of the image lost blocks that it had (cut short, punched, or shared with another file on a full disk)',
    remedy:
      'It is damaged, and must not be used as it is. The mirror goes on without a slave that is damaged so; to have it back, make the mirror anew over the same master, with keepData',
  },
  STALLED: {
    summary: 'The image still owes an answer to a request that is past its deadline, and nothing was asked of it',
    remedy:
      'See why its device does not answer. Ask again when it has answered; what is asked of it before is refused like this',
  },
  GROWN_IMAGE: {
    summary:
      'The file of the image is longer than it was when the mirror was made, so that its label is not at its end',
    remedy:
      'Put the file back that was there, or say where it is, by the option images (--image NAME=PATH); nothing was written to it',
  },
  FOREIGN_LOG: {
    summary: 'Other users can have written this log, and root does not use unasked what it names',
    remedy:
      'Look whose the images are that it names, and name each that is right by the option images (--image NAME=PATH)',
  },
  IMAGE_MISSING: {
    summary: 'An image cannot be found',
    remedy: 'Attach the device, or say where it is now, by the option images (--image NAME=PATH)',
    syscall: 'stat',
  },
  UNSUPPORTED: {
    summary: 'The kind of device asked for is not available here',
    remedy: "Use device: 'auto' or 'threads' (--device threads); `blockmirror doctor` says why io_uring is refused",
    syscall: 'io_uring_setup',
  },
  BLOCK_TOO_LARGE: {
    summary: 'The blocks of a device are larger than can be used',
    remedy:
      'Use a device with smaller blocks: image and log may have up to 4 KiB logical, the log up to 64 KiB physical',
  },
  ADDON_MISSING: {
    summary: 'The native part of blockmirror is not there for this platform',
    remedy: 'Build it: `npm explore blockmirror -- npm run build:native`',
  },
  // Safety of devices and create.
  MOUNTED: {
    summary: 'The device is mounted',
    remedy: 'Unmount it first; there is no option to override this',
  },
  IN_USE: {
    summary: 'The device is used by the system',
    remedy: 'Take it out of use there first (swap, LVM, md or dm-crypt); there is no option to override this',
  },
  USE_UNKNOWN: {
    summary: 'Whether something else uses it cannot be found out',
    remedy: 'Open it where it is (not in a container or another namespace), with /proc and /sys visible',
  },
  UNSAFE_FOLDER: {
    summary: 'Another user may write a folder on the way to it, and put something else in its place at any moment',
    remedy:
      'Keep log and images in a folder that root alone may write; or, if you trust everybody who may write it, say trustFolders (`--trust-folders`)',
  },
  SAME_DEVICE: {
    summary: 'The same device or file was named twice',
    remedy: 'Each image and the log need a device or file of their own',
  },
  OVERLAPPING: {
    summary: 'Two of the devices overlap',
    remedy: 'Name partitions that share no byte, and never a partition together with its whole disk',
  },
  SIGNATURE_FOUND: {
    summary: 'There is data on it already',
    remedy: 'Name another device, or say that the old content may go',
  },
  STALE_MASTER: {
    summary: 'The image that is to be the master is not the newest of the mirror it comes from',
    remedy: 'Name the newest image as the master, or say by acceptStale that the older content shall win',
  },
  NO_SPACE: {
    summary: 'There is not enough free space',
    remedy: 'Make room, give a smaller size, or name paths on another file system; nothing was made',
    syscall: 'fallocate',
  },
  IMAGE_NOT_FOUND: {
    summary: 'The image file does not exist, and it cannot be made',
    remedy: 'Give size, so that it can be made, or name an existing file or device',
    syscall: 'stat',
  },
  INVALID_OPTION: {
    summary: 'An option is not known, or has a value that cannot be used',
    remedy: 'See docs/API.md for the options',
  },
  // Operating a mirror that another process has open.
  NO_CONTROL: {
    summary: 'There is no control socket to operate this mirror by',
    remedy: 'Open the mirror with control: true, in the process that is to hold it',
  },
  CONTROL_UNAVAILABLE: {
    summary: 'The control socket of the mirror cannot be offered or used here',
    remedy: 'See to what is named; the mirror itself works without it',
  },
  NO_ANSWER: {
    summary: 'The process that has the mirror open does not answer',
    remedy: 'See what it does (`blockmirror status` says which process it is), and ask again',
  },
  WORK_STOPPED: {
    summary: 'The work was stopped by a client of the control socket',
    remedy: 'What was done by then stays done: begin it again, and it goes on',
  },
  // Recovery.
  READ_BACK_DIFFERS: {
    summary: 'After the copy a slave still differs from the master',
    remedy:
      'Its device does not return what was written to it: replace it. Nothing was retired, so that recovery can run again',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorName = keyof typeof ERRORS;
export type ErrorCode = `ERR_BLOCKMIRROR_${ErrorName}`;

/** The error of a system call, in the shape Node gives its own. */
export interface SystemError extends Error {
  errno: number;
  code: string;
  syscall?: string;
  path?: string;
}

export interface ErrorContext {
  /** What was found, after the table's summary. */
  detail?: string;
  /** In place of the table's remedy. */
  remedy?: string;
  image?: string;
  path?: string;
  position?: number;
  /** A positive errno. */
  systemError?: number;
  cause?: unknown;
  /** Memory that had been handed over, given back. */
  buffer?: ArrayBufferView;
}

export class BlockmirrorError extends Error {
  /** What it was made from, without what is worked out. */
  readonly #context: ErrorContext;
  readonly code: ErrorCode;
  /** What to do about it, without a full stop; the message ends with it. */
  readonly remedy: string;
  /** Name of the image concerned, or 'log'. */
  readonly image?: string;
  readonly path?: string;
  /** Byte of the image or the log at which it happened. */
  readonly position?: number;
  /** Of a write with transfer: the memory that had been handed over, given back. */
  readonly buffer?: ArrayBufferView;
  declare readonly cause?: unknown;

  constructor(name: ErrorName, given: ErrorContext = {}) {
    // Its own properties alone: what somebody put on Object.prototype tells nothing of this error.
    const context = ownOf(given);
    super(message(name, context), causeOf(name, context));
    this.name = 'BlockmirrorError';
    this.#context = context;
    this.code = `ERR_BLOCKMIRROR_${name}`;
    this.remedy = remedyFor(name, context);
    if (context.image !== undefined) this.image = context.image;
    if (context.path !== undefined) this.path = context.path;
    if (context.position !== undefined) this.position = context.position;
    if (context.buffer !== undefined) this.buffer = context.buffer;
  }

  /** @internal The same error, by somebody who knows more about what to do. */
  withRemedy(remedy: string): BlockmirrorError {
    return new BlockmirrorError(this.code.slice('ERR_BLOCKMIRROR_'.length) as ErrorName, { ...this.#context, remedy });
  }

  /** @internal The same error, by somebody who found out more; the text is put behind what was found already. */
  withDetail(more: string): BlockmirrorError {
    const { detail } = this.#context;
    const name = this.code.slice('ERR_BLOCKMIRROR_'.length) as ErrorName;
    return new BlockmirrorError(name, {
      ...this.#context,
      detail: detail === undefined ? more : `${detail}; ${more}`,
      remedy: this.remedy,
    });
  }

  /** @internal What it was made from: all that another process needs to make the same error. */
  facts(): Readonly<ErrorContext> {
    return this.#context;
  }

  toJSON(): Problem {
    return { code: this.code, message: this.message };
  }
}

function message(name: ErrorName, context: ErrorContext): string {
  const entry: ErrorEntry = ERRORS[name];
  const where = [
    context.image === undefined ? undefined : shown(context.image),
    context.path === undefined || context.path === '' ? undefined : `(${shown(context.path)})`,
    context.position === undefined ? undefined : `at byte ${context.position}`,
  ].filter((part) => part !== undefined);
  const prefix = where.length > 0 ? `${where.join(' ')}: ` : '';
  const detail = context.detail === undefined ? '' : `: ${context.detail}`;
  const system =
    context.systemError === undefined || context.systemError === 0 ? '' : ` (${systemErrorName(context.systemError)})`;
  const summary = prefix === '' ? entry.summary : entry.summary.charAt(0).toLowerCase() + entry.summary.slice(1);
  return shownLine(`${prefix}${summary}${detail}${system}. ${remedyFor(name, context)}.`);
}

function remedyFor(name: ErrorName, context: ErrorContext): string {
  return shownLine(context.remedy ?? remedyOfPath(name, context.path, context.systemError ?? 0) ?? ERRORS[name].remedy);
}

function causeOf(name: ErrorName, context: ErrorContext): { cause?: unknown } {
  if (context.cause !== undefined) return { cause: printableCause(context.cause) };
  if (context.systemError === undefined || context.systemError === 0) return {};
  return { cause: systemError(context.systemError, (ERRORS[name] as ErrorEntry).syscall, context.path) };
}

/** Node puts the path into the message of a system error as it is, and whoever prints an error prints its cause. */
function printableCause(cause: unknown): unknown {
  if (!(cause instanceof Error) || shownLine(cause.message) === cause.message) return cause;
  return Object.assign(new Error(shownLine(cause.message)), cause);
}

/** What ENODATA stands for in the log and in the engine (native/core/base/device.h); no read or write answers it. */
const LOST_ALLOCATION_ERRNO = osConstants.errno.ENODATA;

/** What EBADMSG stands for there: bytes that nobody wrote were read, without an error. */
const WRONG_BYTES_ERRNO = osConstants.errno.EBADMSG;

export function isWrongBytes(errno: number): boolean {
  return errno === WRONG_BYTES_ERRNO;
}

/** What an image returned, in words. @param errno positive */
export function failureReason(errno: number): string {
  if (errno === WRONG_BYTES_ERRNO) return 'it returned other bytes than were written to it, without an error';
  if (errno === LOST_ALLOCATION_ERRNO) return ERRORS.LOST_ALLOCATION.summary.replace(/^The file/, 'its file');
  const returned = `it returned ${systemErrorName(errno)}`;
  if (errno !== osConstants.errno.ENOSPC) return returned;
  return `${returned} for a write in place: it lost blocks that it had, or what lies below it (a thin volume) is full`;
}

/** @param errno positive */
export function systemErrorName(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

/** @param errno positive */
export function systemError(errno: number, syscall?: string, path?: string): SystemError {
  const code = systemErrorName(errno);
  const error = new Error(
    [code, syscall, path === undefined ? undefined : `'${shown(path)}'`].filter((part) => part !== undefined).join(' '),
  ) as SystemError;
  error.errno = -errno;
  error.code = code;
  if (syscall !== undefined) error.syscall = syscall;
  if (path !== undefined) error.path = path;
  return error;
}

export function isBlockmirrorError(error: unknown, name?: ErrorName): error is BlockmirrorError {
  return error instanceof BlockmirrorError && (name === undefined || error.code === `ERR_BLOCKMIRROR_${name}`);
}

/** Of the log and labels that this program writes. */
const FORMAT_VERSION = 2;
const REMEDY_OF_FORMER_VERSION =
  'Make the mirror anew over the same master, which keeps its data: `blockmirror create --keep-data ' +
  '--overwrite-signature` with the same --log, --master and --slave; docs/UPGRADING.md says how to find them';

/** Names of the image and path that a native status speaks of. */
export interface StatusNames {
  log: string;
  images: readonly { name: string; path: string }[];
  /** Once the mirror is known: then remedies are whole commands. */
  mirror?: MirrorFacts;
  /** Of this opening. */
  minInSync?: number;
}

/** The typed error of a native status; `names` may be short of images before the superblock is loaded. */
export function errorOfStatus(
  codes: readonly string[],
  status: NativeOutcome,
  names?: StatusNames,
  extra: ErrorContext = {},
): BlockmirrorError {
  const name = codes[status.code];
  const known = name !== undefined && name in ERRORS ? (name as ErrorName) : 'INTERNAL';
  const context = ownOf(extra);
  if (known === 'INTERNAL' && name !== 'INTERNAL')
    context.detail = `unknown code ${status.code} (${name ?? 'no name'})`;
  if (status.systemError !== 0) context.systemError = status.systemError;
  if (status.image === -2) {
    context.image ??= 'log';
    if (names !== undefined) context.path ??= names.log;
  } else if (status.image >= 0) {
    const image = names?.images[status.image];
    context.image ??= image?.name ?? (status.image === 0 ? 'master' : `slave${status.image}`);
    if (image !== undefined && image.path !== '') context.path ??= image.path;
  }
  if (status.reason !== undefined && status.reason !== '') {
    context.detail ??= `copy ${status.position === 0 ? 'A' : 'B'}: ${status.reason}`;
  }
  if (known === 'TOO_FEW_IN_SYNC' && names?.minInSync !== undefined) {
    context.detail ??= `minInSync is ${names.minInSync}`;
  }
  if (known === 'UNKNOWN_VERSION' && status.position > 0) {
    context.detail ??= `version ${status.position} of the format`;
    if (status.position < FORMAT_VERSION) context.remedy ??= REMEDY_OF_FORMER_VERSION;
  }
  if (POSITIONED.has(known)) context.position ??= status.position;
  if (known === 'BLOCK_TOO_LARGE' && status.position > 0) context.detail ??= `${status.position} bytes`;
  if (known === 'MASTER_FAILED' && status.systemError === LOST_ALLOCATION_ERRNO) {
    context.detail ??= failureReason(status.systemError);
    context.remedy ??= 'Write nothing to it, close the mirror and open it again: the error then names the way out';
    delete context.systemError;
  }
  if (known === 'MASTER_FAILED' && status.systemError === WRONG_BYTES_ERRNO) {
    context.detail ??= failureReason(status.systemError);
    if (names?.mirror !== undefined) context.remedy ??= remedyOfWrongBytes(names.mirror);
    delete context.systemError;
  }
  if (names?.mirror !== undefined) {
    const remedy = remedyOf(known, { mirror: names.mirror, image: status.image, position: status.position });
    if (remedy !== null) context.remedy ??= remedy;
  }
  return new BlockmirrorError(known, context);
}

const POSITIONED: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'MISALIGNED',
  'OUT_OF_RANGE',
  'READ_FAILED',
  'WRITE_FAILED',
  'HOLE',
  'LOST_ALLOCATION',
  'TRUNCATED_IMAGE',
  'GROWN_IMAGE',
  'UNUSABLE_SOURCE',
]);

/** Node's own error for an argument of a wrong type. */
export function invalidArgumentType(name: string, expected: string, actual: unknown): TypeError {
  const received = describe(actual);
  const error = new TypeError(`The "${name}" argument must be ${expected}. Received ${received}`);
  return withCode(error, 'ERR_INVALID_ARG_TYPE');
}

/** Defined, not assigned: a setter that somebody put on Object.prototype would get it. */
export function withCode<E extends Error>(error: E, code: string): E {
  const property = { __proto__: null, value: code, writable: true, enumerable: true, configurable: true };
  return Object.defineProperty(error, 'code', property);
}

function describe(value: unknown): string {
  switch (typeof value) {
    case 'object':
      return value === null ? 'null' : `an instance of ${value.constructor?.name ?? 'Object'}`;
    case 'function':
      return `function ${value.name}`;
    case 'undefined':
      return 'undefined';
    default:
      return `type ${typeof value} (${shown(String(value).slice(0, 28))})`;
  }
}
