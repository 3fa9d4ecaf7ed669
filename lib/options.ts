/**
 * Options, checked at the edge: wrong types are Node's ERR_INVALID_ARG_TYPE, wrong values and unknown names
 * ERR_BLOCKMIRROR_INVALID_OPTION. What leaves here needs no check again. Pure.
 */
import { BlockmirrorError, invalidArgumentType } from './errors';
import { parseSize } from './size';
import type {
  CreateOptions,
  DeviceKind,
  ImageChoice,
  InspectOptions,
  OpenOptions,
  ProgressListener,
  RecoverOptions,
  VerifyOptions,
} from './types';

export interface Limits {
  slaves: number;
  imageNameLength: number;
  minimumRecoveryBudget: number;
  defaultRecoveryBudget: number;
  minimumRingRecords: number;
}

export interface CheckedLongWork {
  device: 'auto' | DeviceKind;
  onProgress: ProgressListener | undefined;
  signal: AbortSignal | undefined;
}

export interface CheckedImages {
  images: Readonly<Record<string, string>>;
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
  verify: boolean;
  ringRecords: number | null;
}

export interface CheckedOpen extends CheckedLongWork, CheckedImages {
  takeOver: boolean;
  polling: boolean;
  recovery: 'auto' | 'manual';
  recoveryBudget: number;
}

export interface CheckedRecover extends CheckedLongWork, CheckedImages {
  takeOver: boolean;
  dryRun: boolean;
  compare: boolean;
  verify: boolean;
}

export interface CheckedVerify extends CheckedLongWork, CheckedImages {
  takeOver: boolean;
}

const LONG_WORK = ['device', 'onProgress', 'signal'] as const;

export function checkCreate(options: CreateOptions, limits: Limits): CheckedCreate {
  const reader = new OptionReader(options, [
    ...['log', 'master', 'slaves', 'size', 'assumeIdentical', 'keepData', 'overwriteSignature', 'verify'],
    ...['ringRecords', ...LONG_WORK],
  ]);
  const slaves: unknown = options.slaves;
  if (!Array.isArray(slaves)) throw invalidArgumentType('options.slaves', 'an array of paths', slaves);
  if (slaves.length < 1 || slaves.length > limits.slaves) {
    throw invalidOption(`slaves names ${slaves.length} images`, `Name 1 to ${limits.slaves} slaves`);
  }
  const images = [options.master, ...(slaves as (string | ImageChoice)[])].map((image, index) =>
    checkImage(image, index === 0 ? 'master' : `slave${index}`, index, limits),
  );
  const names = new Set<string>();
  for (const { name } of images) {
    if (names.has(name)) throw invalidOption(`two images are named '${name}'`, 'Give each image a name of its own');
    names.add(name);
  }
  const ringRecords = reader.wholeNumber('ringRecords');
  if (ringRecords !== null && ringRecords < limits.minimumRingRecords) {
    throw invalidOption(`ringRecords is ${ringRecords}`, `Give at least ${limits.minimumRingRecords}`);
  }
  const size = options.size === undefined ? null : reader.size('size');
  if (size === 0)
    throw invalidOption('size is 0', 'Give a size, or leave it out for the largest that the images allow');
  return {
    log: checkPath(options.log, 'options.log'),
    images,
    size,
    assumeIdentical: reader.flag('assumeIdentical', false),
    keepData: reader.flag('keepData', false),
    overwriteSignature: reader.flag('overwriteSignature', false),
    verify: reader.flag('verify', true),
    ringRecords,
    ...reader.longWork(),
  };
}

export function checkOpen(options: OpenOptions, limits: Limits): CheckedOpen {
  const reader = new OptionReader(options, [
    'recovery',
    'images',
    'takeOver',
    'recoveryBudget',
    'polling',
    ...LONG_WORK,
  ]);
  const budget = options.recoveryBudget === undefined ? limits.defaultRecoveryBudget : reader.size('recoveryBudget');
  if (budget < limits.minimumRecoveryBudget) {
    throw invalidOption(`recoveryBudget is ${budget} bytes`, `Give at least ${limits.minimumRecoveryBudget} bytes`);
  }
  return {
    recovery: reader.choice('recovery', ['auto', 'manual'], 'auto'),
    recoveryBudget: budget,
    takeOver: reader.flag('takeOver', false),
    polling: reader.choice('polling', ['auto', 'never'] as const, 'auto') === 'auto',
    ...reader.images(),
    ...reader.longWork(),
  };
}

export function checkInspect(options: InspectOptions): CheckedImages {
  return new OptionReader(options, ['images']).images();
}

export function checkRecover(options: RecoverOptions): CheckedRecover {
  const reader = new OptionReader(options, ['dryRun', 'compare', 'verify', 'images', 'takeOver', ...LONG_WORK]);
  return {
    dryRun: reader.flag('dryRun', false),
    compare: reader.flag('compare', true),
    verify: reader.flag('verify', true),
    takeOver: reader.flag('takeOver', false),
    ...reader.images(),
    ...reader.longWork(),
  };
}

export function checkVerify(options: VerifyOptions): CheckedVerify {
  const reader = new OptionReader(options, ['images', 'takeOver', ...LONG_WORK]);
  return { takeOver: reader.flag('takeOver', false), ...reader.images(), ...reader.longWork() };
}

export function checkPath(path: unknown, name: string): string {
  if (typeof path !== 'string') throw invalidArgumentType(name, 'a path (string)', path);
  if (path === '' || path.includes('\0')) {
    throw invalidOption(`${name} is ${JSON.stringify(path)}`, 'Give the path of a file or a block device');
  }
  return path;
}

export function checkSignal(signal: unknown, name: string): AbortSignal | undefined {
  if (signal === undefined) return undefined;
  if (signal === null || typeof signal !== 'object' || !('aborted' in signal)) {
    throw invalidArgumentType(name, 'an AbortSignal', signal);
  }
  return signal as AbortSignal;
}

/** A name that is also a command line word: `--image NAME=PATH`. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

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
  const name = (image as ImageChoice).name ?? defaultName;
  if (typeof name !== 'string') throw invalidArgumentType(`${where}.name`, 'a string', name);
  if (!NAME.test(name) || name.length > limits.imageNameLength || name === 'log') {
    throw invalidOption(
      `${where}.name is '${name}'`,
      `Use up to ${limits.imageNameLength} letters, digits, '-', '_' and '.', and another word than 'log'`,
    );
  }
  return { name, path: checkPath(reader.get('path'), `${where}.path`) };
}

function invalidOption(detail: string, remedy: string): BlockmirrorError {
  return new BlockmirrorError('INVALID_OPTION', { detail, remedy });
}

class OptionReader {
  private readonly options: Readonly<Record<string, unknown>>;
  private readonly prefix: string;

  constructor(options: unknown, known: readonly string[], prefix = 'options') {
    if (options === null || typeof options !== 'object') throw invalidArgumentType(prefix, 'an object', options);
    const unknown = Object.keys(options).find((key) => !known.includes(key));
    // A misspelt option of such weight must not pass for its default.
    if (unknown !== undefined) {
      throw invalidOption(`${prefix} has no '${unknown}'`, `The options are ${known.join(', ')}`);
    }
    this.options = options as Record<string, unknown>;
    this.prefix = prefix;
  }

  get(name: string): unknown {
    return this.options[name];
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.options[name];
    if (value === undefined) return otherwise;
    if (typeof value !== 'boolean') throw invalidArgumentType(`${this.prefix}.${name}`, 'a boolean', value);
    return value;
  }

  choice<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
    const value = this.options[name];
    if (value === undefined) return otherwise;
    if (typeof value !== 'string') throw invalidArgumentType(`${this.prefix}.${name}`, 'a string', value);
    const found = choices.find((choice) => choice === value);
    if (found === undefined) {
      throw invalidOption(`${name} is '${value}'`, `Use one of ${choices.map((choice) => `'${choice}'`).join(', ')}`);
    }
    return found;
  }

  size(name: string): number {
    const value = this.options[name];
    if (typeof value !== 'number' && typeof value !== 'string') {
      throw invalidArgumentType(`${this.prefix}.${name}`, "a number of bytes or a text such as '64MiB'", value);
    }
    return parseSize(value, name);
  }

  wholeNumber(name: string): number | null {
    const value = this.options[name];
    if (value === undefined) return null;
    if (typeof value !== 'number') throw invalidArgumentType(`${this.prefix}.${name}`, 'a number', value);
    if (!Number.isSafeInteger(value) || value < 0) throw invalidOption(`${name} is ${value}`, 'Give a whole number');
    return value;
  }

  images(): CheckedImages {
    const value = this.options['images'];
    if (value === undefined) return { images: {} };
    if (value === null || typeof value !== 'object' || Array.isArray(value)) {
      throw invalidArgumentType(`${this.prefix}.images`, 'an object of paths by image name', value);
    }
    const images: Record<string, string> = {};
    for (const [name, path] of Object.entries(value)) images[name] = checkPath(path, `${this.prefix}.images.${name}`);
    return { images };
  }

  longWork(): CheckedLongWork {
    const onProgress = this.options['onProgress'];
    if (onProgress !== undefined && typeof onProgress !== 'function') {
      throw invalidArgumentType(`${this.prefix}.onProgress`, 'a function', onProgress);
    }
    return {
      device: this.choice('device', ['auto', 'io_uring', 'threads'] as const, 'auto'),
      onProgress: onProgress as ProgressListener | undefined,
      signal: checkSignal(this.options['signal'], `${this.prefix}.signal`),
    };
  }
}
