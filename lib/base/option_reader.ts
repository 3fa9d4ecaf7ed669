/**
 * OptionReader: reads the options of one call, checks their types, and refuses names that it does not know. Pure.
 */
import { BlockmirrorError, invalidArgumentType } from './errors';
import { refuseInherited, refuseUnknownName } from './option_names';
import { shown } from './shown';
import { isAbortSignal } from './signals';
import { elementsOf } from './intrinsics';
import { parseDuration } from './duration';
import { parseRate, parseSize } from './size';
import type { DeviceKind, Duration, Extent, ProgressListener } from './types';

export interface CheckedLongWork {
  device: 'auto' | DeviceKind;
  onProgress: ProgressListener | undefined;
  signal: AbortSignal | undefined;
}

export interface CheckedImages {
  /** Without a prototype: an image may be named `constructor`. */
  images: Readonly<Record<string, string>>;
}

/** Options of a verify, of one's own mirror or of one that nobody has open. */
export const VERIFY = ['all', 'repair', 'rate', 'position', 'from', 'extent', 'overwriteMaster'] as const;

/** Of a verify that takes the content of a slave. */
export interface CheckedSource {
  from: string;
  extent: Extent;
  overwriteMaster: boolean;
}

export interface CheckedVerifyChoice {
  all: boolean;
  repair: boolean;
  /** Bytes a second; null: as fast as it goes. */
  rate: number | null;
  position: number;
  /** null: the master is right. */
  source: CheckedSource | null;
}

export interface CheckedPresence {
  /** Milliseconds, or Infinity; null: not given. */
  waitForImages: number | null;
  /** ms, Infinity: none; null: as the log has it. */
  deviceTimeout: number | null;
  requireAll: boolean;
  control: boolean;
}

export function checkPath(path: unknown, name: string): string {
  if (typeof path !== 'string') throw invalidArgumentType(name, 'a path (string)', path);
  if (path === '' || path.includes('\0')) {
    throw invalidOption(`${name} is ${JSON.stringify(path)}`, 'Give the path of a file or a block device');
  }
  return path;
}

/** Names of images; null: none were given. Whether the mirror has them is not known here. */
export function checkNames(names: unknown, option: string): string[] | null {
  if (names === undefined || names === null) return null;
  if (!Array.isArray(names)) throw invalidArgumentType(option, 'an array of names of images', names);
  const count = names.length;
  if (count > NAMES_LIMIT) throw invalidOption(`${option} has ${count} names`, `Give at most ${NAMES_LIMIT}`);
  return elementsOf<unknown>(names, count).map((name, index) => {
    if (typeof name !== 'string') throw invalidArgumentType(`${option}[${index}]`, 'a name (string)', name);
    return name;
  });
}

/** At least one. */
export function someNames(names: unknown, option: string): string[] {
  const checked = checkNames(names ?? undefined, option);
  if (checked === null) throw invalidArgumentType(option, 'an array of names of images', names);
  if (checked.length === 0) throw invalidOption(`${option} is empty`, 'Name the slaves that are to go out');
  return checked;
}

/** More than a mirror has images. */
const NAMES_LIMIT = 64;

export function checkSignal(signal: unknown, name: string): AbortSignal | undefined {
  if (signal === undefined) return undefined;
  if (!isAbortSignal(signal)) throw invalidArgumentType(name, "an AbortSignal of Node's own", signal);
  return signal;
}

/** Milliseconds, or Infinity. */
export function checkDeviceTimeout(timeout: number): number {
  if (timeout >= 1) return timeout;
  throw invalidOption(`deviceTimeout is ${timeout} ms`, 'Give at least 1 ms, or Infinity for none');
}

export function invalidOption(detail: string, remedy: string): BlockmirrorError {
  return new BlockmirrorError('INVALID_OPTION', { detail, remedy });
}

/**
 * One object of options: its own (enumerable) properties, each read once, before anything is done with any of them. What
 * somebody put on Object.prototype is no option.
 */
export class OptionReader {
  private readonly options: Readonly<Record<string, unknown>>;
  private readonly prefix: string;

  /**
   * @param prefix how errors name the object
   * @param call how they name what takes it
   */
  constructor(options: unknown, known: readonly string[], prefix = 'options', call = prefix) {
    if (options === null || typeof options !== 'object') throw invalidArgumentType(prefix, 'an object', options);
    const copy = Object.create(null) as Record<string, unknown>;
    const names = new Set(known);
    refuseInherited(options, names, call);
    for (const name of Object.keys(options)) {
      refuseUnknownName(name, names, call);
      copy[name] = (options as Record<string, unknown>)[name];
    }
    this.options = copy;
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

  signal(): AbortSignal | undefined {
    return checkSignal(this.options['signal'], `${this.prefix}.signal`);
  }

  choice<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
    const value = this.options[name];
    if (value === undefined) return otherwise;
    if (typeof value !== 'string') throw invalidArgumentType(`${this.prefix}.${name}`, 'a string', value);
    const found = choices.find((choice) => choice === value);
    if (found === undefined) {
      throw invalidOption(
        `${name} is '${shown(value)}'`,
        `Use one of ${choices.map((choice) => `'${choice}'`).join(', ')}`,
      );
    }
    return found;
  }

  text(name: string): string | null {
    const value = this.get(name);
    if (value === undefined) return null;
    if (typeof value !== 'string') throw invalidArgumentType(`${this.prefix}.${name}`, 'a string', value);
    return value;
  }

  size(name: string): number {
    const value = this.options[name];
    if (typeof value !== 'number' && typeof value !== 'string') {
      throw invalidArgumentType(`${this.prefix}.${name}`, "a number of bytes or a text such as '64MiB'", value);
    }
    return parseSize(value, name);
  }

  rate(name: string): number | null {
    return this.options[name] === undefined ? null : parseRate(this.size(name), name);
  }

  /** null: not given. */
  rateOrAuto(name: string): number | 'auto' | null {
    return this.options[name] === 'auto' ? 'auto' : this.rate(name);
  }

  /** Milliseconds, or Infinity; null: not given. */
  duration(name: string): number | null {
    const value = this.options[name];
    return value === undefined ? null : parseDuration(value as Duration, `${this.prefix}.${name}`);
  }

  wholeNumber(name: string): number | null {
    const value = this.options[name];
    if (value === undefined) return null;
    if (typeof value !== 'number') throw invalidArgumentType(`${this.prefix}.${name}`, 'a number', value);
    if (!Number.isSafeInteger(value) || value < 0) throw invalidOption(`${name} is ${value}`, 'Give a whole number');
    return value;
  }

  verify(): CheckedVerifyChoice {
    return {
      all: this.flag('all', false),
      repair: this.flag('repair', false),
      rate: this.rate('rate'),
      position: this.wholeNumber('position') ?? 0,
      source: this.source(),
    };
  }

  private source(): CheckedSource | null {
    const { from, extent } = this.options;
    const overwriteMaster = this.flag('overwriteMaster', false);
    if (from === undefined && extent === undefined && !overwriteMaster) return null;
    if (typeof from !== 'string')
      throw invalidArgumentType(`${this.prefix}.from`, 'the name of a slave (string)', from);
    if (extent === null || typeof extent !== 'object')
      throw invalidArgumentType(`${this.prefix}.extent`, 'an extent: { position, length }', extent);
    const other = ['all', 'repair', 'rate', 'position'].find((name) => Boolean(this.options[name]));
    if (other !== undefined)
      throw invalidOption(
        `from and ${other} exclude each other`,
        'from takes the content of one extent, and nothing else',
      );
    const { position, length } = new OptionReader(extent, ['position', 'length'], `${this.prefix}.extent`).extent();
    return { from, extent: { position, length }, overwriteMaster };
  }

  private extent(): Extent {
    const position = this.wholeNumber('position');
    const length = this.wholeNumber('length');
    if (position !== null && length !== null && length > 0) return { position, length };
    throw invalidOption(
      `${this.prefix} has position ${position} and length ${length}`,
      'Give both; a length is more than 0',
    );
  }

  images(): CheckedImages {
    const value = this.options['images'];
    const images = Object.create(null) as Record<string, string>;
    if (value === undefined) return { images };
    if (value === null || typeof value !== 'object' || Array.isArray(value)) {
      throw invalidArgumentType(`${this.prefix}.images`, 'an object of paths by image name', value);
    }
    for (const name of Object.keys(value)) {
      images[name] = checkPath((value as Record<string, unknown>)[name], `${this.prefix}.images.${name}`);
    }
    return { images };
  }

  presence(): CheckedPresence {
    return {
      waitForImages: this.duration('waitForImages'),
      requireAll: this.flag('requireAll', false),
      control: this.flag('control', false),
      deviceTimeout: this.deviceTimeout(),
    };
  }

  private deviceTimeout(): number | null {
    const timeout = this.duration('deviceTimeout');
    return timeout === null ? null : checkDeviceTimeout(timeout);
  }

  longWork(): CheckedLongWork {
    const onProgress = this.options['onProgress'];
    if (onProgress !== undefined && typeof onProgress !== 'function') {
      throw invalidArgumentType(`${this.prefix}.onProgress`, 'a function', onProgress);
    }
    return {
      device: this.choice('device', ['auto', 'io_uring', 'threads'] as const, 'auto'),
      onProgress: onProgress as ProgressListener | undefined,
      signal: this.signal(),
    };
  }
}
