/**
 * The policies of a mirror, as a table: what `set` takes, where each is kept, how its text is read, and what becomes of the
 * option of the same name that an opening is given. `set`, the command line and status read it. Pure.
 */
import type { BlockmirrorError } from './errors';
import { invalidArgumentType } from './errors';
import { invalidOption } from './option_reader';
import { shown } from './shown';
import type { Policies } from './types';

type Key = keyof Policies;

interface PolicyRow<K extends Key> {
  /** True: it stands in the log, and holds for every opening. */
  stored: boolean;
  unit: 'images' | null;
  /** What it may be, for errors and help. */
  values: string;
  /** What holds of an opening that is given an option of that name: 'larger' of the two; the 'option'; null: it takes none. */
  opening: 'larger' | 'option' | null;
  meaning: string;
  /** Of a value as the command line has it. What is no value at all stays as it is, for check() to refuse. */
  fromText: (text: string) => unknown;
  /** Throws when it is none, whatever the mirror. */
  check: (value: unknown, option: string) => Policies[K];
}

export const POLICIES: { readonly [K in Key]: PolicyRow<K> } = {
  minInSync: {
    stored: true,
    unit: 'images',
    values: '1 to the number of images',
    opening: 'larger',
    meaning: 'images in sync that writes ask for, the master counted',
    fromText: (text) => (/^[0-9]{1,9}$/.test(text) ? Number(text) : text),
    check: checkMinInSync,
  },
  rejoin: {
    stored: true,
    unit: null,
    values: 'auto or manual',
    opening: 'option',
    meaning: 'whether a slave comes back when its device is there again, or only when it is asked for',
    fromText: (text) => text,
    check: (value, option) => {
      if (typeof value !== 'string') throw invalidArgumentType(option, 'a string', value);
      if (value !== 'auto' && value !== 'manual') throw refusal('rejoin', value);
      return value;
    },
  },
};

export const POLICY_KEYS = Object.keys(POLICIES) as Key[];

function checkMinInSync(value: unknown, option: string): number {
  if (typeof value === 'string') throw refusal('minInSync', value);
  if (typeof value !== 'number') throw invalidArgumentType(option, 'a number', value);
  if (!Number.isSafeInteger(value) || value < 1) throw refusal('minInSync', value);
  return value;
}

function refusal(key: Key, value: string | number): BlockmirrorError {
  const said = typeof value === 'number' ? String(value) : `'${shown(value)}'`;
  return invalidOption(`${key} is ${said}`, `Give ${POLICIES[key].values}`);
}

/** @throws INVALID_OPTION where the mirror has not as many images */
export function refuseUnreachable(minInSync: number, images: number): void {
  if (minInSync <= images) return;
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
    `An opening may only raise it: leave it out, or lower the mirror's own while nobody has it open: \`${setCommand}\``,
  );
}

/** Of KEY=VALUE, as the command line has them. @throws INVALID_OPTION */
export function policiesOfText(settings: readonly string[]): Record<string, unknown> {
  const found = Object.create(null) as Record<string, unknown>;
  for (const setting of settings) {
    const at = setting.indexOf('=');
    if (at <= 0) throw invalidOption(`'${shown(setting)}' is no setting`, 'Give KEY=VALUE, such as minInSync=2');
    const key = setting.slice(0, at);
    if (Object.hasOwn(found, key)) throw invalidOption(`${shown(key)} is given twice`, 'Give each key once');
    // An unknown key goes through: whoever reads options refuses it, and knows what was meant.
    const row = Object.hasOwn(POLICIES, key) ? POLICIES[key as Key] : undefined;
    found[key] = row === undefined ? setting.slice(at + 1) : row.fromText(setting.slice(at + 1));
  }
  return { ...found };
}
