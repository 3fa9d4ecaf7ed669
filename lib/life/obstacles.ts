/**
 * Why open() would refuse a mirror as its devices are now: found by looking, with the checks that open() itself makes.
 *
 * Invariant: whatever the checks of an opening (lib/life/attach.ts) would throw is here, for each device, not only the first.
 */
import { access, constants } from 'node:fs/promises';
import type { NativeBinding, NativeDeviceFacts } from '../base/binding';
import { BlockmirrorError, type StatusNames, errorOfStatus, isBlockmirrorError } from '../base/errors';
import { explainBusy, heldLock, unknownUse } from '../look/holders';
import type { DistrustedImage } from './find_images';
import { goesWithout } from './goes_without';
import { refuseUnsafeFolders } from '../system/folders';
import { findPlace } from '../system/places';
import type { Problem } from '../base/types';
import { type NamedPlace, type Surroundings, readSurroundings, refuseOverlaps, refuseUsed } from '../system/uses';

/** What was found of a log or an image. */
export interface SeenDevice {
  name: string;
  /** Empty: it was left out, or not found. */
  path: string;
  facts: NativeDeviceFacts | null;
  /** Its label is there; of a slave that failed earlier: nothing else is at its path by now. */
  isItself?: boolean;
  expectedAt?: string | null;
  /** A file, at the path that the log remembers. */
  remembered?: boolean;
  /** Where the log says that it is, and that is not trusted: it was not looked into. */
  distrusted?: DistrustedImage;
  /** Why it cannot be used; set by the first who finds a reason. */
  problem: Problem | null;
  /** The error that `problem` is made of, where looking for it failed. */
  error: BlockmirrorError | null;
}

/**
 * All reasons, the log's first; each is also put where it belongs, into the image's `problem`.
 * @param held somebody has the mirror open: then its images are locked too, and that is no obstacle of their own; nor
 * are folders that whoever holds them was told to trust
 */
export async function findObstacles(
  binding: NativeBinding,
  names: StatusNames,
  log: SeenDevice,
  images: readonly SeenDevice[],
  { held, trustFolders }: { held: boolean; trustFolders: boolean },
): Promise<Problem[]> {
  const surroundings = await readSurroundings();
  const devices = [log, ...images];
  const places: NamedPlace[] = [];
  for (const [index, device] of devices.entries()) {
    if (device.path === '') continue;
    const place = await findPlace(device.path, device.name).catch(() => null);
    if (place === null) continue;
    places.push({ name: device.name, place });
    device.problem ??= await folderObstacle(device, held || trustFolders);
    device.problem ??= await obstacleOf(device, { name: device.name, place }, surroundings, held);
    if (device.problem !== null) continue;
    if (index > 0) continue; // what an image lost is among the engine's verdicts
    const whole = binding.deviceFacts(place.realPath, true);
    if ('code' in whole) device.problem = errorOfStatus(binding.codes, { ...whole, image: LOG }, names).toJSON();
  }
  const obstacles = devices
    .filter((device) => device === log || device === images[0] || !opensWithout(device))
    .map((device) => device.problem)
    .filter((problem) => problem !== null);
  const overlap = problemOf(() => refuseOverlaps(places));
  return overlap === null ? obstacles : [overlap, ...obstacles];
}

async function folderObstacle({ name, path }: SeenDevice, trusted: boolean): Promise<Problem | null> {
  return refuseUnsafeFolders([{ name, path }], trusted).then(
    () => null,
    (error: unknown) => {
      if (isBlockmirrorError(error)) return error.toJSON();
      throw error;
    },
  );
}

async function obstacleOf(
  device: SeenDevice,
  named: NamedPlace,
  surroundings: Surroundings,
  held: boolean,
): Promise<Problem | null> {
  const { name: image, path } = device;
  const used = problemOf(() => refuseUsed([named], surroundings));
  if (used !== null) return used;
  const writable = await access(named.place.realPath, constants.W_OK).then(
    () => null,
    (error: NodeJS.ErrnoException) => -(error.errno ?? 0),
  );
  if (device.facts?.readOnly === true || writable !== null) {
    const denied = writable !== null && writable !== EROFS;
    const context = { image, path, systemError: writable ?? EROFS };
    return new BlockmirrorError(denied ? 'OPEN_FAILED' : 'READ_ONLY_DEVICE', context).toJSON();
  }
  const unknown = await unknownUse(image, named.place);
  if (unknown !== null) return unknown.toJSON();
  if (held || (await heldLock(named.place)) === null || image === 'log') return null;
  return (await explainBusy(image, path, null, undefined)).toJSON();
}

/** Such a slave is no obstacle: the mirror opens without it. */
function opensWithout({ problem, error, isItself }: SeenDevice): boolean {
  if (problem === null) return false;
  return (
    problem.code === 'ERR_BLOCKMIRROR_SLAVE_FAILED' ||
    goesWithout({ code: problem.code, cause: error?.cause }, isItself !== false)
  );
}

const EROFS = 30;
/** Of a native status. */
const LOG = -2;

function problemOf(check: () => void): Problem | null {
  try {
    check();
    return null;
  } catch (error) {
    if (isBlockmirrorError(error)) return error.toJSON();
    throw error;
  }
}
