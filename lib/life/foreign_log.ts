/**
 * FOREIGN_LOG: what root is told in place of being obeyed to (lib/look/trust.ts): which images would be used, whose they are,
 * what would be copied, and the command that names each of them. It is a plan to be read: nothing of it was done.
 */
import type { NativeAssessment, NativeSuperblock } from '../base/binding';
import type { Engine } from '../io/engine';
import { BlockmirrorError } from '../base/errors';
import { DistrustedImage, type LogWord, mirrorFacts } from './find_images';
import { command } from '../base/remedies';
import { shellPath } from '../base/shell';
import { shown } from '../base/shown';
import { formatSize } from '../base/size';
import { isOut } from '../look/status';
import { userToText } from '../system/accounts';

/** Of one image, for whoever only looks. */
export async function distrustedImage(
  log: string,
  { name, path, uid, why }: DistrustedImage,
): Promise<BlockmirrorError> {
  return new BlockmirrorError('FOREIGN_LOG', {
    image: name,
    path,
    detail: `${why}; it is of ${await userToText(uid)}, and was not looked into`,
    remedy: `If it is the image of this mirror, name it: \`${command('status', log, { [name]: path })}\``,
  });
}

interface Asked {
  log: string;
  word: LogWord;
  /** In the order of the superblock; the path of one that is left out is empty. */
  images: readonly { path: string }[];
  trustFolders: boolean;
  /** What would be done, without the images; null: it cannot be said any more. */
  work: string | null;
}

/** Of all images, for whoever was asked to use them. */
export async function foreignLog(
  superblock: NativeSuperblock,
  { log, word, images, trustFolders, work }: Asked,
): Promise<BlockmirrorError> {
  const { trust } = word;
  const mirror = mirrorFacts(log, superblock, images, word);
  const whose: string[] = [];
  const named: Record<string, string> = {};
  for (const [index, { name, path }] of mirror.images.entries()) {
    const image = images[index];
    // A slave that failed is left out, and stays so.
    if (image === undefined || image.path === '') continue;
    named[name] = path;
    const why = image instanceof DistrustedImage ? `, of ${await userToText(image.uid)}: ${image.why}` : '';
    whose.push(`${shown(name)} is ${shown(path)}${why}`);
  }
  const plan = [`it is of ${await userToText(trust.uid)}, and says that ${whose.join('; that ')}`, work];
  const flags = trustFolders ? ['--trust-folders'] : [];
  const shut =
    trust.writers === 'nobody else' || trust.loop
      ? ''
      : `When none of those who may write it did, take that right from them: \`chmod go-w ${shellPath(log)}\`. `;
  return new BlockmirrorError('FOREIGN_LOG', {
    image: 'log',
    path: log,
    detail: plan.filter((part) => part !== null).join('; '),
    remedy: `${shut}When these are the images of this mirror, name each of them: \`${command('recover', log, named, ...flags)}\`; every command takes the same options`,
  });
}

/** What recovery would copy from which to which, as the log alone says. The engine has the log, and no image yet. */
export async function recoveryWork(engine: Engine, superblock: NativeSuperblock): Promise<string> {
  const paths = superblock.images.map(() => '');
  await engine.command('openImages', { paths, readOnly: true, exclusive: false, members: true });
  return workToText(await engine.command('assess', {}), superblock);
}

/** Pure. */
export function workToText({ clean, damaged, bytesCovered }: NativeAssessment, { images }: NativeSuperblock): string {
  if (clean) return 'nothing would be copied now, since it was closed';
  const [master, ...slaves] = images;
  const to = slaves.filter(({ state }) => !isOut(state)).map(({ name }) => shown(name));
  const what = damaged ? 'all bytes' : formatSize(bytesCovered);
  return `${what} would be copied from ${shown(master?.name ?? 'master')} to ${to.length === 0 ? 'nobody' : to.join(' and ')}`;
}
