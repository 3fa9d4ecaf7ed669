/**
 * What a mirror goes by, as a table: what `create` and `set` take, where each is kept, how its text is read and written, and
 * what becomes of the option of the same name that an opening is given. `set`, the command line, remedies and status read it.
 * Pure.
 *
 * A value is checked into what reports, status and the engine have: milliseconds, bytes a second; null where there is no end,
 * or no rate of one's own.
 */
import { formatDuration, parseDuration } from './duration';
import type { BlockmirrorError } from './errors';
import { invalidArgumentType } from './errors';
import { checkDeviceTimeout, invalidOption } from './option_reader';
import { shown } from './shown';
import { exactSize, parseRate, parseSize } from './size';
import type { Duration, Policies, PolicyOptions, Settings, Size } from './types';

/** As `set` of an open mirror names them. */
export type SettingKey = keyof PolicyOptions | 'recoveryBudget';

/** What depends on the program, not on the mirror. */
export interface BudgetLimits {
  minimumRecoveryBudget: number;
  maximumRecoveryBudget: number;
}

interface SettingRow {
  /** True: it stands in the log, and holds for every opening. False: it is of one opening, and ends with it. */
  stored: boolean;
  unit: 'images' | 'ms' | 'bytesPerSecond' | 'bytes' | null;
  /** Its field in reports and status, and what the engine calls it. */
  field: keyof Settings;
  /** What it is where nobody said anything. */
  default: Settings[keyof Settings];
  /** What it may be, for errors and help. */
  values: string;
  /**
   * What holds of an opening that is given an option of that name: 'larger' of the two; the 'option'; null: it takes none.
   * What is set while the mirror is open holds for that opening from then on, in place of its option.
   */
  opening: 'larger' | 'option' | null;
  meaning: string;
  /** Of a value as the command line has it. What is no value at all stays as it is, for check() to refuse. */
  fromText: (text: string) => unknown;
  /** As fromText takes it. */
  toText: (value: Settings[keyof Settings]) => string;
  /** Throws when it is none, whatever the mirror. */
  check: (value: unknown, option: string, limits: BudgetLimits) => Settings[keyof Settings];
}

export const SETTINGS: { readonly [K in SettingKey]: SettingRow } = {
  minInSync: {
    stored: true,
    unit: 'images',
    field: 'minInSync',
    default: 1,
    values: '1 to the number of images',
    opening: 'larger',
    meaning: 'images in sync that writes ask for, the master counted',
    fromText: (text) => (/^[0-9]{1,9}$/.test(text) ? Number(text) : text),
    toText: String,
    check: checkMinInSync,
  },
  rejoin: {
    stored: true,
    unit: null,
    field: 'rejoin',
    default: 'auto',
    values: 'auto or manual',
    opening: 'option',
    meaning: 'whether a slave comes back when its device is there again, or only when it is asked for',
    fromText: (text) => text,
    toText: String,
    check: (value, option) => {
      if (typeof value !== 'string') throw invalidArgumentType(option, 'a string', value);
      if (value !== 'auto' && value !== 'manual') throw refusal('rejoin', value);
      return value;
    },
  },
  deviceTimeout: {
    stored: true,
    unit: 'ms',
    field: 'deviceTimeoutMs',
    default: 30_000,
    values: 'a duration such as 30s, or none',
    opening: 'option',
    meaning: 'how long a device may take for a request before its image goes out of the mirror',
    fromText: durationFromText,
    toText: durationToText,
    check: (value, option) => finiteOrNull(checkDeviceTimeout(parseDuration(value as Duration, option))),
  },
  waitForImages: {
    stored: true,
    unit: 'ms',
    field: 'waitForImagesMs',
    default: 10_000,
    values: 'a duration such as 10s, 0ms, or none: until they come',
    opening: 'option',
    meaning: 'how long an opening waits for images that are absent',
    fromText: durationFromText,
    toText: durationToText,
    check: (value, option) => finiteOrNull(parseDuration(value as Duration, option)),
  },
  resyncRate: {
    stored: true,
    unit: 'bytesPerSecond',
    field: 'resyncRateBytesPerSecond',
    default: null,
    values: 'bytes a second such as 100MiB, or auto',
    opening: null,
    meaning: 'most bytes a second of a resync that is given no rate; auto: it makes way for the application',
    fromText: (text) => text,
    toText: (value) => (value === null ? 'auto' : exactSize(Number(value))),
    check: (value, option) => (value === 'auto' ? null : parseRate(value as Size, option)),
  },
  recoveryBudget: {
    stored: false,
    unit: 'bytes',
    field: 'recoveryBudget',
    default: null,
    values: 'bytes such as 64MiB',
    opening: 'option',
    meaning: 'upper bound of what has to be copied after a crash; of a mirror that is open, until it is closed',
    fromText: (text) => text,
    toText: (value) => exactSize(Number(value)),
    check: (value, option, limits) => checkRecoveryBudget(parseSize(value as Size, option), limits),
  },
};

export const SETTING_KEYS = Object.keys(SETTINGS) as SettingKey[];
/** Those that stand in the log. */
export const POLICY_KEYS = SETTING_KEYS.filter((key) => SETTINGS[key].stored);

/** Of what has more fields. */
export function policiesOf(mirror: Policies): Policies {
  const { minInSync, rejoin, deviceTimeoutMs, waitForImagesMs, resyncRateBytesPerSecond } = mirror;
  return { minInSync, rejoin, deviceTimeoutMs, waitForImagesMs, resyncRateBytesPerSecond };
}

/** What reads options one by one. */
interface Options {
  get: (name: string) => unknown;
}

/** Of those keys the ones that are given, as the engine takes them. @throws INVALID_OPTION */
export function settingsOf(reader: Options, keys: readonly SettingKey[], limits: BudgetLimits): Partial<Settings> {
  const given = keys.filter((key) => reader.get(key) !== undefined);
  return Object.fromEntries(
    given.map((key) => [SETTINGS[key].field, SETTINGS[key].check(reader.get(key), `options.${key}`, limits)]),
  );
}

function checkMinInSync(value: unknown, option: string): number {
  if (typeof value === 'string') throw refusal('minInSync', value);
  if (typeof value !== 'number') throw invalidArgumentType(option, 'a number', value);
  if (!Number.isSafeInteger(value) || value < 1) throw refusal('minInSync', value);
  return value;
}

export function checkRecoveryBudget(budget: number, limits: BudgetLimits): number {
  const { minimumRecoveryBudget: least, maximumRecoveryBudget: most } = limits;
  if (budget >= least && budget <= most) return budget;
  throw invalidOption(`recoveryBudget is ${budget} bytes`, `Give at least ${least} and at most ${most} bytes`);
}

function durationFromText(text: string): unknown {
  // A bare number says no unit: '30' could be either.
  return text === 'none' ? Infinity : text;
}

function durationToText(value: Settings[keyof Settings]): string {
  return formatDuration(value === null ? null : Number(value));
}

function finiteOrNull(value: number): number | null {
  return value === Infinity ? null : value;
}

function refusal(key: SettingKey, value: string | number): BlockmirrorError {
  const said = typeof value === 'number' ? String(value) : `'${shown(value)}'`;
  return invalidOption(`${key} is ${said}`, `Give ${SETTINGS[key].values}`);
}

/** @throws INVALID_OPTION where the mirror has not as many images */
export function refuseUnreachable(minInSync: number | undefined, images: number): void {
  if (minInSync === undefined || minInSync <= images) return;
  throw invalidOption(`minInSync is ${minInSync}`, `Give 1 to ${images}, the images of this mirror`);
}

/** What an opening asks for. @throws INVALID_OPTION: less than the mirror's own, or more than it has images */
export function minInSyncOfOpening(
  asked: number | null,
  mirror: { minInSync: number; images: readonly unknown[] },
  setCommand: string,
): number {
  if (asked === null) return mirror.minInSync;
  refuseUnreachable(asked, mirror.images.length);
  if (asked >= mirror.minInSync) return asked;
  throw invalidOption(
    `minInSync is ${asked}, and the mirror's own is ${mirror.minInSync}`,
    `An opening may only raise it: leave it out, or lower the mirror's own: \`${setCommand}\``,
  );
}

/** What is in the way of setting it of a mirror that nobody has open. @throws INVALID_OPTION */
export function refuseUnstored(reader: Options): void {
  const key = SETTING_KEYS.find((one) => !SETTINGS[one].stored && reader.get(one) !== undefined);
  if (key === undefined) return;
  throw invalidOption(
    `${key} is not kept in the log`,
    `It is of an opening: give it to Mirror.open(), or to set() of a mirror that is open`,
  );
}

/** Of KEY=VALUE, as the command line has them. @throws INVALID_OPTION */
export function settingsOfText(settings: readonly string[]): Record<string, unknown> {
  const found = Object.create(null) as Record<string, unknown>;
  for (const setting of settings) {
    const at = setting.indexOf('=');
    if (at <= 0) throw invalidOption(`'${shown(setting)}' is no setting`, 'Give KEY=VALUE, such as minInSync=2');
    const key = setting.slice(0, at);
    if (Object.hasOwn(found, key)) throw invalidOption(`${shown(key)} is given twice`, 'Give each key once');
    // An unknown key goes through: whoever reads options refuses it, and knows what was meant.
    const row = Object.hasOwn(SETTINGS, key) ? SETTINGS[key as SettingKey] : undefined;
    found[key] = row === undefined ? setting.slice(at + 1) : row.fromText(setting.slice(at + 1));
  }
  return { ...found };
}

/** Policies as `set` takes them from the command line, those alone that somebody has set. */
export function settingsToText(policies: Partial<Settings>): { key: SettingKey; text: string }[] {
  return POLICY_KEYS.flatMap((key) => {
    const value = policies[SETTINGS[key].field];
    const usual = value === undefined || value === SETTINGS[key].default;
    return usual ? [] : [{ key, text: SETTINGS[key].toText(value) }];
  });
}
