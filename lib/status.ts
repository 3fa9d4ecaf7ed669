/**
 * Status as it is shown, derived from what log, labels and engine say. Pure.
 *
 * I10: `synchronized` is never assumed. A slave is shown as synchronized only when nothing is in flight and nothing is
 * uncertain, and when its label was looked at.
 */
import type {
  NativeImageRecord,
  NativeImageState,
  NativeRecoverySummary,
  NativeSnapshot,
  NativeSuperblock,
  NativeVerifySummary,
} from './binding';
import { BlockmirrorError, systemErrorName } from './errors';
import type {
  DeviceKind,
  ImageState,
  ImageStatus,
  Owner,
  Phase,
  Problem,
  RecoverySummary,
  Status,
  VerifySummary,
} from './types';

/** What a mirror that is open here adds to the superblock. */
export interface LiveFacts {
  log: string;
  superblock: NativeSuperblock;
  /** Where the images are this time, in superblock order; empty for one that was left out. */
  paths: readonly string[];
  snapshot: NativeSnapshot;
  stopped: Problem | null;
  phase: Phase;
  pendingRequests: number;
  pendingWrites: number;
  lastRecovery: RecoverySummary | null;
  device: DeviceKind;
  owner: Owner;
}

export function liveStatus(facts: LiveFacts): Status {
  const { superblock, snapshot } = facts;
  const provable = facts.phase === 'running' && facts.pendingWrites === 0 && snapshot.coverage.uncertainBytes === 0;
  return {
    uuid: superblock.mirrorUuid,
    log: facts.log,
    size: superblock.size,
    blockSize: superblock.blockSize,
    generation: snapshot.generation,
    phase: facts.phase,
    stopped: facts.stopped,
    images: superblock.images.map((image, index) => liveImage(facts, image, index, provable)),
    logUse: {
      recordCount: snapshot.log.recordCount,
      recordsLive: snapshot.log.recordsLive,
      recordSize: superblock.ring.recordSize,
      sequence: snapshot.log.sequence,
      tail: snapshot.log.tail,
    },
    coverage: { ...snapshot.coverage },
    counters: { ...snapshot.counters },
    pendingRequests: facts.pendingRequests,
    lastRecovery: facts.lastRecovery,
    lastVerify: shownVerify(snapshot.lastVerify),
    device: facts.device,
    owner: facts.owner,
  };
}

function liveImage(facts: LiveFacts, image: NativeImageRecord, index: number, provable: boolean): ImageStatus {
  const seen = facts.snapshot.images[index] ?? image;
  const path = facts.paths[index] ?? '';
  const { name, role } = image;
  const common = { name, role, path: path === '' ? image.path : path, bytesDiffered: seen.bytesDiffered };
  // The log cannot call the master failed: without a master there is no mirror. The status can.
  if (index === 0 && facts.stopped?.code === 'ERR_BLOCKMIRROR_MASTER_FAILED') {
    return { ...common, state: 'failed', error: facts.stopped };
  }
  const error = seen.state === 'failed' ? failure(image.name, path, seen.error) : null;
  return { ...common, state: shownState(seen.state, provable), error };
}

export function shownState(state: NativeImageState, provable: boolean): ImageState {
  if (state !== 'in-sync') return state;
  return provable ? 'synchronized' : 'consistent';
}

/** A slave that failed: with its errno while the mirror that saw it is open, otherwise what the log remembers. */
export function failure(name: string, path: string, errno: number): Problem {
  const reason = errno === 0 ? 'it failed earlier' : `it returned ${systemErrorName(errno)}`;
  return new BlockmirrorError('SLAVE_FAILED', {
    image: name,
    ...(path === '' ? {} : { path }),
    detail: reason,
  }).toJSON();
}

export function shownRecovery(summary: NativeRecoverySummary | null): RecoverySummary | null {
  if (summary === null) return null;
  const { finishedAtMs, ...rest } = summary;
  return { finishedAt: new Date(finishedAtMs).toISOString(), ...rest };
}

export function shownVerify(summary: NativeVerifySummary | null): VerifySummary | null {
  if (summary === null) return null;
  const { finishedAtMs, ...rest } = summary;
  return { finishedAt: new Date(finishedAtMs).toISOString(), ...rest };
}

export function shownOwner(owner: NativeSuperblock['owner'], processName: string | null): Owner {
  return {
    host: owner.host,
    bootId: owner.bootId,
    process: owner.process,
    processName,
    startedAt: new Date(owner.startedAtMs).toISOString(),
  };
}

/** The image a user means by that name; for errors about names that are not there. */
export function imageNames(images: readonly NativeImageRecord[]): string {
  return images.map((image) => image.name).join(', ');
}
