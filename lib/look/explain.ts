/**
 * Errors of an opening that say what the thing at the path is, where the right one is, and the command that names it.
 * Best effort; never throws.
 */
import { dirname } from 'node:path';
import type { NativeSuperblock } from '../base/binding';
import { BlockmirrorError, isBlockmirrorError } from '../base/errors';
import { type Identity, findLogOf, findParts, identityToText, readIdentityAt } from './identify';
import { type MirrorFacts, command, logCutShort, remake } from '../base/remedies';
import { shown } from '../base/shown';

/**
 * Of NOT_A_LOG: what it is instead, and where its log is; of TOO_SMALL: how long the log was. Any other error is given
 * back as it is.
 */
export async function explainLog(error: unknown, path: string): Promise<unknown> {
  if (isBlockmirrorError(error, 'TOO_SMALL')) return error.withRemedy(logCutShort(path, await logLengthOf(path)));
  if (!isBlockmirrorError(error, 'NOT_A_LOG')) return error;
  const identity = await readIdentityAt(path).catch(() => null);
  if (identity?.label === null || identity === null) return error;
  const log = await findLogOf(identity.label, path).catch(() => null);
  return new BlockmirrorError('NOT_A_LOG', {
    image: 'log',
    path,
    detail: `it is ${identityToText(identity) ?? ''}`,
    ...(log === null
      ? { remedy: 'Its log was found neither among the devices nor in its folder: name it' }
      : { remedy: `Its log is ${shown(log)}: \`${command('status', log)}\`` }),
    cause: error.cause,
  });
}

/** Bytes that the log at the path needs, as its superblock says; 0: not known. */
async function logLengthOf(path: string): Promise<number> {
  return (await readIdentityAt(path).catch(() => null))?.superblock?.logSize ?? 0;
}

const ABOUT_IDENTITY = ['NO_LABEL', 'FOREIGN_IMAGE', 'SWAPPED_IMAGES'] as const;

/**
 * Of an image that is not the one that was named: what it is, and how to name those that are. Any other error is given
 * back as it is.
 */
export async function explainImage(
  error: BlockmirrorError,
  superblock: NativeSuperblock,
  mirror: MirrorFacts,
): Promise<BlockmirrorError> {
  if (error.code === 'ERR_BLOCKMIRROR_IMAGE_MISSING') return explainMissing(error, mirror);
  const name = ABOUT_IDENTITY.find((candidate) => error.code === `ERR_BLOCKMIRROR_${candidate}`);
  const { image, path, cause } = error;
  if (name === undefined || image === undefined || path === undefined) return error;
  const what = await describe(path);
  const found = await whereTheyAre(superblock, mirror).catch(() => ({}));
  const named = Object.entries(found);
  const lost = image === mirror.images[0]?.name ? `; ${whenMasterIsLost(mirror)}` : '';
  const remedy =
    named.length === 0
      ? `Attach the image of ${shown(image)} that this mirror had, or say where it is, by the option images (--image ${shown(image)}=PATH)${lost}`
      : `${named.map(([one, at]) => `${shown(one)} is ${shown(at)}`).join(', ')}: \`${command('status', mirror.log, found)}\` shows it, and every command takes the same options`;
  return new BlockmirrorError(name, {
    image,
    path,
    ...(what === null ? {} : { detail: `it is ${what}` }),
    remedy,
    cause,
  });
}

function explainMissing(error: BlockmirrorError, mirror: MirrorFacts): BlockmirrorError {
  const index = mirror.images.findIndex(({ name }) => name === error.image);
  const image = mirror.images[index];
  if (image === undefined) return error;
  const lost =
    index === 0
      ? whenMasterIsLost(mirror)
      : `when it is lost, have everything copied to a new one there: ${remake(mirror)}`;
  return error.withRemedy(`${error.remedy}; ${lost}`);
}

function whenMasterIsLost({ log }: MirrorFacts): string {
  return `when it is lost, \`${command('status', log)}\` says which slave can take its place`;
}

async function describe(path: string): Promise<string | null> {
  const identity: Identity | null = await readIdentityAt(path).catch(() => null);
  if (identity === null) return null;
  const log = identity.label === null ? null : await findLogOf(identity.label, path).catch(() => null);
  return identityToText(identity, log);
}

/** The images of the mirror that were found at another path than was named, by name. */
async function whereTheyAre(superblock: NativeSuperblock, mirror: MirrorFacts): Promise<Record<string, string>> {
  const folders = [mirror.log, ...mirror.images.map(({ path }) => path)].map((path) => dirname(path));
  const parts = await findParts(superblock.mirrorUuid, folders);
  const found: Record<string, string> = {};
  for (const [index, image] of superblock.images.entries()) {
    const carriers = parts.filter(({ identity }) => identity.label?.imageUuid === image.uuid);
    const [only] = carriers;
    if (carriers.length !== 1 || only === undefined || only.identity.path === mirror.images[index]?.path) continue;
    found[image.name] = only.identity.path;
  }
  return found;
}
