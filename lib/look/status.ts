/**
 * Status as it is shown. One builder fills it, for a mirror that is open here and for a look from outside, so that the
 * same field means the same: the two only gather facts. Pure.
 *
 * I10: `synchronized` is never assumed. A slave is shown as synchronized only when nothing is in flight and nothing is
 * uncertain, when its label was looked at, and when no verify found it different.
 */
import type {
  NativeDebt,
  NativeEngine,
  NativeGeneration,
  NativeImageRecord,
  NativeImageState,
  NativeOwner,
  NativeRecoverySummary,
  NativeResyncKind,
  NativeSnapshot,
  NativeSuperblock,
  NativeVerifySummary,
} from '../base/binding';
import type { ControlStatus } from '../base/control';
import { BlockmirrorError, type ErrorName, failureReason } from '../base/errors';
import { type MirrorFacts, remedyOf } from '../base/remedies';
import { policiesOf } from '../base/policies';
import { formatSize } from '../base/size';
import type {
  DeviceKind,
  DeviceLatency,
  FractureCause,
  Holder,
  ImageState,
  ImageStatus,
  Owner,
  Phase,
  Policies,
  Problem,
  RecoverySummary,
  StalledDevice,
  Status,
  VerifySummary,
} from '../base/types';

/** Of one image, in superblock order. */
export interface ImageFacts {
  state: NativeImageState;
  /** errno that failed it; 0 when none is known. */
  error: number;
  changedAtMs: number;
  bytesDiffered: number;
  debt: NativeDebt;
  /** null: its map was not read. */
  bytesOwed: number | null;
  cause: string;
  fracturedAtMs: number;
  resync: NativeResyncKind;
  /** Where it is this time; empty for one that was left out or not found. */
  path: string;
  expectedAt: string | null;
  /** Why it cannot be used as it is. */
  problem: Problem | null;
  /** A slave that failed earlier: its path may be another device's by now. */
  doubtful: boolean;
  /** It failed again and again, and comes back only by hand. */
  flapping: boolean;
  device: DeviceKind | null;
  latency: DeviceLatency | null;
}

export interface StatusFacts {
  log: string;
  superblock: NativeSuperblock;
  generation: NativeGeneration;
  phase: Phase;
  stopped: Problem | null;
  /** Of this opening, or what the log says. */
  policies: Policies;
  images: readonly ImageFacts[];
  /** Nothing is in flight and nothing uncertain: what is in sync is identical. */
  provable: boolean;
  logUse: { recordsLive: number; sequence: number; tail: number };
  logLatency: DeviceLatency | null;
  coverage: Status['coverage'];
  counters: Record<string, number>;
  pendingRequests: number;
  abandonedRequests: number;
  stalled: StalledDevice[] | null;
  lastRecovery: RecoverySummary | null;
  lastVerify: VerifySummary | null;
  /** Of the log. */
  device: DeviceKind | null;
  resyncPaused: boolean | null;
  control: ControlStatus | null;
  owner: Owner | null;
  holder: Holder | null;
}

export function buildStatus(facts: StatusFacts): Status {
  const { superblock, logUse } = facts;
  const { recordCount, recordSize } = superblock.ring;
  return {
    uuid: superblock.mirrorUuid,
    log: facts.log,
    size: superblock.size,
    blockSize: superblock.blockSize,
    generation: facts.generation,
    phase: facts.phase,
    stopped: facts.stopped,
    ...facts.policies,
    images: superblock.images.map((image, index) => imageStatus(facts, image, facts.images[index])),
    logUse: {
      recordCount,
      recordsLive: logUse.recordsLive,
      recordSize,
      sequence: logUse.sequence,
      tail: logUse.tail,
      device: facts.device,
      latency: facts.logLatency,
    },
    coverage: { ...facts.coverage },
    counters: { ...facts.counters },
    pendingRequests: facts.pendingRequests,
    abandonedRequests: facts.abandonedRequests,
    stalled: facts.stalled,
    lastRecovery: facts.lastRecovery,
    lastVerify: facts.lastVerify,
    resyncPaused: facts.resyncPaused,
    control: facts.control,
    owner: facts.owner,
    holder: facts.holder,
  };
}

/** In the way now, and nothing that is wrong with the image itself: its state stands. */
const IN_THE_WAY: ReadonlySet<string> = new Set<`ERR_BLOCKMIRROR_${ErrorName}`>([
  'ERR_BLOCKMIRROR_MOUNTED',
  'ERR_BLOCKMIRROR_IN_USE',
  'ERR_BLOCKMIRROR_BUSY',
  'ERR_BLOCKMIRROR_READ_ONLY_DEVICE',
  'ERR_BLOCKMIRROR_SAME_DEVICE',
  'ERR_BLOCKMIRROR_OVERLAPPING',
  'ERR_BLOCKMIRROR_UNSAFE_FOLDER',
]);

function imageStatus(facts: StatusFacts, image: NativeImageRecord, seen: ImageFacts | undefined): ImageStatus {
  const record: ImageFacts = seen ?? {
    ...image,
    bytesOwed: owedByRecord(image.debt),
    path: '',
    expectedAt: null,
    problem: null,
    doubtful: true,
    flapping: false,
    device: null,
    latency: null,
  };
  const { state, path, expectedAt, problem, changedAtMs, bytesDiffered, debt, bytesOwed, resync } = record;
  const { device, latency } = record;
  const common = {
    name: image.name,
    role: image.role,
    path: path === '' ? image.path : path,
    expectedAt,
    changedAt: dateOrNull(changedAtMs),
    bytesDiffered,
    fracture: fractureOf(record),
    debt,
    bytesOwed,
    resync,
    device,
    latency,
  };
  // The log cannot call the master failed: without a master there is no mirror. The status can.
  if (image.role === 'master' && facts.stopped?.code === 'ERR_BLOCKMIRROR_MASTER_FAILED') {
    return { ...common, state: 'failed', error: facts.stopped };
  }
  if (isOut(state)) {
    const byOperator = record.cause === 'operator-request' && state === 'behind';
    const index = facts.superblock.images.indexOf(image);
    const why = byOperator ? null : failureOfSlave(mirrorOf(facts), index, common.path, record);
    return { ...common, state, error: problem ?? why };
  }
  const broken = problem !== null && !IN_THE_WAY.has(problem.code);
  const shown = shownImageState(state, bytesDiffered, facts.provable);
  const differs = bytesDiffered > 0 ? difference(mirrorOf(facts), common, facts.lastVerify) : null;
  return { ...common, state: broken ? 'failed' : shown, error: problem ?? differs };
}

/** It receives no writes: what it misses is owed. */
export function isOut(state: NativeImageState): state is 'behind' | 'inconsistent' | 'failed' {
  return state === 'behind' || state === 'inconsistent' || state === 'failed';
}

/** One that a verify found different receives every write, and its log calls it in sync. */
export function countsForMinInSync({ role, state, debt }: Pick<ImageStatus, 'role' | 'state' | 'debt'>): boolean {
  if (role === 'master' || state === 'synchronized' || state === 'consistent' || state === 'assumed') return true;
  return state === 'inconsistent' && debt === 'none';
}

/** Before anybody has read the map. */
export function owedByRecord(debt: NativeDebt): number | null {
  return debt === 'none' ? 0 : null;
}

function fractureOf({ cause, fracturedAtMs }: ImageFacts): ImageStatus['fracture'] {
  return cause === 'none' ? null : { at: dateOrNull(fracturedAtMs), cause: cause as FractureCause };
}

/** A slave that a verify found different goes on receiving every write; it would drift further without. */
export function shownImageState(state: NativeImageState, bytesDiffered: number, provable: boolean): ImageState {
  const inSync = state === 'in-sync' || state === 'assumed';
  return inSync && bytesDiffered > 0 ? 'inconsistent' : shownState(state, provable);
}

function difference(
  mirror: MirrorFacts,
  image: { name: string; path: string; bytesDiffered: number },
  lastVerify: VerifySummary | null,
): Problem {
  const when = lastVerify !== null && lastVerify.result === 'differs' ? `, as of ${lastVerify.finishedAt}` : '';
  return new BlockmirrorError('SLAVE_DIFFERS', {
    image: image.name,
    path: image.path,
    detail: `${image.bytesDiffered} ${image.bytesDiffered === 1 ? 'byte' : 'bytes'}${when}`,
    remedy:
      remedyOf('SLAVE_DIFFERS', { mirror, image: mirror.images.findIndex(({ name }) => name === image.name) }) ?? '',
  }).toJSON();
}

function mirrorOf({ log, superblock, images }: StatusFacts): MirrorFacts {
  const all = superblock.images.map(({ name, path }, index) => ({
    name,
    path: images[index]?.path || path,
    doubtful: images[index]?.doubtful === true,
  }));
  return { log, size: superblock.size, images: all, ...policiesOf(superblock) };
}

/** What a mirror that is open here adds to the superblock. */
export interface LiveFacts {
  log: string;
  superblock: NativeSuperblock;
  /** Where the images are this time, in superblock order; empty for one that was left out. */
  paths: readonly string[];
  expectedAt: readonly (string | null)[];
  /** Whether each has its device. */
  attached: readonly boolean[];
  /** Their paths may be other devices' by now. */
  doubtful: readonly boolean[];
  flapping: readonly boolean[];
  snapshot: NativeSnapshot;
  rejoin: Policies['rejoin'];
  latencies: ReturnType<NativeEngine['latencies']>;
  stopped: Problem | null;
  phase: Phase;
  pendingRequests: number;
  abandonedRequests: number;
  pendingWrites: number;
  stalled: StalledDevice[];
  lastRecovery: RecoverySummary | null;
  device: DeviceKind;
  resyncPaused: boolean;
  control: ControlStatus | null;
  owner: Owner;
  holder: Holder | null;
}

export function liveStatus(facts: LiveFacts): Status {
  const { superblock, snapshot } = facts;
  return buildStatus({
    ...facts,
    generation: snapshot.generation,
    policies: {
      ...policiesOf(superblock),
      rejoin: facts.rejoin,
      minInSync: snapshot.minInSync,
      deviceTimeoutMs: snapshot.deviceTimeoutMs,
    },
    images: superblock.images.map((image, index) => ({
      state: snapshot.images[index]?.state ?? image.state,
      error: snapshot.images[index]?.error || image.error,
      changedAtMs: snapshot.images[index]?.changedAtMs ?? image.changedAtMs,
      bytesDiffered: snapshot.images[index]?.bytesDiffered ?? image.bytesDiffered,
      ...debtOf(image, snapshot.images[index]),
      path: facts.paths[index] ?? '',
      expectedAt: facts.expectedAt[index] ?? null,
      problem: null,
      doubtful: facts.doubtful[index] ?? true,
      flapping: facts.flapping[index] ?? false,
      device: facts.attached[index] === true ? facts.device : null,
      latency: facts.latencies?.images[index] ?? null,
    })),
    provable: facts.phase === 'running' && facts.pendingWrites === 0 && snapshot.coverage.uncertainBytes === 0,
    lastVerify: shownVerify(snapshot.lastVerify),
    logUse: snapshot.log,
    logLatency: facts.latencies?.log ?? null,
    coverage: snapshot.coverage,
    counters: snapshot.counters,
  });
}

/** What log or label record of an image, where people read it. JSON has the recorded word itself (RecordedState). */
export function recordedInWords(state: NativeImageState): string {
  return state === 'in-sync' ? 'in sync' : state;
}

export function shownState(state: NativeImageState, provable: boolean): ImageState {
  if (state !== 'in-sync') return state;
  return provable ? 'synchronized' : 'consistent';
}

/** It was in sync, or assumed, before a crash, and has not paid yet what that left (native/core/format/image_record.h). */
export function isAfterCrash({ state, cause, resync }: Pick<ImageFacts, 'state' | 'cause' | 'resync'>): boolean {
  return state === 'synchronizing' && cause === 'none' && resync !== 'none';
}

type DebtFacts = Pick<ImageFacts, 'debt' | 'bytesOwed' | 'cause' | 'fracturedAtMs' | 'resync'>;

function debtOf(image: NativeImageRecord, seen: DebtFacts | undefined): DebtFacts {
  const { debt, bytesOwed, cause, fracturedAtMs, resync } = seen ?? { ...image, bytesOwed: owedByRecord(image.debt) };
  return { debt, bytesOwed, cause, fracturedAtMs, resync };
}

/** Why a slave stopped receiving writes, where no errno says it better. */
export const CAUSE_IN_WORDS: Readonly<Record<FractureCause, string>> = {
  'write-error': 'a write to it failed',
  'flush-error': 'a flush of it failed',
  'read-error': 'it could not be read',
  'label-error': 'its label could not be written',
  deadline: 'it did not answer in time',
  absent: 'it was not there',
  blank: 'it carried no label',
  foreign: 'another image was in its place',
  stale: 'it was restored from an older copy',
  'too-small': 'it was too small',
  grown: 'its file had grown',
  unreadable: 'its label could not be read',
  'lost-allocation': 'its file lost blocks that it had',
  'block-too-large': 'its sectors were larger than the blocks of the mirror',
  'operator-request': 'it was taken out',
  promoted: 'another image became the master',
  added: 'it was added',
  flapping: 'it failed again and again',
  differs: 'a verify found where it differs, and its repair has not ended',
};

/** A slave that is out: since when, why, and what it owes, as far as that is known. */
export function failureOfSlave(
  mirror: MirrorFacts,
  index: number,
  path: string,
  { error, cause, fracturedAtMs, debt, bytesOwed, flapping = false }: DebtFacts & { error: number; flapping?: boolean },
): Problem {
  const when = fracturedAtMs === 0 ? null : `at ${new Date(fracturedAtMs).toISOString()}`;
  const why =
    error !== 0
      ? failureReason(error)
      : Object.hasOwn(CAUSE_IN_WORDS, cause)
        ? CAUSE_IN_WORDS[cause as FractureCause]
        : null;
  const reason = why === null ? `it failed ${when ?? 'earlier'}` : [when, why].filter(Boolean).join(' ');
  return new BlockmirrorError('SLAVE_FAILED', {
    image: mirror.images[index]?.name ?? `slave${index}`,
    ...(path === '' ? {} : { path }),
    detail: `${reason}${owedInWords(debt, bytesOwed)}${flapping ? FLAPPING : ''}`,
    remedy: remedyOf('SLAVE_FAILED', { mirror, image: index }) ?? '',
  }).toJSON();
}

const FLAPPING = '; it failed five times within an hour, and comes back only by hand';

function owedInWords(debt: NativeDebt, bytesOwed: number | null): string {
  if (debt === 'everything') return '; all of it is to be copied';
  return debt === 'map' && bytesOwed !== null ? `; it misses at most ${formatSize(bytesOwed)}` : '';
}

export function shownRecovery(summary: NativeRecoverySummary | null): RecoverySummary | null {
  if (summary === null) return null;
  const { finishedAtMs, ...rest } = summary;
  return { finishedAt: new Date(finishedAtMs).toISOString(), ...rest };
}

export function shownVerify(summary: NativeVerifySummary | null): VerifySummary | null {
  if (summary === null) return null;
  const { finishedAtMs, ...rest } = summary;
  const found = rest.bytesRepaired < rest.bytesDiffered ? 'differs' : 'repaired';
  const result = rest.bytesDiffered === 0 ? 'identical' : found;
  return { finishedAt: new Date(finishedAtMs).toISOString(), ...rest, result };
}

export function shownOwner(owner: NativeOwner, processName: string | null, pidNamespace: Owner['pidNamespace']): Owner {
  return {
    host: owner.host,
    bootId: owner.bootId,
    process: owner.process,
    processName,
    pidNamespace,
    startedAt: new Date(owner.startedAtMs).toISOString(),
  };
}

function dateOrNull(atMs: number): string | null {
  return atMs === 0 ? null : new Date(atMs).toISOString();
}

/** The image a user means by that name; for errors about names that are not there. */
export function imageNames(images: readonly NativeImageRecord[]): string {
  return images.map((image) => image.name).join(', ');
}
