/**
 * Slaves that are out of the mirror, attached with the others where they are there: to be taken back, or to be compared. As
 * long as no resync takes one back nothing is written to it.
 *
 * They are tried one by one, apart from the mirror's own engine, so that a dead device or a foreign image among them is
 * named, and keeps nobody from using the others.
 */
import { letGo, newEngine } from './attach';
import type { NativeDeviceFacts, NativeSuperblock } from '../base/binding';
import { BlockmirrorError, errorOfStatus, isBlockmirrorError } from '../base/errors';
import { DistrustedImage, type FoundImage, type LogWord, findFailedImage } from './find_images';
import { distrustedImage } from './foreign_log';
import { refuseUnsafe } from './image_checks';
import { command } from '../base/remedies';
import { followPath } from '../system/folders';
import { isOut } from '../look/status';
import { distrust } from '../look/trust';
import type { Problem } from '../base/types';

/** Fills in `images` those that can be attached; by name, why the others cannot. The caller holds the log. */
export async function attachFailed(
  logPath: string,
  superblock: NativeSuperblock,
  images: FoundImage[],
  word: LogWord,
  trustFolders: boolean,
): Promise<Map<string, Problem>> {
  const unattached = new Map<string, Problem>();
  for (const [index, image] of superblock.images.entries()) {
    if (!isOut(image.state) || images[index]?.path !== '') continue;
    try {
      const found = await findFailedImage(superblock, image, word);
      if (found instanceof BlockmirrorError) throw found;
      if (found instanceof DistrustedImage) throw await distrustedImage(logPath, found);
      await refuseUnsafe(logPath, [...images, found], trustFolders);
      await judgeAlone(logPath, images.length, index, found, word);
      images[index] = found;
    } catch (error) {
      if (!isBlockmirrorError(error)) throw error;
      unattached.set(image.name, explain(error, logPath).toJSON());
    }
  }
  return unattached;
}

/** Its holes are what it failed for, and a file that was filled would look whole. */
function explain(error: BlockmirrorError, logPath: string): BlockmirrorError {
  if (!isBlockmirrorError(error, 'HOLE')) return error;
  const status = `\`${command('status', logPath)}\``;
  return error.withRemedy(
    `Do not fill it: bytes of it are lost. ${status} gives the command that copies everything again`,
  );
}

/** @throws what opening or judging that image says */
async function judgeAlone(
  logPath: string,
  count: number,
  index: number,
  image: FoundImage,
  { trust }: LogWord,
): Promise<void> {
  const engine = newEngine('threads');
  const names = Array.from({ length: count }, () => ({ name: image.name, path: image.path }));
  engine.names = { log: logPath, images: names };
  try {
    await engine.command('openLog', { path: logPath, readOnly: true, exclusive: false, requireAllocated: false });
    await engine.command('loadSuperblock', {});
    const followed = await followPath(image.path, image.name);
    const paths = names.map((_, at) => (at === index ? followed : ''));
    const opened = await engine.command('openImages', { paths, resolved: true, readOnly: false, exclusive: true });
    const { uid } = opened[index] as NativeDeviceFacts;
    const why = distrust(trust, { uid });
    if (why !== null) throw await distrustedImage(logPath, new DistrustedImage(image.name, image.path, uid, why));
    const verdict = (await engine.command('assess', {})).images[index];
    if (verdict !== undefined && verdict.code !== 0) throw errorOfStatus(engine.binding.codes, verdict, engine.names);
  } finally {
    await letGo(engine);
  }
}
