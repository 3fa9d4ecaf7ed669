/**
 * From the path of a log to the mirror that another process has open by it.
 *
 * Who answers is not believed to be that mirror because it listens where one of its UUID would: it names its opening, which has to
 * be the one that the log itself records, and its log has to be the same file or device. A copy of a log has the UUID too.
 */
import { checkPath, OptionReader } from '../base/option_reader';
import type { ConnectOptions } from '../base/control';
import { BlockmirrorError, isBlockmirrorError } from '../base/errors';
import { command } from '../base/remedies';
import { throwIfAborted } from '../base/signals';
import { readSuperblock } from '../life/attach';
import { explainLog } from '../look/explain';
import { describeOwner, findHolder, frozenHolder, ownerToText } from '../look/holders';
import { refuseUnsafeFolders } from '../system/folders';
import { findPlace, type Place } from '../system/places';
import type { NativeSuperblock } from '../base/binding';
import { MirrorClient } from './client';
import { isThere, placeOfControl } from './place';
import { type Hello, openingOf } from './wire';

/**
 * A client of the mirror that another process has open with `control: true`; close() it.
 * @throws NO_CONTROL: nobody has it open, or without a control socket; NO_ANSWER: its process does not answer
 */
export async function connect(log: string, options: ConnectOptions = {}): Promise<MirrorClient> {
  checkPath(log, 'log');
  const reader = new OptionReader(options, ['trustFolders', 'signal'], 'options', 'connect()');
  const trustFolders = reader.flag('trustFolders', false);
  const signal = reader.signal();
  throwIfAborted(signal);
  await refuseUnsafeFolders([{ name: 'log', path: log }], trustFolders);
  const superblock = await readSuperblock(log).catch(async (error: unknown) => {
    throw await explainLog(error, log);
  });
  const place = await findPlace(log, 'log');
  if (place === null) throw new BlockmirrorError('OPEN_FAILED', { image: 'log', path: log, systemError: 2 });
  const socket = placeOfControl(superblock.mirrorUuid);
  if (!(await isThere(socket))) throw await noControl(log, place, superblock);
  const client = new MirrorClient(log, socket.path);
  try {
    await meet(client, log, place, superblock, signal);
    return client;
  } catch (error) {
    client.close();
    throw error;
  }
}

async function meet(
  client: MirrorClient,
  log: string,
  place: Place,
  superblock: NativeSuperblock,
  signal: AbortSignal | undefined,
): Promise<void> {
  const hello = await client.hello(signal).catch(async (error: unknown) => {
    if (isBlockmirrorError(error, 'CLOSED')) throw await noControl(log, place, superblock);
    throw isBlockmirrorError(error, 'NO_ANSWER') ? await noAnswer(error, log, place) : error;
  });
  if (hello.uuid !== superblock.mirrorUuid || hello.opening !== openingOf(superblock) || !isSameLog(hello, place)) {
    throw await noControl(log, place, superblock, 'what listens there has another log open, or had this one');
  }
  client.use(hello.opening);
}

/** By one file or device; or a loop device and the file below it, which only one opening can hold. */
function isSameLog({ device, inode }: Hello, { number, inodeDevice, inode: ours }: Place): boolean {
  const here = number === null ? { device: inodeDevice, inode: ours } : { device: number, inode: '0' };
  if (here.device === device && here.inode === inode) return true;
  return here.inode === '0' || inode === '0';
}

async function noControl(
  log: string,
  place: Place,
  { owner }: NativeSuperblock,
  found?: string,
): Promise<BlockmirrorError> {
  const holder = await findHolder(place);
  if (holder === null) {
    return new BlockmirrorError('NO_CONTROL', {
      image: 'log',
      path: log,
      detail: found ?? 'nobody is seen to have it open here',
      remedy: `See whether it is open: \`${command('status', log)}\``,
    });
  }
  const recorded = await describeOwner(owner);
  const who = recorded === null ? `process ${holder.process ?? 'of another pid namespace'}` : ownerToText(recorded);
  const other = holder.uid !== null && holder.uid !== process.geteuid?.();
  const reach = `it was opened without control, or its socket is not to be reached from here${other ? `: it is of user ${holder.uid}` : ''}`;
  return new BlockmirrorError('NO_CONTROL', {
    image: 'log',
    path: log,
    detail: `it is held by ${who}; ${found ?? reach}`,
  });
}

async function noAnswer(error: BlockmirrorError, log: string, place: Place): Promise<BlockmirrorError> {
  const process = (await findHolder(place))?.process ?? null;
  const frozen = process === null ? null : await frozenHolder(process);
  const who = process === null ? '' : `process ${process}`;
  const detail = [who, error.facts().detail, frozen?.detail]
    .filter((part) => part !== undefined && part !== '')
    .join('; ');
  return new BlockmirrorError('NO_ANSWER', {
    image: 'log',
    path: log,
    detail,
    remedy: frozen?.remedy ?? `See what it does: \`${command('status', log)}\` says which process it is`,
  });
}
