/**
 * Making a mirror: hold everything, check everything under the locks, write the plan to the log, make the files that
 * are not there, format, copy the master to the slaves.
 *
 * Invariants:
 *  - I9: the log, then every image, is held before anything on it counts. What was looked at before (lookFirst) only
 *    spares the wait for a lock; it is all looked at again under the locks.
 *  - Nothing that exists is written to before every check on every device has passed.
 *  - The plan (a superblock that is `creating`) is durable before a file gets its name and before anything is written to
 *    an image. Whoever finds the log later knows which images it is for, and in which roles (lib/life/remains.ts).
 *  - A file that is made has no name until it is whole. What is removed again, when it fails before formatting began, is
 *    what this create made itself and still holds: the very inode, never whatever the path names by then.
 *  - Until the copy is proven, and the paths have been found to lead to what was written, the log says `creating`: an
 *    interrupted create is no mirror, and may be run again.
 *  - A mirror is made with all its slaves: one that fails ends it.
 */
import { resolve } from 'node:path';
import { letGo, newEngine, openImagesExclusive, openLogExclusive } from './attach';
import type { NativeBinding, NativeDeviceFacts, NativeSuperblock } from '../base/binding';
import { type Held, consentBeforeHole, judge, lookFirst, madeMeanwhile, refuseMoved } from './create_checks';
import type { Engine } from '../io/engine';
import { BlockmirrorError, type SystemError, isBlockmirrorError } from '../base/errors';
import { type WantedFile, explainFull } from '../system/free_space';
import { readIdentityAt } from '../look/identify';
import { labelPosition } from '../look/layout';
import { loadBinding } from '../base/load';
import { type CheckedCreate, checkCreate } from '../base/options';
import { totalLength } from '../base/pieces';
import { type Copied, type LongWork, endRecovery, forEachBatch, payDebts, progressOf, sum } from './recovery';
import { shellPath } from '../base/shell';
import { throwIfAborted } from '../base/signals';
import { shownState } from '../look/status';
import { findPlace, folderOfLog, storedPathToPath } from '../system/places';
import type { CreateOptions, CreateReport, Extent } from '../base/types';

export async function createMirror(options: CreateOptions): Promise<CreateReport> {
  const started = performance.now();
  const binding = loadBinding();
  const asked = checkCreate(options, binding.limits);
  const checked = withWholePaths(asked);
  throwIfAborted(checked.signal);
  const wanted = await lookFirst(checked, binding);
  const engine = newEngine(checked.device);
  const work: Work = {
    engine,
    onProgress: checked.onProgress,
    checkpoint: () => throwIfAborted(checked.signal),
    formatting: false,
    sealed: false,
  };
  try {
    const { superblock, copied } = await makeMirror(work, checked, wanted);
    const report = reportOf(engine, asked, superblock, copied);
    await engine.command('close', {});
    work.sealed = true;
    refuseFailedSeal(engine, checked);
    engine.destroy();
    return { ...report, durationMs: Math.round(performance.now() - started) };
  } catch (error) {
    // By the engine, which holds the files and their folders: never by a path. The log goes last.
    if (!work.formatting) await engine.command('unmake', {}).catch(() => undefined);
    await letGo(engine);
    throw await explainFailure(explainFull(error, wanted), checked, work.sealed);
  }
}

/** What a path is relative to may change while a create runs. */
function withWholePaths(asked: CheckedCreate): CheckedCreate {
  const images = asked.images.map(({ name, path }) => ({ name, path: resolve(path) }));
  return { ...asked, log: resolve(asked.log), images };
}

interface Work extends LongWork {
  formatting: boolean;
  /** There is a mirror from here on. */
  sealed: boolean;
}

async function makeMirror(
  work: Work,
  checked: CheckedCreate,
  wanted: readonly WantedFile[],
): Promise<{ superblock: NativeSuperblock; copied: Copied }> {
  const { engine } = work;
  const held = await hold(work, checked, wanted);
  work.checkpoint();
  const stored = await judge(checked, held, engine.binding.limits);
  work.checkpoint();
  await plan(engine, checked, stored, chooseRing(engine.binding, held.log, wantedLog(checked, held)));
  await link(engine, 'linkLog');
  await fill(work, held.images);
  await link(engine, 'linkImages');
  work.checkpoint();
  work.onProgress?.({ step: 'format', bytesDone: 0, bytesTotal: 0 });
  work.formatting = true;
  const superblock = await engine.command('format', {});
  return { superblock, copied: await copy(work, checked, superblock, held) };
}

/** Of create itself; null: as every mirror has it. */
function timeoutOf({ policies: { deviceTimeoutMs } }: CheckedCreate): number | null {
  if (deviceTimeoutMs === undefined) return null;
  return deviceTimeoutMs ?? Infinity;
}

/** From here on nobody else changes what log and images hold. */
async function hold(work: Work, checked: CheckedCreate, wanted: readonly WantedFile[]): Promise<Held> {
  const { engine } = work;
  const lengthOf = (name: string): number => wanted.find((file) => file.name === name)?.length ?? 0;
  engine.names = { log: checked.log, images: checked.images };
  const log = await openLogExclusive(engine, checked.log, lengthOf('log'), timeoutOf(checked));
  const lengths = checked.images.map(({ name }) => lengthOf(name));
  const images = await openImagesExclusive(engine, checked.images, lengths).catch(async (error: unknown) => {
    throw await consentBeforeHole(error, checked);
  });
  return { log, images };
}

async function link(engine: Engine, command: 'linkLog' | 'linkImages'): Promise<void> {
  try {
    await engine.command(command, {});
  } catch (error) {
    const taken = isBlockmirrorError(error) && (error.cause as SystemError | undefined)?.code === 'EEXIST';
    throw taken ? madeMeanwhile(error.image ?? '', error.path ?? '', error.cause) : error;
  }
}

async function plan(
  engine: Engine,
  checked: CheckedCreate,
  stored: Awaited<ReturnType<typeof judge>>,
  ringRecords: number,
): Promise<void> {
  const { size, assumeIdentical, maxImages, policies } = checked;
  const images = checked.images.map(({ name }, index) => ({
    name,
    path: stored[index]?.path ?? '',
    pathKind: stored[index]?.pathKind ?? ('absolute' as const),
  }));
  try {
    await engine.command('planFormat', {
      size: size ?? 0,
      ringRecords,
      maxImages,
      assumeIdentical,
      images,
      ...policies,
    });
  } catch (error) {
    if (!isBlockmirrorError(error, 'MISALIGNED')) throw error;
    throw new BlockmirrorError('INVALID_OPTION', {
      detail: `size is ${size} bytes`,
      remedy: `Give a multiple of ${error.position} bytes, the block size of these images`,
    });
  }
}

/** Written in full: an extent that is only reserved costs a metadata update at its first write. */
async function fill(work: Work, images: readonly NativeDeviceFacts[]): Promise<void> {
  const wholes = images.map((facts) => (facts.made === 'no' ? [] : wholeOf(facts)));
  if (totalLength(wholes.flat()) === 0) return;
  const advance = progressOf(work, 'prepare', wholes.flat());
  for (const [image, whole] of wholes.entries()) {
    if (whole.length === 0) continue;
    await forEachBatch(work, whole, async ({ extents, bytes }) => {
      await work.engine.command('fillImage', { image, extents });
      advance(bytes);
    });
    await work.engine.command('fillImage', { image });
  }
}

function wholeOf({ size }: NativeDeviceFacts): Extent[] {
  return [{ position: 0, length: size }];
}

async function copy(work: Work, checked: CheckedCreate, superblock: NativeSuperblock, held: Held): Promise<Copied> {
  const readBack = checked.readBack && !checked.assumeIdentical;
  const started = performance.now();
  const copied = await payDebts(work, {
    bytesTotal: checked.assumeIdentical ? 0 : superblock.size,
    compare: false,
    onlyDiffering: false,
    readBack,
  });
  await refuseMoved(checked, held);
  await endRecovery(work, {
    liveIntents: 0,
    bytesCovered: 0,
    bytesCopied: sum(copied.bytesCopied),
    durationMs: Math.round(performance.now() - started),
    readBack,
    fullCompare: false,
  });
  return copied;
}

function reportOf(
  engine: Engine,
  checked: CheckedCreate,
  superblock: NativeSuperblock,
  copied: Copied,
): Omit<CreateReport, 'durationMs'> {
  const { images } = engine.snapshot();
  return {
    uuid: superblock.mirrorUuid,
    log: checked.log,
    size: superblock.size,
    blockSize: superblock.blockSize,
    images: superblock.images.map((image, index) => ({
      name: image.name,
      role: image.role,
      path: checked.images[index]?.path ?? image.path,
      state: shownState(images[index]?.state ?? image.state, true),
      error: null,
      expectedAt: null,
      changedAt: null,
      bytesDiffered: 0,
      fracture: null,
      debt: 'none',
      bytesOwed: 0,
      resync: 'none',
      device: null,
      latency: null,
    })),
    bytesCopied: sum(copied.bytesCopied),
    readBack: checked.readBack && !checked.assumeIdentical,
  };
}

/** A slave can still fail at the very last step, the sealing of its label. Then there is a mirror, without that slave. */
function refuseFailedSeal(engine: Engine, checked: CheckedCreate): void {
  const { images } = engine.snapshot();
  const failed = images.findIndex((image) => image.state === 'failed');
  if (failed < 0) return;
  throw new BlockmirrorError('SLAVE_FAILED', {
    image: checked.images[failed]?.name ?? '',
    path: checked.images[failed]?.path ?? '',
    systemError: images[failed]?.error ?? 0,
    detail: 'the mirror was made, and this slave failed when it was closed',
    remedy: 'Replace the slave, and run create again with keepData and overwriteSignature',
  });
}

/** What a mirror that is open does without that slave, a create does not. */
async function explainFailure(error: unknown, { log, images }: CheckedCreate, sealed: boolean): Promise<unknown> {
  if (isBlockmirrorError(error, 'HOLE') && error.image === images[0]?.name) return explainHole(error, log);
  if (!isBlockmirrorError(error, 'SLAVE_FAILED') || sealed) return error;
  return new BlockmirrorError('SLAVE_FAILED', {
    ...(error.image === undefined ? {} : { image: error.image }),
    ...(error.path === undefined ? {} : { path: error.path }),
    detail: 'create needs all slaves, and has stopped',
    remedy: 'Look at its device (`dmesg`), replace it or leave it out, and run create again; there is no mirror yet',
    cause: error.cause,
  });
}

/**
 * An image is written in full, so that holes in one are bytes that it lost: filled, they would be copied to all others.
 * One that was cut short and grew again lost its label too; the log still knows it.
 */
async function explainHole(error: BlockmirrorError, log: string): Promise<BlockmirrorError> {
  const path = error.path ?? '';
  const label = (await readIdentityAt(path).catch(() => null))?.label ?? null;
  if (label === null && !(await isImageOf(log, path))) return error;
  const inspect = `\`blockmirror inspect ${shellPath(label === null ? log : path)}\``;
  return error.withRemedy(
    `Do not fill it: it is an image, and lost what was there. ${inspect} says where the others of its mirror are; ` +
      'name one that holds it as the master',
  );
}

async function isImageOf(log: string, path: string): Promise<boolean> {
  const superblock = (await readIdentityAt(log).catch(() => null))?.superblock ?? null;
  const place = await findPlace(path, path).catch(() => null);
  if (superblock === null || place === null) return false;
  const folder = await folderOfLog(log);
  return superblock.images.some((image) => storedPathToPath(image, folder) === place.realPath);
}

const RECORD_SIZE = 4096;

/** What the length of a log depends on. */
export interface WantedLog {
  /** Records of the ring that were asked for. */
  asked: number | null;
  /** Bytes of the mirror, at most. */
  size: number;
  maxImages: number;
}

function wantedLog({ ringRecords, size, maxImages }: CheckedCreate, { images }: Held): WantedLog {
  const largest = Math.min(...images.map((image) => labelPosition(image.size)));
  return { asked: ringRecords, size: size ?? largest, maxImages };
}

/** As many records as were asked for; else as many as the log has room for, up to the usual number. Pure. */
export function chooseRing(binding: NativeBinding, log: NativeDeviceFacts, wanted: WantedLog): number {
  const { asked, size, maxImages } = wanted;
  const { limits } = binding;
  const scale = Math.max(RECORD_SIZE, log.physicalBlockSize) / RECORD_SIZE;
  const lengthOf = (records: number): number => binding.logLength(records * scale, size, maxImages);
  const fits = (records: number): boolean => lengthOf(records) <= log.size;
  const least = asked ?? limits.minimumRingRecords;
  if (!fits(least)) {
    throw new BlockmirrorError('TOO_SMALL', {
      image: 'log',
      path: log.path,
      detail: `it has ${log.size} bytes; a log of ${least} records needs ${lengthOf(least)}`,
      remedy: 'Use a larger device or file for the log (the API also takes fewer ringRecords)',
    });
  }
  if (asked !== null) return asked;
  let records = limits.defaultRingRecords;
  while (!fits(records)) records = Math.max(least, Math.floor(records / 2));
  return records;
}
