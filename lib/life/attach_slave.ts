/**
 * The device of one slave that is out, attached to a mirror that runs: found by its label, and held to what an opening holds it
 * to. Nothing is written to it here; a rejoin looks at its label once more.
 */
import type { NativeDeviceFacts, NativeImageRecord, NativeSuperblock } from '../base/binding';
import { BlockmirrorError, isBlockmirrorError } from '../base/errors';
import type { Engine } from '../io/engine';
import { distrust } from '../look/trust';
import { followPath } from '../system/folders';
import { findPlace, refuseReplaced } from '../system/places';
import { DistrustedImage, type FoundImage, type LogWord, findFailedImage, mirrorFacts } from './find_images';
import { distrustedImage } from './foreign_log';
import { explainUnopened, refuseUnsafe } from './image_checks';

export interface RunningMirror {
  engine: Engine;
  logPath: string;
  superblock: NativeSuperblock;
  /** In the order of the superblock; an empty path: not attached. Filled in here. */
  images: FoundImage[];
  word: LogWord;
  trustFolders: boolean;
}

const NOT_YET = ['BUSY', 'STALLED', 'WRONG_PHASE'] as const;

/** @throws why it cannot be attached; it is then as it was */
export async function attachSlave(mirror: RunningMirror, index: number): Promise<FoundImage> {
  const { engine, logPath, superblock, images, word, trustFolders } = mirror;
  const image = superblock.images[index] as NativeImageRecord;
  const found = await findFailedImage(superblock, image, word);
  if (found instanceof BlockmirrorError) throw found;
  if (found instanceof DistrustedImage) throw await distrustedImage(logPath, found);
  const others = images.filter((_, at) => at !== index);
  await refuseUnsafe(logPath, [...others, found], trustFolders);
  const path = await followPath(found.path, image.name);
  const facts = await engine
    .command('attachImage', { image: index, path, resolved: true })
    .catch(async (error: unknown) => {
      throw await explainUnopened(error, superblock.owner);
    });
  try {
    await refuseAnother(mirror, found, facts);
  } catch (error) {
    await engine.command('detachImage', { image: index });
    throw error;
  }
  images[index] = found;
  return found;
}

/** What is held counts, not what its path led to before. */
async function refuseAnother(
  { logPath, word }: RunningMirror,
  { name, path }: FoundImage,
  facts: NativeDeviceFacts,
): Promise<void> {
  const why = distrust(word.trust, { uid: facts.uid });
  if (why !== null) throw await distrustedImage(logPath, new DistrustedImage(name, path, facts.uid, why));
  refuseReplaced(name, path, await findPlace(path, name), facts);
}

/** Of a slave that is out. Lets its device go, if it has one. False: it still holds a request, or somebody takes the slave back. */
export async function detachSlave(mirror: RunningMirror, index: number): Promise<boolean> {
  try {
    await letDeviceGo(mirror, index);
    return true;
  } catch (error) {
    if (NOT_YET.some((name) => isBlockmirrorError(error, name))) return false;
    throw error;
  }
}

/** @throws BUSY: it still holds a request; STALLED: for too long; WRONG_PHASE: somebody takes the slave back */
async function letDeviceGo({ engine, images }: RunningMirror, index: number): Promise<void> {
  const image = images[index] as FoundImage;
  if (image.path === '') return;
  await engine.command('detachImage', { image: index });
  images[index] = { ...image, path: '', place: null };
}

/** Of a slave that is out: the device that it has now is let go first. @throws why its device cannot be attached */
export async function attachAnew(running: RunningMirror, paths: string[], index: number): Promise<void> {
  const { name, path } = running.images[index] as FoundImage;
  try {
    await letDeviceGo(running, index);
  } catch (error) {
    if (!isBlockmirrorError(error, 'BUSY')) throw error;
    throw new BlockmirrorError('BUSY', {
      image: name,
      path,
      detail: 'its device has not answered an old request yet',
      remedy: 'Wait until it answers, or close the mirror',
    });
  }
  paths[index] = '';
  paths[index] = (await attachSlave(running, index)).path;
  running.engine.names.mirror = mirrorFacts(running.logPath, running.superblock, running.images, running.word);
}
