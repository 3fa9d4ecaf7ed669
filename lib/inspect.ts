/**
 * Looking at a mirror without holding it: what log and images say, who has it open, whether it could be attached.
 *
 * Writes nothing. While nobody has the mirror open, its log is held (read-only) for the moment of the look, so that the
 * picture is of one time; otherwise it is a moving picture, and says so by its phase `held`.
 */
import { letGo, newEngine } from './attach';
import type { NativeAssessment, NativeBinding, NativeDeviceFacts, NativeStatus, NativeSuperblock } from './binding';
import type { Engine } from './engine';
import { BlockmirrorError, errorOfStatus, isBlockmirrorError } from './errors';
import { findImage, refuseUnknownNames } from './find_images';
import { describeOwner, lockHolder } from './holders';
import { checkInspect, checkPath } from './options';
import { failure, shownRecovery, shownState, shownVerify } from './status';
import { findPlace, folderOfLog } from './system/places';
import type { ImageStatus, InspectOptions, Inspection, Owner, Phase, Problem } from './types';

/** What was found of one image. */
interface SeenImage {
  path: string;
  facts: NativeDeviceFacts | null;
  problem: Problem | null;
}

interface Look {
  held: boolean;
  logDevice: NativeDeviceFacts;
  superblock: NativeSuperblock;
  assessment: NativeAssessment;
  images: SeenImage[];
}

export async function inspect(log: string, options: InspectOptions = {}): Promise<Inspection> {
  checkPath(log, 'log');
  const { images } = checkInspect(options);
  const seen = await look(log, images);
  const lastOwner = await describeOwner(seen.superblock.owner);
  return inspectionOf(log, seen, lastOwner);
}

/** The look itself; recover's dry run builds on it. */
export async function look(log: string, overrides: Readonly<Record<string, string>>): Promise<Look> {
  const { engine, held, facts } = await openForLook(log);
  try {
    const superblock = await engine.command('loadSuperblock', {});
    refuseUnknownNames(superblock, overrides);
    const images = await seeImages(engine.binding, superblock, await folderOfLog(log), overrides);
    engine.names = {
      log,
      images: superblock.images.map(({ name }, index) => ({ name, path: images[index]?.path ?? '' })),
    };
    const assessment = await assess(engine, images);
    judge(engine, superblock, assessment, images);
    return { held, logDevice: facts, superblock, assessment, images };
  } finally {
    await letGo(engine);
  }
}

/**
 * The lock table tells at once who holds the log; trying to hold it would wait for a while first. Where that table
 * cannot be read (another namespace), trying is what is left.
 */
async function openForLook(log: string): Promise<{ engine: Engine; held: boolean; facts: NativeDeviceFacts }> {
  const place = await findPlace(log, 'log');
  if (place === null) {
    throw new BlockmirrorError('OPEN_FAILED', {
      image: 'log',
      path: log,
      systemError: 2,
      remedy: 'Check the path of the log',
    });
  }
  let held = (await lockHolder(place)) !== null;
  for (;;) {
    const engine = newEngine('threads');
    engine.names = { log, images: [] };
    try {
      const options = { path: log, readOnly: true, exclusive: !held, requireAllocated: false };
      return { engine, held, facts: await engine.command('openLog', options) };
    } catch (error) {
      await letGo(engine);
      if (held || !isBlockmirrorError(error, 'BUSY')) throw error;
      held = true;
    }
  }
}

async function seeImages(
  binding: NativeBinding,
  superblock: NativeSuperblock,
  logFolder: string,
  overrides: Readonly<Record<string, string>>,
): Promise<SeenImage[]> {
  const seen: SeenImage[] = [];
  for (const image of superblock.images) {
    const found = await findImage(superblock, image, logFolder, overrides[image.name]).catch((error: unknown) => {
      if (isBlockmirrorError(error)) return error;
      throw error;
    });
    if (found instanceof BlockmirrorError) {
      seen.push({ path: '', facts: null, problem: found.toJSON() });
    } else if (found.path === '') {
      seen.push({ path: '', facts: null, problem: failure(image.name, image.path, 0) });
    } else {
      seen.push(seeDevice(binding, image.name, found.path));
    }
  }
  return seen;
}

function seeDevice(binding: NativeBinding, image: string, path: string): SeenImage {
  const facts = binding.deviceFacts(path);
  if (!('code' in facts)) return { path, facts, problem: null };
  const problem = errorOfStatus(binding.codes, facts, undefined, { image, path }).toJSON();
  return { path: '', facts: null, problem };
}

async function assess(engine: Engine, images: readonly SeenImage[]): Promise<NativeAssessment> {
  const paths = images.map((image) => image.path);
  await engine.command('openImages', { paths, readOnly: true, exclusive: false });
  return engine.command('assess', {});
}

/** Puts the engine's verdicts beside what was already wrong. */
function judge(engine: Engine, superblock: NativeSuperblock, assessment: NativeAssessment, images: SeenImage[]): void {
  for (const [index, image] of images.entries()) {
    const verdict = assessment.images[index];
    if (image.problem !== null || verdict === undefined || verdict.code === 0) continue;
    const status: NativeStatus = { ...verdict, image: index };
    image.problem = errorOfStatus(engine.binding.codes, status, engine.names).toJSON();
    // Nothing was promised yet, so that there is nothing that a label could contradict.
    if (superblock.lifecycle === 'creating') image.problem = null;
  }
}

export function inspectionOf(log: string, seen: Look, lastOwner: Owner | null): Inspection {
  const { superblock, assessment, held, images } = seen;
  const provable = !held && assessment.clean && superblock.lifecycle === 'sealed';
  const live = new Set(assessment.liveIntents.map((intent) => intent.sequence));
  const failed = superblock.images.map((image) => image.state === 'failed');
  return {
    status: {
      uuid: superblock.mirrorUuid,
      log,
      size: superblock.size,
      blockSize: superblock.blockSize,
      generation: superblock.generation,
      phase: phaseOf(superblock, assessment, held),
      stopped: null,
      images: superblock.images.map((image, index): ImageStatus => {
        const { path, problem } = images[index] as SeenImage;
        return {
          name: image.name,
          role: image.role,
          path: path === '' ? image.path : path,
          state: problem === null ? shownState(image.state, provable) : 'failed',
          error: problem,
          bytesDiffered: image.bytesDiffered,
        };
      }),
      logUse: {
        recordCount: superblock.ring.recordCount,
        recordsLive: live.size,
        recordSize: superblock.ring.recordSize,
        sequence: assessment.sequence,
        tail: assessment.tail,
      },
      coverage: {
        bytes: assessment.bytesCovered,
        budget: null,
        regions: assessment.extents.length,
        uncertainBytes: assessment.clean ? 0 : assessment.bytesCovered,
      },
      counters: {},
      pendingRequests: 0,
      lastRecovery: shownRecovery(superblock.lastRecovery),
      lastVerify: shownVerify(superblock.lastVerify),
      device: null,
      owner: held ? lastOwner : null,
    },
    clean: assessment.clean,
    damaged: assessment.damaged,
    damage: assessment.damage,
    tornRecords: assessment.tornRecords,
    liveIntents: assessment.liveIntents,
    extents: assessment.extents,
    bytesCovered: assessment.bytesCovered,
    logUuid: superblock.logUuid,
    lastOwner,
    logDevice: seen.logDevice,
    imageDevices: images.map((image) => image.facts),
    attachable:
      !held &&
      superblock.lifecycle !== 'creating' &&
      images.every((image, index) => image.problem === null || failed[index] === true),
  };
}

function phaseOf(superblock: NativeSuperblock, assessment: NativeAssessment, held: boolean): Phase {
  if (held) return 'held';
  if (superblock.lifecycle === 'creating') return 'creating';
  return assessment.clean ? 'closed' : 'unclean';
}
