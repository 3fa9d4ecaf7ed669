/**
 * Names of options: an unknown one is refused, and the error names the right one. Tables as data. Pure.
 *
 * A name that passes unseen is a promise that is not kept: `write({ datasync: true })` would be acknowledged and not
 * durable. Other libraries, and other calls of this one, spell some options differently; these are listed here.
 */
import { BlockmirrorError } from './errors';
import { shown } from './shown';

/** What somebody may write who means one of these; the first that the call has is named. */
const MEANT: Readonly<Record<string, readonly string[]>> = {
  datasync: ['dsync', 'flush'],
  sync: ['dsync', 'flush'],
  osync: ['dsync', 'flush'],
  odsync: ['dsync', 'flush'],
  fsync: ['dsync', 'flush'],
  fdatasync: ['dsync', 'flush'],
  fua: ['dsync', 'flush'],
  durable: ['dsync', 'flush'],
  dsync: ['flush'],
  flush: ['dsync'],
  pos: ['position', 'start'],
  at: ['position', 'start'],
  start: ['position'],
  position: ['start'],
  offset: ['start'],
  len: ['length'],
  size: ['length'],
  count: ['length'],
  bytelength: ['length'],
  partial: ['unaligned'],
  misaligned: ['unaligned'],
  aligned: ['unaligned'],
  transferownership: ['transfer'],
  move: ['transfer'],
  zerocopy: ['transfer'],
  buffers: ['buffer'],
  abort: ['signal'],
  abortsignal: ['signal'],
  chunksize: ['highWaterMark'],
  buffersize: ['highWaterMark'],
  defaultencoding: ['encoding'],
  dry: ['dryRun'],
  mode: ['recovery'],
  recover: ['recovery'],
  budget: ['recoveryBudget'],
  paths: ['images'],
  image: ['images'],
  force: ['overwriteSignature', 'overwriteMaster'],
  overwrite: ['overwriteSignature', 'overwriteMaster'],
  keep: ['keepData'],
  identical: ['assumeIdentical'],
  slave: ['slaves'],
  progress: ['onProgress'],
  verify: ['readBack'],
  speed: ['rate'],
  bandwidth: ['rate'],
  limit: ['rate'],
  everything: ['full'],
  quorum: ['minInSync'],
  minimuminsync: ['minInSync'],
  engine: ['device'],
};

/** Why a call has no such option, where that needs words of its own. */
const REASONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'read()': { unaligned: 'Read whole blocks and take what you need, or use createReadStream()' },
  'read({ buffer })': { unaligned: 'Read whole blocks and take what you need, or use createReadStream()' },
  'readv()': { unaligned: 'Read whole blocks and take what you need, or use createReadStream()' },
  'writev()': {
    unaligned: 'Join the buffers and use write() with unaligned: true, or use createWriteStream()',
    transfer: 'Use write() with transfer for each buffer',
  },
  'createReadStream()': {
    fd: 'A stream reads its mirror and nothing else',
    autoClose: 'A stream never closes its mirror: call close() when all of its streams have ended',
    autoDestroy: 'A stream is always destroyed when it has ended',
    objectMode: 'A stream carries bytes',
  },
  'createWriteStream()': {
    fd: 'A stream writes its mirror and nothing else',
    autoClose: 'A stream never closes its mirror: call close() when all of its streams have ended',
    autoDestroy: 'A stream is always destroyed when it has ended',
    objectMode: 'A stream carries bytes',
    end: 'A write stream ends where its data does',
    unaligned: 'A stream may start and end at any byte anyway: leave it out',
    transfer: 'A stream copies what it is given: leave it out',
  },
};

/** How far off a name may be to be taken for a slip of the keyboard. */
const NEAR = 2;

/** @param call how the call, or the object inside of its options, is spoken of: `write()`, `options.master` */
export function refuseUnknownName(name: string, known: ReadonlySet<string>, call: string): void {
  if (!known.has(name)) throw unknownOption(name, [...known], call);
}

const { getPrototypeOf, hasOwn } = Object;
/** Of a chain of prototypes: a Proxy may go on for ever. */
const PROTOTYPES_LIMIT = 64;

/**
 * What an object inherits is no option; what its author takes for one is refused, rather than left out in silence: a `dsync`
 * of a base of defaults would promise nothing. Object.prototype, of whatever context, is not asked.
 */
export function refuseInherited(options: object, known: Iterable<string>, call: string): void {
  let prototype = getPrototypeOf(options) as object | null;
  for (let depth = 0; prototype !== null && depth < PROTOTYPES_LIMIT; depth++) {
    const next = getPrototypeOf(prototype) as object | null;
    if (next === null && hasOwn(prototype, 'hasOwnProperty')) return;
    for (const name of known) {
      if (hasOwn(prototype, name)) throw inheritedOption(name, call);
    }
    prototype = next;
  }
}

function inheritedOption(name: string, call: string): BlockmirrorError {
  return new BlockmirrorError('INVALID_OPTION', {
    detail: `'${name}' of ${call} is inherited, and options are an object's own properties`,
    remedy: 'Copy them into one object: { ...defaults, ...options }',
  });
}

function unknownOption(name: string, known: readonly string[], call: string): BlockmirrorError {
  const given = shown(name.length > 64 ? `${name.slice(0, 64)}…` : name);
  const meant = meantBy(name, known);
  const reason = REASONS[call];
  const list = known.length === 0 ? `${call} has no options` : `The options are ${known.join(', ')}`;
  const remedy =
    reason !== undefined && Object.hasOwn(reason, name)
      ? (reason[name] as string)
      : meant === undefined
        ? list
        : `Use '${meant}'. ${list}`;
  return new BlockmirrorError('INVALID_OPTION', { detail: `${call} has no '${given}'`, remedy });
}

function meantBy(name: string, known: readonly string[]): string | undefined {
  const plain = name.toLowerCase().replace(/[^a-z]/g, '');
  const spelt = known.find((other) => other.toLowerCase() === plain);
  if (spelt !== undefined) return spelt;
  const listed = Object.hasOwn(MEANT, plain) ? MEANT[plain] : undefined;
  const found = listed?.find((other) => known.includes(other));
  if (found !== undefined) return found;
  if (name.length > 32) return undefined;
  const near = known
    .map((other) => ({ other, distance: editDistance(plain, other.toLowerCase()) }))
    .filter(({ other, distance }) => distance <= Math.min(NEAR, other.length / 3))
    .sort((a, b) => a.distance - b.distance);
  return near[0]?.other;
}

/** Insertions, deletions, replacements. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] as number) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[to.length] as number;
}
