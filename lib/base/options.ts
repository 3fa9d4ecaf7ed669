/**
 * Options, checked at the edge: wrong types are Node's ERR_INVALID_ARG_TYPE, wrong values and unknown names
 * ERR_BLOCKMIRROR_INVALID_OPTION. What leaves here needs no check again. Pure.
 */
import { invalidArgumentType } from './errors';
import { elementsOf } from './intrinsics';
import {
  type CheckedImages,
  type CheckedLongWork,
  type CheckedPresence,
  type CheckedVerifyChoice,
  OptionReader,
  VERIFY,
  checkNames,
  someNames,
  checkPath,
  invalidOption,
} from './option_reader';
import {
  POLICY_KEYS,
  SETTING_KEYS,
  type SettingKey,
  checkRecoveryBudget,
  refuseUnreachable,
  refuseUnstored,
  settingsOf,
} from './policies';
import { shown } from './shown';
import { parseMoment } from './moments';
import type {
  HistoryChoice,
  HistoryOptions,
  Moment,
  CreateOptions,
  ExplainOptions,
  FractureOptions,
  ImageChoice,
  InspectOptions,
  MirrorSetOptions,
  OpenOptions,
  Policies,
  RecoverOptions,
  ResyncOptions,
  SetOptions,
  Settings,
  VerifyOptions,
} from './types';

export { checkPath, someNames } from './option_reader';

export interface Limits {
  slaves: number;
  imageNameLength: number;
  imageNamePattern: string;
  minimumRecoveryBudget: number;
  maximumRecoveryBudget: number;
  defaultRecoveryBudget: number;
  minimumRingRecords: number;
  maximumRingRecords: number;
  defaultMapSlots: number;
  imagePathLength: number;
  labelAreaLength: number;
}

export interface CheckedCreate extends CheckedLongWork {
  log: string;
  /** [0] is the master. */
  images: { name: string; path: string }[];
  /** null: the largest the images allow. */
  size: number | null;
  assumeIdentical: boolean;
  keepData: boolean;
  overwriteSignature: boolean;
  /** Name, in the mirror it comes from, of the image that may be master although it is not the newest. */
  acceptStale: string | null;
  readBack: boolean;
  takeOver: boolean;
  trustFolders: boolean;
  ringRecords: number | null;
  maxImages: number;
  /** Those that are given. */
  policies: Partial<Policies>;
}

export interface CheckedOpen extends CheckedLongWork, CheckedImages, CheckedPresence {
  takeOver: boolean;
  trustFolders: boolean;
  polling: boolean;
  /** null: as the mirror has it. */
  rejoin: 'auto' | 'manual' | null;
  recovery: 'auto' | 'background' | 'manual';
  recoveryBudget: number;
  /** null: the mirror's own. */
  minInSync: number | null;
  /** Milliseconds; null: the mirror's own. */
  deviceTimeout: number | null;
}

export interface CheckedRecover extends CheckedLongWork, CheckedImages, CheckedPresence {
  takeOver: boolean;
  trustFolders: boolean;
  dryRun: boolean;
  compare: boolean;
  readBack: boolean;
}

export interface CheckedVerify extends CheckedLongWork, CheckedImages, CheckedPresence, CheckedVerifyChoice {
  takeOver: boolean;
  trustFolders: boolean;
}

export interface CheckedFracture extends CheckedLongWork, CheckedImages, CheckedPresence {
  slaves: readonly string[];
  takeOver: boolean;
  trustFolders: boolean;
}

export interface CheckedResync extends CheckedLongWork, CheckedImages, CheckedPresence {
  /** null: all that are not in sync. */
  slaves: readonly string[] | null;
  /** null: the mirror's own. */
  rate: number | 'auto' | null;
  full: boolean;
  compare: boolean;
  takeOver: boolean;
  trustFolders: boolean;
}

export interface CheckedSet {
  settings: Partial<Policies>;
  takeOver: boolean;
  trustFolders: boolean;
}

const LONG_WORK = ['device', 'onProgress', 'signal'] as const;
const PRESENCE = ['waitForImages', 'requireAll', 'deviceTimeout', 'control'] as const;

export function checkCreate(options: CreateOptions, limits: Limits): CheckedCreate {
  const reader = new OptionReader(options, [
    ...['log', 'master', 'slaves', 'size', 'assumeIdentical', 'keepData', 'overwriteSignature', 'readBack'],
    ...['acceptStale', 'takeOver', 'trustFolders', 'ringRecords', 'maxImages', ...POLICY_KEYS, ...LONG_WORK],
  ]);
  const slaves = reader.get('slaves');
  if (!Array.isArray(slaves)) throw invalidArgumentType('options.slaves', 'an array of paths', slaves);
  const count = slaves.length;
  if (count < 1 || count > limits.slaves) {
    throw invalidOption(`slaves names ${count} images`, `Name 1 to ${limits.slaves} slaves`);
  }
  const images = [reader.get('master'), ...elementsOf(slaves as (string | ImageChoice)[], count)].map((image, index) =>
    checkImage(image, index === 0 ? 'master' : `slave${index}`, index, limits),
  );
  const names = new Set<string>();
  for (const { name } of images) {
    if (names.has(name))
      throw invalidOption(`two images are named '${shown(name)}'`, 'Give each image a name of its own');
    names.add(name);
  }
  const ringRecords = reader.wholeNumber('ringRecords');
  const { minimumRingRecords, maximumRingRecords } = limits;
  if (ringRecords !== null && (ringRecords < minimumRingRecords || ringRecords > maximumRingRecords)) {
    throw invalidOption(`ringRecords is ${ringRecords}`, `Give ${minimumRingRecords} to ${maximumRingRecords}`);
  }
  const maxImages = reader.wholeNumber('maxImages') ?? Math.max(limits.defaultMapSlots, images.length);
  const most = limits.slaves + 1;
  if (maxImages < images.length || maxImages > most) {
    throw invalidOption(`maxImages is ${maxImages}`, `Give ${images.length}, the images there are, to ${most}`);
  }
  const policies = settingsOf(reader, POLICY_KEYS, limits);
  refuseUnreachable(policies.minInSync, images.length);
  const size = reader.get('size') === undefined ? null : reader.size('size');
  if (size === 0)
    throw invalidOption('size is 0', 'Give a size, or leave it out for the largest that the images allow');
  // Room for the label, and for rounding to whole MiB, in numbers that JavaScript can hold.
  const largestSize = Number.MAX_SAFE_INTEGER - 2 * limits.labelAreaLength;
  if (size !== null && size > largestSize) throw invalidOption(`size is ${size}`, `Give at most ${largestSize} bytes`);
  return {
    log: checkPath(reader.get('log'), 'options.log'),
    images,
    size,
    assumeIdentical: reader.flag('assumeIdentical', false),
    keepData: reader.flag('keepData', false),
    overwriteSignature: reader.flag('overwriteSignature', false),
    acceptStale: reader.text('acceptStale'),
    readBack: reader.flag('readBack', true),
    takeOver: reader.flag('takeOver', false),
    trustFolders: reader.flag('trustFolders', false),
    ringRecords,
    maxImages,
    policies,
    ...reader.longWork(),
  };
}

export function checkOpen(options: OpenOptions, limits: Limits): CheckedOpen {
  const reader = new OptionReader(options, [
    'recovery',
    'images',
    'takeOver',
    'trustFolders',
    'recoveryBudget',
    'rejoin',
    'minInSync',
    'polling',
    ...PRESENCE,
    ...LONG_WORK,
  ]);
  const budget =
    reader.get('recoveryBudget') === undefined ? limits.defaultRecoveryBudget : reader.size('recoveryBudget');
  return {
    recovery: reader.choice('recovery', ['auto', 'background', 'manual'], 'auto'),
    recoveryBudget: checkRecoveryBudget(budget, limits),
    rejoin: reader.get('rejoin') === undefined ? null : reader.choice('rejoin', ['auto', 'manual'] as const, 'auto'),
    minInSync: settingsOf(reader, ['minInSync'], limits).minInSync ?? null,
    takeOver: reader.flag('takeOver', false),
    trustFolders: reader.flag('trustFolders', false),
    polling: reader.choice('polling', ['auto', 'never'] as const, 'auto') === 'auto',
    ...reader.images(),
    ...reader.presence(),
    ...reader.longWork(),
  };
}

export function checkInspect(
  options: InspectOptions,
): CheckedImages & { trustFolders: boolean; signal: AbortSignal | undefined } {
  const reader = new OptionReader(options, ['images', 'trustFolders', 'signal']);
  return { ...reader.images(), trustFolders: reader.flag('trustFolders', false), signal: reader.signal() };
}

export function checkExplain(
  options: ExplainOptions,
  position: unknown,
): CheckedImages & { trustFolders: boolean; signal: AbortSignal | undefined } {
  if (typeof position !== 'number') throw invalidArgumentType('position', 'a number', position);
  if (!Number.isSafeInteger(position) || position < 0) {
    throw invalidOption(`position is ${position}`, 'Give the position of a byte of the mirror, from 0 on');
  }
  const reader = new OptionReader(options, ['images', 'trustFolders', 'signal'], 'options', 'explain()');
  return { ...reader.images(), trustFolders: reader.flag('trustFolders', false), signal: reader.signal() };
}

export interface CheckedHistory {
  image: string | null;
  /** Milliseconds since 1970. */
  sinceMs: number | null;
  signal: AbortSignal | undefined;
}

const HISTORY = ['image', 'since'] as const;

export function checkHistory(options: HistoryOptions, nowMs: number): CheckedHistory {
  const reader = new OptionReader(options, [...HISTORY, 'signal'], 'options', 'history()');
  return { ...historyChoice(reader, nowMs), signal: reader.signal() };
}

/** Of one's own mirror. */
export function checkHistoryChoice(options: HistoryChoice, nowMs: number): Omit<CheckedHistory, 'signal'> {
  return historyChoice(new OptionReader(options, HISTORY, 'options', 'history()'), nowMs);
}

function historyChoice(reader: OptionReader, nowMs: number): Omit<CheckedHistory, 'signal'> {
  const image = reader.get('image');
  const since = reader.get('since');
  if (image !== undefined && typeof image !== 'string')
    throw invalidArgumentType('options.image', 'a name (string)', image);
  return {
    image: image ?? null,
    sinceMs: since === undefined ? null : parseMoment(since as Moment, 'options.since', nowMs),
  };
}

export function checkRecover(options: RecoverOptions): CheckedRecover {
  const reader = new OptionReader(options, [
    'dryRun',
    'compare',
    'readBack',
    'images',
    'takeOver',
    'trustFolders',
    ...PRESENCE,
    ...LONG_WORK,
  ]);
  return {
    dryRun: reader.flag('dryRun', false),
    compare: reader.flag('compare', true),
    readBack: reader.flag('readBack', true),
    takeOver: reader.flag('takeOver', false),
    trustFolders: reader.flag('trustFolders', false),
    ...reader.images(),
    ...reader.presence(),
    ...reader.longWork(),
  };
}

export function checkVerify(options: VerifyOptions): CheckedVerify {
  const reader = new OptionReader(options, [
    ...['images', 'takeOver', 'trustFolders'],
    ...VERIFY,
    ...PRESENCE,
    ...LONG_WORK,
  ]);
  return {
    ...reader.verify(),
    takeOver: reader.flag('takeOver', false),
    trustFolders: reader.flag('trustFolders', false),
    ...reader.images(),
    ...reader.presence(),
    ...reader.longWork(),
  };
}

export function checkFracture(options: FractureOptions): CheckedFracture {
  const reader = new OptionReader(options, [
    ...['slaves', 'detach', 'images', 'takeOver', 'trustFolders'],
    ...PRESENCE,
    ...LONG_WORK,
  ]);
  // The command ends with a close, which lets every device go: nothing depends on it here.
  reader.flag('detach', false);
  return {
    slaves: someNames(reader.get('slaves'), 'options.slaves'),
    takeOver: reader.flag('takeOver', false),
    trustFolders: reader.flag('trustFolders', false),
    ...reader.images(),
    ...reader.presence(),
    ...reader.longWork(),
  };
}

export function checkResync(options: ResyncOptions): CheckedResync {
  const reader = new OptionReader(options, [
    ...['slaves', 'rate', 'full', 'compare', 'images', 'takeOver', 'trustFolders'],
    ...PRESENCE,
    ...LONG_WORK,
  ]);
  return {
    slaves: checkNames(reader.get('slaves'), 'options.slaves'),
    rate: reader.rateOrAuto('rate'),
    full: reader.flag('full', false),
    compare: reader.flag('compare', false),
    takeOver: reader.flag('takeOver', false),
    trustFolders: reader.flag('trustFolders', false),
    ...reader.images(),
    ...reader.presence(),
    ...reader.longWork(),
  };
}

export function checkSet(options: SetOptions, limits: Limits): CheckedSet {
  const reader = new OptionReader(options, [...SETTING_KEYS, 'takeOver', 'trustFolders'], 'options', 'set()');
  refuseUnstored(reader);
  const settings = someSettings(reader, POLICY_KEYS, limits);
  return { settings, takeOver: reader.flag('takeOver', false), trustFolders: reader.flag('trustFolders', false) };
}

/** Of a mirror that is open. */
export function checkMirrorSet(options: MirrorSetOptions, limits: Limits): Partial<Settings> {
  return someSettings(new OptionReader(options, SETTING_KEYS, 'options', 'mirror.set()'), SETTING_KEYS, limits);
}

function someSettings(reader: OptionReader, keys: readonly SettingKey[], limits: Limits): Partial<Settings> {
  const settings = settingsOf(reader, keys, limits);
  if (Object.keys(settings).length > 0) return settings;
  throw invalidOption('nothing is to be set', `Give one of ${keys.join(', ')}`);
}

function checkImage(
  image: unknown,
  defaultName: string,
  index: number,
  limits: Limits,
): { name: string; path: string } {
  const where = index === 0 ? 'options.master' : `options.slaves[${index - 1}]`;
  if (typeof image === 'string') return { name: defaultName, path: checkPath(image, where) };
  if (image === null || typeof image !== 'object') {
    throw invalidArgumentType(where, 'a path (string) or { path, name }', image);
  }
  const reader = new OptionReader(image, ['path', 'name'], where);
  const name = reader.get('name') ?? defaultName;
  if (typeof name !== 'string') throw invalidArgumentType(`${where}.name`, 'a string', name);
  if (!new RegExp(limits.imageNamePattern).test(name)) {
    throw invalidOption(
      `${where}.name is '${shown(name)}'`,
      `Use up to ${limits.imageNameLength} letters, digits, '-', '_' and '.', and another word than 'log'`,
    );
  }
  return { name, path: checkPath(reader.get('path'), `${where}.path`) };
}

/** The log has `most` bytes for the path of an image. */
export function checkStoredPath(name: string, path: string, most: number): void {
  if (Buffer.byteLength(path) <= most) return;
  throw invalidOption(`the path of ${name} is longer than the ${most} bytes the log has for it`, 'Use a shorter path');
}
