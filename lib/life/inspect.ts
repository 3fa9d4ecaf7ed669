/**
 * Looking at a mirror without holding it: what log and images say, who has it open, whether it could be attached.
 *
 * Invariants:
 *  - Writes nothing. While nobody has the mirror open, its log is held (read-only) for the moment of the look, so that
 *    the picture is of one time; otherwise it is a moving picture, and says so by its phase `held`.
 *  - One image that cannot be used never hides the others.
 *  - `attachable` is false whenever open() would refuse, and `obstacles` says all the reasons.
 */
import { policiesOf } from '../base/policies';
import { letGo, loadSuperblock, newEngine } from './attach';
import type {
  NativeAssessment,
  NativeBinding,
  NativeDeviceFacts,
  NativeHistory,
  NativeImageRecord,
  NativeSuperblock,
} from '../base/binding';
import type { Engine } from '../io/engine';
import { BlockmirrorError, errorOfStatus, failureReason, isBlockmirrorError, isWrongBytes } from '../base/errors';
import { explainImage } from '../look/explain';
import { DistrustedImage, type LogWord, findImage, isRemembered, mirrorFacts, refuseUnknownNames } from './find_images';
import { distrustedImage } from './foreign_log';
import { explainVerdict } from './image_checks';
import { describeOwner, explainUnknown, findHolder, withOwner } from '../look/holders';
import { identifyPlace, identityToText } from '../look/identify';
import { type SeenDevice, findObstacles } from './obstacles';
import { refuseLivingOwner } from '../look/owner';
import { checkInspect, checkPath } from '../base/options';
import { type MirrorFacts, remedyOf, remedyOfWrongBytes, takeBack } from '../base/remedies';
import { assess } from './scan';
import { throwIfAborted } from '../base/signals';
import { buildStatus, isOut, owedByRecord, shownRecovery, shownVerify } from '../look/status';
import { type Place, findPlace, folderOfLog, storedPathToPath } from '../system/places';
import { distrust, isBelieved, trustIn } from '../look/trust';
import type {
  Extent,
  Holder,
  InspectOptions,
  Inspection,
  LostCopy,
  Owner,
  Phase,
  Problem,
  ProgressListener,
} from '../base/types';

export interface Look {
  held: boolean;
  holder: Holder | null;
  logDevice: NativeDeviceFacts;
  superblock: NativeSuperblock;
  assessment: NativeAssessment;
  images: SeenDevice[];
  obstacles: Problem[];
  lostCopies: LostCopy[];
  mirror: MirrorFacts;
  word: LogWord;
  /** By image, as a snapshot has it. */
  owed: readonly (number | null)[];
  /** Of `at`: the set of images that owe something of it; null: not known. */
  owing: number | null;
  history: NativeHistory | null;
}

interface HowToLook {
  trustFolders: boolean;
  /** The operator's word that an owner of whom nothing can be seen from here is dead. */
  takeOver?: boolean;
  signal: AbortSignal | undefined;
  onProgress?: ProgressListener | undefined;
  /** A block that is to be explained: the look tells who owes it, and has the history. Throws where it is not of the mirror. */
  at?: (superblock: NativeSuperblock) => Extent;
}

export async function inspect(log: string, options: InspectOptions = {}): Promise<Inspection> {
  checkPath(log, 'log');
  const { images, ...how } = checkInspect(options);
  const seen = await look(log, images, how);
  const lastOwner = await describeOwner(seen.superblock.owner);
  return inspectionOf(log, seen, lastOwner);
}

/** The look itself; recover's dry run builds on it. */
export async function look(log: string, overrides: Readonly<Record<string, string>>, how: HowToLook): Promise<Look> {
  throwIfAborted(how.signal);
  const { engine, held: locked, holder: seen, facts, problem } = await openForLook(log);
  try {
    const superblock = await loadSuperblock(engine, log);
    const holder = await withOwner(seen, superblock.owner);
    const living = locked ? null : await livingOwner(superblock, log, overrides, how.takeOver === true);
    const held = locked || living?.code === 'ERR_BLOCKMIRROR_BUSY';
    refuseUnknownNames(superblock, overrides);
    const word = { folder: await folderOfLog(log), trust: await trustIn(facts) };
    const images = await seeImages({ binding: engine.binding, log, superblock, word, overrides });
    const mirror = mirrorFacts(log, superblock, images, word);
    for (const [index, image] of mirror.images.entries()) {
      const found = images[index];
      // No command that is to be pasted may name what root does not take the log's word for.
      image.doubtful = found?.distrusted !== undefined || (image.doubtful === true && found?.isItself !== true);
    }
    for (const image of images) {
      if (image.error !== null) image.problem = (await explainImage(image.error, superblock, mirror)).toJSON();
    }
    engine.names = {
      log,
      images: superblock.images.map(({ name }, index) => ({ name, path: images[index]?.path ?? '' })),
      mirror,
    };
    const assessment = await assessSeen(engine, images, how);
    await judge(engine, superblock, assessment, images, mirror);
    const at = how.at?.(superblock);
    const { owed, owing } = await readOwed(engine, superblock, at);
    const made = superblock.lifecycle !== 'creating';
    const history = at === undefined || !made ? null : await engine.command('readHistory', {});
    const logDevice = { name: 'log', path: log, facts, problem: problem ?? living, error: null };
    const obstacles = await findObstacles(engine.binding, engine.names, logDevice, images, {
      held,
      trustFolders: how.trustFolders,
    });
    const lostCopies = held ? [] : await findLostCopies(log, superblock, images);
    return {
      held,
      holder,
      logDevice: facts,
      superblock,
      assessment,
      images,
      obstacles,
      lostCopies,
      mirror,
      word,
      owed,
      owing,
      history,
    };
  } finally {
    await letGo(engine);
  }
}

/** Why open() would refuse it for the sake of the owner that the log names, although nobody holds its lock here. */
function livingOwner(
  superblock: NativeSuperblock,
  log: string,
  images: Readonly<Record<string, string>>,
  takeOver: boolean,
): Promise<Problem | null> {
  return refuseLivingOwner(superblock, log, { images, takeOver }).then(
    () => null,
    (error: unknown) => {
      if (isBlockmirrorError(error)) return error.toJSON();
      throw error;
    },
  );
}

/**
 * The lock table tells at once who holds the log; trying to hold it would wait for a while first. Where that table
 * cannot be read (another namespace), trying is what is left.
 */
export async function openForLook(log: string): Promise<{
  engine: Engine;
  held: boolean;
  holder: Holder | null;
  problem: Problem | null;
  facts: NativeDeviceFacts;
}> {
  const place = await findPlace(log, 'log');
  if (place === null) {
    throw new BlockmirrorError('OPEN_FAILED', {
      image: 'log',
      path: log,
      systemError: 2,
      remedy: 'Check the path of the log',
    });
  }
  const holder = await findHolder(place);
  let held = holder !== null;
  let exclusive = !held;
  let problem: Problem | null = null;
  for (;;) {
    const engine = newEngine('threads');
    engine.names = { log, images: [] };
    try {
      const options = { path: log, readOnly: true, exclusive, requireAllocated: false };
      return { engine, held, holder, problem, facts: await engine.command('openLog', options) };
    } catch (error) {
      await letGo(engine);
      const elsewhere = isBlockmirrorError(error, 'BUSY');
      if (!exclusive || !(elsewhere || isBlockmirrorError(error, 'USE_UNKNOWN'))) throw error;
      held = elsewhere;
      exclusive = false;
      if (!elsewhere) problem = ((await explainUnknown(error)) as BlockmirrorError).toJSON();
    }
  }
}

interface Seeing {
  binding: NativeBinding;
  log: string;
  superblock: NativeSuperblock;
  word: LogWord;
  overrides: Readonly<Record<string, string>>;
}

async function seeImages({ binding, log, superblock, word, overrides }: Seeing): Promise<SeenDevice[]> {
  const seen: SeenDevice[] = [];
  for (const image of superblock.images) {
    const { name } = image;
    const found = await findImage(superblock, image, word, overrides[name]).catch((error: unknown) => {
      if (isBlockmirrorError(error)) return error;
      throw error;
    });
    if (found instanceof DistrustedImage) {
      const error = await distrustedImage(log, found);
      seen.push({ name, path: '', facts: null, problem: null, error, distrusted: found });
    } else if (found instanceof BlockmirrorError) {
      seen.push({ name, path: '', facts: null, problem: null, error: found });
    } else if (found.path === '') {
      const at = await findPlace(storedPathToPath(image, word.folder), name).catch(() => null);
      const unseen = at !== null && distrust(word.trust, at) !== null;
      const error = at === null || unseen ? null : await strangerAt(at, image, superblock, log);
      seen.push({ name, path: '', facts: null, problem: null, error, isItself: error === null && !unseen });
    } else {
      const expectedAt = found.expectedAt ?? null;
      const { isItself } = found;
      seen.push({ ...seeDevice(binding, name, found.path), expectedAt, isItself, remembered: isRemembered(found) });
    }
  }
  return seen;
}

function seeDevice(binding: NativeBinding, name: string, path: string): SeenDevice {
  const facts = binding.deviceFacts(path);
  if (!('code' in facts)) return { name, path, facts, problem: null, error: null };
  const error = errorOfStatus(binding.codes, facts, undefined, { image: name, path });
  return { name, path: '', facts: null, problem: null, error };
}

/** A slave that is out is not looked for here, and its path may be another device by now: nobody may be told to write there. */
async function strangerAt(
  place: Place,
  image: NativeImageRecord,
  superblock: NativeSuperblock,
  log: string,
): Promise<BlockmirrorError | null> {
  const identity = await identifyPlace(place).catch(() => null);
  if (identity === null || identity.size === 0) return null;
  const { label } = identity;
  if (label?.mirrorUuid === superblock.mirrorUuid && label.imageUuid === image.uuid) return null;
  const what = identityToText(identity) ?? 'nothing of blockmirror';
  return new BlockmirrorError('SLAVE_FAILED', {
    image: image.name,
    path: place.path,
    detail: `it failed earlier, and what is at its path now is ${what}`,
    remedy: `Attach the device that was there, and ${takeBack(log)}. Where it is lost, make the mirror anew over the same master, with keepData, and a device for it that is free`,
  });
}

async function assessSeen(engine: Engine, images: readonly SeenDevice[], how: HowToLook): Promise<NativeAssessment> {
  const paths = images.map((image) => image.path);
  await engine.command('openImages', { paths, readOnly: true, exclusive: false, members: true });
  return assess(engine, () => throwIfAborted(how.signal), how.onProgress);
}

/** What each slave owes, as the log says. While somebody has the mirror open its maps are being written: of then. */
async function readOwed(
  engine: Engine,
  superblock: NativeSuperblock,
  at: Extent | undefined,
): Promise<Pick<Look, 'owed' | 'owing'>> {
  const record = superblock.images.map(({ debt }) => owedByRecord(debt));
  if (superblock.lifecycle === 'creating') return { owed: record, owing: null };
  if (superblock.images.every(({ debt }) => debt === 'none')) return { owed: record, owing: 0 };
  // Without memory for it the rest of the look stands.
  const owing = await engine.command('readDebts', at ?? {}).catch((error: unknown) => {
    if (isBlockmirrorError(error, 'NO_MEMORY')) return null;
    throw error;
  });
  const owed = owing === null ? record : engine.snapshot().images.map(({ bytesOwed }) => bytesOwed);
  return { owed, owing };
}

/** Puts the engine's verdicts beside what was already wrong. */
async function judge(
  engine: Engine,
  superblock: NativeSuperblock,
  assessment: NativeAssessment,
  images: readonly SeenDevice[],
  mirror: MirrorFacts,
): Promise<void> {
  // Nothing was promised yet, so that there is nothing that a label could contradict.
  if (superblock.lifecycle === 'creating') return;
  for (const [index, image] of images.entries()) {
    const verdict = assessment.images[index];
    if (image.problem !== null || verdict === undefined || verdict.code === 0) continue;
    const error = explainVerdict(engine, superblock, assessment, index, image.remembered === true, mirror);
    image.problem = (await explainImage(error, superblock, mirror)).toJSON();
  }
}

/** Only of a mirror that nobody writes to: what is being written is whole in one copy at a time. */
async function findLostCopies(
  log: string,
  superblock: NativeSuperblock,
  images: readonly SeenDevice[],
): Promise<LostCopy[]> {
  const lost: LostCopy[] = [];
  const devices = [{ where: 'log', path: log }];
  for (const [index, { name, path, problem }] of images.entries()) {
    const followed = !isOut(superblock.images[index]?.state ?? 'failed') && problem === null;
    if (followed && superblock.lifecycle !== 'creating') devices.push({ where: name, path });
  }
  for (const { where, path } of devices) {
    const place = await findPlace(path, where).catch(() => null);
    const identity = place === null ? null : await identifyPlace(place).catch(() => null);
    if (identity === null) continue;
    const copies = where === 'log' ? identity.superblockCopies : identity.labelCopies;
    // An image that grew keeps its label where it was, and this look is at its end.
    if (!copies.includes('whole')) continue;
    for (const [index, state] of copies.entries()) {
      if (state !== 'whole') lost.push({ where, copy: index === 0 ? 'A' : 'B', state });
    }
  }
  return lost;
}

export function inspectionOf(log: string, seen: Look, lastOwner: Owner | null): Inspection {
  const { superblock, assessment, held, images, obstacles, lostCopies } = seen;
  const stopped = masterFailure(superblock, images[0], seen.mirror);
  return {
    status: buildStatus({
      log,
      superblock,
      generation: superblock.generation,
      phase: phaseOf(superblock, assessment, held, stopped),
      stopped,
      policies: policiesOf(superblock),
      images: superblock.images.map((image, index) => ({
        ...image,
        path: images[index]?.path || (seen.mirror.images[index]?.path ?? ''),
        expectedAt: images[index]?.expectedAt ?? null,
        problem: images[index]?.problem ?? null,
        bytesOwed: seen.owed[index] ?? null,
        doubtful: seen.mirror.images[index]?.doubtful === true,
        flapping: false,
        device: null,
        latency: null,
      })),
      provable: !held && assessment.clean && superblock.lifecycle === 'sealed',
      logUse: { recordsLive: assessment.liveRecords, sequence: assessment.sequence, tail: assessment.tail },
      logLatency: null,
      coverage: {
        bytes: assessment.bytesCovered,
        budget: null,
        regions: assessment.extents.length,
        uncertainBytes: assessment.clean ? 0 : assessment.bytesCovered,
      },
      counters: {},
      pendingRequests: 0,
      abandonedRequests: 0,
      stalled: null,
      lastRecovery: shownRecovery(superblock.lastRecovery),
      lastVerify: shownVerify(superblock.lastVerify),
      device: null,
      resyncPaused: null,
      control: null,
      owner: held ? lastOwner : null,
      holder: seen.holder,
    }),
    clean: assessment.clean,
    believed: isBelieved(seen.word.trust),
    damaged: assessment.damaged,
    damage: assessment.damage,
    damageCount: assessment.damageCount,
    tornRecords: assessment.tornRecords,
    liveIntents: assessment.liveIntents,
    liveIntentCount: assessment.liveIntentCount,
    extents: assessment.extents,
    bytesCovered: assessment.bytesCovered,
    logUuid: superblock.logUuid,
    lastOwner,
    logDevice: seen.logDevice,
    imageDevices: images.map((image) => image.facts),
    attachable: !held && superblock.lifecycle !== 'creating' && obstacles.length === 0,
    obstacles,
    lostCopies,
  };
}

/** What a mirror notes in its log when its master fails; the next opening takes it back. */
function masterFailure(
  superblock: NativeSuperblock,
  master: SeenDevice | undefined,
  mirror: MirrorFacts,
): Problem | null {
  const [image] = superblock.images;
  if (image === undefined || image.error === 0 || superblock.lifecycle === 'sealed') return null;
  const when = image.changedAtMs === 0 ? '' : ` at ${new Date(image.changedAtMs).toISOString()}`;
  return new BlockmirrorError('MASTER_FAILED', {
    image: image.name,
    path: master === undefined || master.path === '' ? image.path : master.path,
    detail: `${failureReason(image.error)}${when}`,
    remedy: isWrongBytes(image.error)
      ? remedyOfWrongBytes(mirror)
      : (remedyOf('MASTER_FAILED', { mirror, image: 0 }) ?? ''),
  }).toJSON();
}

function phaseOf(
  superblock: NativeSuperblock,
  assessment: NativeAssessment,
  held: boolean,
  stopped: Problem | null,
): Phase {
  if (held) return stopped === null ? 'held' : 'stopped';
  if (superblock.lifecycle === 'creating') return 'creating';
  return assessment.clean ? 'closed' : 'unclean';
}
