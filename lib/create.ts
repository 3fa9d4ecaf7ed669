/**
 * Making a mirror: check everything, make the files that are not there, format, copy the master to the slaves.
 *
 * Invariants:
 *  - Nothing that exists is written to before every check on every device has passed.
 *  - Files that were made are removed again when it fails before formatting began.
 *  - Until the copy is proven the log says `creating`: an interrupted create is no mirror, and may be run again.
 */
import { open, unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { letGo, newEngine, openImagesExclusive, openLogExclusive, readSuperblock } from './attach';
import type { NativeBinding, NativeDeviceFacts, NativeSuperblock } from './binding';
import type { Engine } from './engine';
import { BlockmirrorError, isBlockmirrorError } from './errors';
import { readLabelHeads } from './find_images';
import { labelPosition } from './layout';
import { loadBinding } from './load';
import { type CheckedCreate, checkCreate, checkStoredPath } from './options';
import { refuseLivingOwner } from './owner';
import { writeZeroFile } from './preallocate';
import { type Copied, type LongWork, copyExtents, flushMaster, flushSlaves, retire, sum, verifyCopy } from './recovery';
import { refuseSignatures, signaturesOf } from './signatures';
import { formatSize } from './size';
import { shownState } from './status';
import { type Place, type StoredPath, findPlace, folderOfLog, pathToStore } from './system/places';
import type { CreateOptions, CreateReport } from './types';
import { type NamedPlace, readSurroundings, refuseOverlaps, refuseUsed } from './uses';

const MIB = 1024 * 1024;

export async function createMirror(options: CreateOptions): Promise<CreateReport> {
  const started = performance.now();
  const binding = loadBinding();
  const checked = checkCreate(options, binding.limits);
  checked.signal?.throwIfAborted();
  await refuseUnsafe(checked);
  const made = await makeFiles(checked, binding);
  const engine = newEngine(checked.device);
  const plan = { formatted: false };
  try {
    const { superblock, copied } = await formatAndCopy(engine, checked, plan);
    const images = superblock.images.map((image, index) => ({
      name: image.name,
      role: image.role,
      path: checked.images[index]?.path ?? image.path,
      state: shownState(engine.snapshot().images[index]?.state ?? image.state, true),
      error: null,
      expectedAt: null,
      changedAt: null,
      bytesDiffered: 0,
    }));
    await engine.command('close', {});
    engine.destroy();
    return {
      uuid: superblock.mirrorUuid,
      log: checked.log,
      size: superblock.size,
      blockSize: superblock.blockSize,
      images,
      bytesCopied: sum(copied.bytesCopied),
      verified: checked.verify && !checked.assumeIdentical,
      durationMs: Math.round(performance.now() - started),
    };
  } catch (error) {
    await letGo(engine);
    if (!plan.formatted) for (const path of made) await unlink(path).catch(() => undefined);
    throw error;
  }
}

// --- before anything is written -----------------------------------------------------------------------------------------

async function refuseUnsafe(checked: CheckedCreate): Promise<void> {
  const log = await findPlace(checked.log, 'log');
  const images: { name: string; path: string; place: Place | null }[] = [];
  for (const { name, path } of checked.images) images.push({ name, path, place: await findPlace(path, name) });
  refuseSamePaths(checked);
  const places: NamedPlace[] = log === null ? [] : [{ name: 'log', place: log }];
  for (const { name, place } of images) if (place !== null) places.push({ name, place });
  refuseOverlaps(places);
  refuseUsed(places, await readSurroundings());
  refuseMissingMaster(checked, images[0]?.place ?? null);
  for (const { name, path, place } of images) refuseSize(name, path, place, checked.size);
  const unfinished = log === null ? null : await unfinishedCreate(checked.log);
  for (const { name, place } of places) {
    const found = await signaturesOf(place);
    if (name === 'log' && place.kind === 'file' && found.signatures.length === 0 && (await holdsData(place))) {
      found.signatures.push({ type: 'data', kind: 'other', label: null, reaches: null });
    }
    const role = name === 'log' ? 'log' : name === checked.images[0]?.name ? 'master' : 'slave';
    refuseSignatures({ name, place }, role, found, checked, await isRemainder(place, unfinished));
  }
}

/** Paths that do not exist yet have no bytes to be compared by. */
function refuseSamePaths(checked: CheckedCreate): void {
  const named = [{ name: 'log', path: checked.log }, ...checked.images];
  for (const [index, one] of named.entries()) {
    const other = named.slice(index + 1).find((candidate) => resolve(candidate.path) === resolve(one.path));
    if (other === undefined) continue;
    throw new BlockmirrorError('SAME_DEVICE', { path: one.path, detail: `named as ${one.name} and as ${other.name}` });
  }
}

/** Made anew it would hold zeroes, and the slaves, which may hold the only data, would get them. */
function refuseMissingMaster({ keepData, images }: CheckedCreate, place: Place | null): void {
  const [master] = images;
  if (!keepData || place !== null || master === undefined) return;
  throw new BlockmirrorError('IMAGE_NOT_FOUND', {
    image: master.name,
    path: master.path,
    detail: 'keepData (--keep-data) says that it holds the data',
    remedy: 'Check the path of the master; without keepData it is made anew, and empty',
  });
}

function refuseSize(name: string, path: string, place: Place | null, size: number | null): void {
  if (place === null) {
    if (size !== null) return;
    throw new BlockmirrorError('IMAGE_NOT_FOUND', { image: name, path });
  }
  const room = labelPosition(place.size);
  if (room > 0 && room >= (size ?? 0)) return;
  const needs = size === null ? 'at least 2 MiB' : `${formatSize(size)} and the 1 MiB of the label`;
  throw new BlockmirrorError('TOO_SMALL', {
    image: name,
    path,
    detail: `it has ${place.size} bytes, and needs ${needs}, in whole MiB`,
  });
}

/** The superblock of a create that was interrupted; null when the log is anything else. */
async function unfinishedCreate(log: string): Promise<NativeSuperblock | null> {
  const superblock = await readSuperblock(log).catch(() => null);
  return superblock?.lifecycle === 'creating' ? superblock : null;
}

/** Whether blockmirror's marks on the place are of that interrupted create: nothing was ever promised over them. */
async function isRemainder(place: Place, unfinished: NativeSuperblock | null): Promise<boolean> {
  if (unfinished === null) return false;
  const heads = await readLabelHeads(place.realPath, labelPosition(place.size));
  return heads.every((head) => head.mirrorUuid === unfinished.mirrorUuid);
}

/** A file that is to become the log, and holds something else than zeroes. */
async function holdsData(place: Place): Promise<boolean> {
  const file = await open(place.realPath, 'r');
  try {
    const chunk = Buffer.alloc(MIB);
    const zeroes = Buffer.alloc(MIB);
    for (let position = 0; position < place.size;) {
      const { bytesRead } = await file.read(chunk, 0, MIB, position);
      if (bytesRead === 0) return false;
      if (chunk.compare(zeroes, 0, bytesRead, 0, bytesRead) !== 0) return true;
      position += bytesRead;
    }
    return false;
  } finally {
    await file.close();
  }
}

// --- files --------------------------------------------------------------------------------------------------------------

/** @returns paths that did not exist before */
async function makeFiles(checked: CheckedCreate, binding: NativeBinding): Promise<string[]> {
  const log = await findPlace(checked.log, 'log');
  const wanted: { name: string; path: string; length: number; fresh: boolean }[] = [];
  if (log === null || (log.kind === 'file' && log.size === 0)) {
    const length = binding.logLength(checked.ringRecords ?? binding.limits.defaultRingRecords);
    wanted.push({ name: 'log', path: checked.log, length, fresh: log === null });
  }
  for (const { name, path } of checked.images) {
    if ((await findPlace(path, name)) !== null || checked.size === null) continue;
    const length = Math.ceil(checked.size / MIB) * MIB + binding.limits.labelAreaLength;
    wanted.push({ name, path, length, fresh: true });
  }
  const bytesTotal = wanted.reduce((total, file) => total + file.length, 0);
  let bytesDone = 0;
  const made: string[] = [];
  const advance = (bytes: number): void => {
    bytesDone += bytes;
    checked.onProgress?.({ step: 'prepare', bytesDone, bytesTotal });
  };
  try {
    for (const { name, path, length, fresh } of wanted) {
      await writeZeroFile(path, length, name, fresh, advance, () => checked.signal?.throwIfAborted());
      if (fresh) made.push(path);
    }
  } catch (error) {
    for (const path of made) await unlink(path).catch(() => undefined);
    throw error;
  }
  return made;
}

// --- the mirror ---------------------------------------------------------------------------------------------------------

async function formatAndCopy(
  engine: Engine,
  checked: CheckedCreate,
  plan: { formatted: boolean },
): Promise<{ superblock: NativeSuperblock; copied: Copied }> {
  const work: LongWork = {
    engine,
    onProgress: checked.onProgress,
    checkpoint: () => checked.signal?.throwIfAborted(),
  };
  engine.names = { log: checked.log, images: checked.images };
  const logFacts = await openLogExclusive(engine, checked.log);
  // Consent to lose what is on it is no consent to take it from a mirror that is open on another host.
  const former = await readSuperblock(checked.log).catch(() => null);
  if (former !== null) {
    await refuseLivingOwner(former, checked.log, { takeOver: checked.takeOver, again: 'create with `--take-over`' });
  }
  const stored = await storedPaths(checked, engine.binding);
  await openImagesExclusive(engine, checked.images, false);
  work.checkpoint();
  work.onProgress?.({ step: 'format', bytesDone: 0, bytesTotal: 0 });
  plan.formatted = true;
  const superblock = await format(engine, checked, stored, chooseRing(engine.binding, logFacts, checked.ringRecords));
  const extents = checked.assumeIdentical ? [] : [{ position: 0, length: superblock.size }];
  const verify = checked.verify && !checked.assumeIdentical;
  const started = performance.now();
  let copied: Copied = { bytesCopied: [], bytesDiffered: [], repairs: [] };
  if (!checked.assumeIdentical) {
    await flushMaster(work);
    copied = await copyExtents(work, extents, { compare: false, onlyDiffering: false });
    await flushSlaves(work);
    if (verify) await verifyCopy(work, extents);
  }
  await retire(work, {
    liveIntents: 0,
    bytesCovered: 0,
    bytesCopied: sum(copied.bytesCopied),
    durationMs: Math.round(performance.now() - started),
    verified: verify,
    fullCompare: false,
  });
  return { superblock, copied };
}

async function format(
  engine: Engine,
  checked: CheckedCreate,
  stored: readonly StoredPath[],
  ringRecords: number,
): Promise<NativeSuperblock> {
  const { size, assumeIdentical } = checked;
  const images = checked.images.map(({ name }, index) => ({ name, ...(stored[index] as StoredPath) }));
  try {
    return await engine.command('format', { size: size ?? 0, ringRecords, assumeIdentical, images });
  } catch (error) {
    if (!isBlockmirrorError(error, 'MISALIGNED')) throw error;
    throw new BlockmirrorError('INVALID_OPTION', {
      detail: `size is ${size} bytes`,
      remedy: `Give a multiple of ${error.position} bytes, the block size of these images`,
    });
  }
}

async function storedPaths(checked: CheckedCreate, binding: NativeBinding): Promise<StoredPath[]> {
  const folder = await folderOfLog(checked.log);
  const paths: StoredPath[] = [];
  for (const { name, path } of checked.images) {
    const place = await findPlace(path, name);
    if (place === null) throw new BlockmirrorError('IMAGE_NOT_FOUND', { image: name, path });
    const stored = await pathToStore(place, folder);
    checkStoredPath(name, stored.path, binding.limits.imagePathLength);
    paths.push(stored);
  }
  return paths;
}

const RECORD_SIZE = 4096;

/** As many records as were asked for; else as many as the log has room for, up to the usual number. Pure. */
export function chooseRing(binding: NativeBinding, log: NativeDeviceFacts, asked: number | null): number {
  const { limits } = binding;
  const scale = Math.max(RECORD_SIZE, log.physicalBlockSize) / RECORD_SIZE;
  const fits = (records: number): boolean => binding.logLength(records * scale) <= log.size;
  const least = asked ?? limits.minimumRingRecords;
  if (!fits(least)) {
    throw new BlockmirrorError('TOO_SMALL', {
      image: 'log',
      path: log.path,
      detail: `it has ${log.size} bytes; a log of ${least} records needs ${binding.logLength(least * scale)}`,
      remedy: 'Use a larger device or file, or fewer ringRecords',
    });
  }
  if (asked !== null) return asked;
  let records = limits.defaultRingRecords;
  while (!fits(records)) records = Math.max(least, Math.floor(records / 2));
  return records;
}
