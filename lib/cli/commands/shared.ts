/** What several commands print: images, states in plain words, and the command line to run next. */
import type { Holder, ImageState, ImageStatus, Owner, Status } from '../../index';
import { ownOf } from '../../base/intrinsics';
import { shown, shownLine } from '../../base/shown';
import { type Colour, columnsOf } from '../colours';
import type { Output } from '../output';
import { table } from '../words';
import { command as commandOf } from '../../base/remedies';

/** Options that commands share, as commander hands them over. */
export interface DeviceChoice {
  device: 'auto' | 'io_uring' | 'threads';
}
export interface ImagePaths {
  image?: Record<string, string>;
}
export interface TakeOver {
  takeOver?: boolean;
}
export interface TrustFolders {
  trustFolders?: boolean;
}

export interface Presence {
  /** Milliseconds, or Infinity. */
  waitForImages?: number;
  requireAll?: boolean;
  /** Milliseconds, or Infinity. */
  deviceTimeout?: number;
}

/** Of every command that opens a mirror. */
export interface OpeningChoice extends DeviceChoice, ImagePaths, Presence, TakeOver, TrustFolders {}

/** A mirror that a command has open can be operated from another terminal. */
export function presenceOf({ waitForImages, requireAll, deviceTimeout }: Presence): Presence & { control: true } {
  return {
    control: true,
    requireAll: requireAll === true,
    ...(waitForImages === undefined ? {} : { waitForImages }),
    ...(deviceTimeout === undefined ? {} : { deviceTimeout }),
  };
}

export function imagesOf(options: ImagePaths): { images?: Record<string, string> } {
  return options.image === undefined ? {} : { images: options.image };
}

export const STATE_COLOUR: Readonly<Record<ImageState, Colour>> = {
  synchronized: 'green',
  consistent: 'green',
  assumed: 'yellow',
  behind: 'yellow',
  synchronizing: 'yellow',
  inconsistent: 'red',
  failed: 'red',
};

export const STATE_MEANING: Record<ImageState, string> = {
  synchronized: 'identical to the master, and provably so',
  consistent: 'in sync; writes are in flight or were when the mirror stopped',
  assumed: 'declared identical when the mirror was made, never compared',
  behind: 'a consistent point in time, older than the master',
  synchronizing: 'being copied from the master; not usable',
  inconsistent: 'known to differ from the master: a verify found it so, or a copy began and did not end; not usable',
  failed: 'out of the mirror',
};

const USABLE: ReadonlySet<ImageState> = new Set<ImageState>(['synchronized', 'consistent', 'assumed']);

export function isInSync(state: ImageState): boolean {
  return USABLE.has(state);
}

/** One line for each image; where a path is too long for the terminal, it has a line of its own. */
export function imageTable(images: readonly ImageStatus[], output: Output): string {
  const stateOf = (image: ImageStatus): string => output.paint(STATE_COLOUR[image.state], image.state);
  const column = (of: (image: ImageStatus) => string): number =>
    Math.max(...images.map((image) => columnsOf(of(image)))) + 2;
  const before = column(({ name }) => name) + column(({ role }) => role) + column(({ state }) => state);
  const longest = Math.max(...images.map(({ path }) => columnsOf(path)));
  if (output.isTerminal && before + longest > output.width) {
    const rows = images.map((image) => [shown(image.name), image.role, stateOf(image)]);
    const [head, ...lines] = table(['IMAGE', 'ROLE', 'STATE'], rows).split('\n');
    return [head, ...lines.flatMap((line, index) => [line, `    ${shown(images[index]?.path ?? '')}`])].join('\n');
  }
  return table(
    ['IMAGE', 'ROLE', 'STATE', 'PATH'],
    images.map((image) => [shown(image.name), image.role, stateOf(image), shown(image.path)]),
  );
}

/** It has locked the log, and is not the process that opened the mirror: anybody who may read a log can do so. */
export function isStranger(holder: Holder | null): boolean {
  return holder?.isOwner === false;
}

/** Who holds the log now; by its own record where this machine does not tell. */
export function holderInWords({ holder, owner }: Pick<Status, 'holder' | 'owner'>): string {
  if (holder !== null && holder.process !== null) {
    const name =
      holder.processName === null
        ? `process ${holder.process}`
        : `${shown(holder.processName)} (process ${holder.process})`;
    const since = owner?.process === holder.process ? `, since ${owner.startedAt}` : '';
    const stranger = isStranger(holder)
      ? `${holder.uid === null ? '' : ` of user ${holder.uid}`}, which is not the owner that the log records`
      : '';
    return `${name} on this machine${since}${stranger}${holder.state === 'frozen' ? '; it is FROZEN and answers nobody' : ''}`;
  }
  return owner === null ? 'a process that cannot be seen from here' : ownerInWords(owner);
}

const DAMAGE_LINES = 16;

/** A flood of lines summed up; --json has the first 64. */
export function damageToText({ damage, damageCount }: { damage: readonly string[]; damageCount: number }): string {
  const lines = damage.slice(0, DAMAGE_LINES).map((line) => `  ${shownLine(line)}`);
  if (damageCount > lines.length) lines.push(`  … and ${damageCount - lines.length} more`);
  return lines.join('\n');
}

export function ownerInWords(owner: Owner): string {
  const process =
    owner.processName === null ? `process ${owner.process}` : `${shown(owner.processName)} (process ${owner.process})`;
  // Whoever reads it may be about to kill it: here that number is another process.
  const elsewhere = owner.pidNamespace === 'other' ? ' of another pid namespace' : '';
  return `${process}${elsewhere} on ${shown(owner.host)}, since ${owner.startedAt}`;
}

/** Entries of a list in a document: whatever a log says, nobody gets a hundred thousand lines for it. */
export const LISTED = 1000;

/** A command line of ours that can be pasted as it is. */
export function commandLine(
  command: string,
  log: string,
  options: ImagePaths & TrustFolders,
  ...rest: string[]
): string {
  const { trustFolders, image } = ownOf(options);
  const trust = trustFolders === true ? ['--trust-folders'] : [];
  return commandOf(command, log, image ?? {}, ...rest, ...trust);
}
