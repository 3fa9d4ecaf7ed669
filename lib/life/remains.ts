/**
 * What an interrupted create left, and whether it is the remains of the very create that is run now.
 *
 * The log says it, from before the first file has its name or the first label is written: a superblock that is
 * `creating` names every image, its path and its role. Only a create of the same images in the same roles may go over it
 * without being asked again; to any other one, its log and its labels are those of a foreign mirror.
 */
import type { NativeImageRecord, NativeSuperblock } from '../base/binding';
import { parseLabelHead } from './find_images';
import { identifyPlace } from '../look/identify';
import { LABEL_COPY_DISTANCE, LABEL_MAGIC, labelPosition } from '../look/layout';
import { type Place, type StoredPath, findPlace, storedPathToPath, openPlace } from '../system/places';
import type { Signature, Signatures } from '../base/types';

/** The superblock of a create that was interrupted; null when the log is anything else. */
export async function unfinishedPlan(log: Place): Promise<NativeSuperblock | null> {
  const { superblock } = await identifyPlace(log);
  return superblock?.lifecycle === 'creating' ? superblock : null;
}

/**
 * Whether the plan is of these images in these roles. The order and the names of the slaves are of no weight.
 * @param stored as the log would remember them; [0] is the master
 */
export async function isPlanOf(
  plan: NativeSuperblock,
  stored: readonly StoredPath[],
  logFolder: string,
): Promise<boolean> {
  if (plan.images.length !== stored.length) return false;
  const planned = await Promise.all(plan.images.map((image) => keyOf(image, logFolder)));
  const wanted = await Promise.all(stored.map((path) => keyOf(path, logFolder)));
  const slaves = (keys: readonly string[]): string => keys.slice(1).sort().join('\n');
  return planned[0] === wanted[0] && slaves(planned) === slaves(wanted);
}

/** What a path stands for: a device has many paths; a file that is gone has its path alone. */
async function keyOf(stored: StoredPath | NativeImageRecord, logFolder: string): Promise<string> {
  const path = storedPathToPath(stored, logFolder);
  const place = await findPlace(path, path).catch(() => null);
  if (place === null) return `path ${path}`;
  return place.number === null ? `file ${place.inodeDevice} ${place.inode}` : `device ${place.number}`;
}

/**
 * Whether the newest label on the place, if there is any, was written by the create of that plan, to an image in this
 * role: a path may lead to another image of the plan by now (files renamed, disks numbered anew).
 */
export async function isLabelOf(
  place: Place,
  role: 'master' | 'slave',
  plan: NativeSuperblock,
): Promise<'none' | 'ours' | 'foreign'> {
  const position = labelPosition(place.size);
  if (position === 0) return 'none';
  const file = await openPlace(place);
  try {
    // Copy A is written first, so that it is the newer one; its head stands in one sector and is never torn.
    for (const at of [position, position + LABEL_COPY_DISTANCE]) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_LENGTH), 0, HEAD_LENGTH, at);
      const head = bytesRead === HEAD_LENGTH ? parseLabelHead(buffer) : null;
      if (head !== null) {
        const ours = head.mirrorUuid === plan.mirrorUuid;
        const same = plan.images.some((image) => image.uuid === head.imageUuid && image.role === role);
        return ours && same ? 'ours' : 'foreign';
      }
      if (buffer.toString('latin1', 0, LABEL_MAGIC.length) === LABEL_MAGIC) return 'foreign';
    }
    return 'none';
  } finally {
    await file.close();
  }
}

const HEAD_LENGTH = 512;

/**
 * What is found on an image, less what that interrupted create put there itself: its label, and on a slave whatever it
 * had begun to copy from the master. Pure.
 */
export function withoutRemains(
  found: Signatures,
  role: 'master' | 'slave',
  label: 'none' | 'ours' | 'foreign',
  master: Signatures,
): Signatures {
  if (label !== 'ours') return found;
  const copied = (signature: Signature): boolean =>
    role === 'slave' && master.signatures.some((other) => sameSignature(signature, other));
  const signatures = found.signatures.filter(
    (signature) => signature.type !== 'blockmirror image' && !copied(signature),
  );
  const unclearAsTheMaster = role === 'slave' && !found.probed && !master.probed;
  return unclearAsTheMaster ? { signatures, probed: true, problem: null } : { ...found, signatures };
}

function sameSignature(one: Signature, other: Signature): boolean {
  return one.type === other.type && one.kind === other.kind && one.label === other.label;
}
