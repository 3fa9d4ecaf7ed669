/**
 * What the system uses, and what shares bytes: neither may be written to.
 *
 * Invariants:
 *  - I9: a mounted device, swap, and a device with holders are refused; there is no option to override that.
 *  - An error names what was found and where.
 */
import { readFile, readlink, stat } from 'node:fs/promises';
import { BlockmirrorError } from '../base/errors';
import { shown } from '../base/shown';
import { type BlockDevice, type Ground, deviceNumber, fileGround, overlap, readBlockDevices } from './block_devices';
import { parseMountInfo } from './mounts';
import { type Place, findPlace } from './places';
import { processName, visibleProcesses } from './processes';
import { parseSwaps } from './swaps';
import { shellPath } from '../base/shell';
import type { DeviceUse } from '../base/types';

/** A place with the name by which errors speak of it: 'master', 'slave1', 'log'. */
export interface NamedPlace {
  name: string;
  place: Place;
}

/** One picture of what the system uses, for all checks of one opening. */
export interface Surroundings {
  devices: BlockDevice[];
  /** By device number; several mounts of one device are one entry each. */
  mounts: { number: string; mountPoint: string; source: string }[];
  swaps: { path: string; ground: Ground }[];
}

export async function readSurroundings(): Promise<Surroundings> {
  const [devices, mountText, swapText] = await Promise.all([
    readBlockDevices(),
    readFile('/proc/self/mountinfo', 'utf8').catch(() => ''),
    readFile('/proc/swaps', 'utf8').catch(() => ''),
  ]);
  const mounts = [];
  for (const mount of parseMountInfo(mountText)) {
    let number = mount.device;
    if (number.startsWith('0:') && mount.source.startsWith('/dev/')) {
      // btrfs mounts under an anonymous number; the source names a device of it.
      const status = await stat(mount.source, { bigint: true }).catch(() => null);
      if (status?.isBlockDevice()) number = deviceNumber(status.rdev);
    }
    if (!number.startsWith('0:')) mounts.push({ number, mountPoint: mount.mountPoint, source: mount.source });
  }
  const swaps = [];
  for (const swap of parseSwaps(swapText)) {
    const status = await stat(swap.path, { bigint: true }).catch(() => null);
    if (status === null) continue;
    const number = status.isBlockDevice() ? deviceNumber(status.rdev) : null;
    const device = devices.find((candidate) => candidate.number === number);
    if (number !== null && device === undefined) continue;
    swaps.push({ path: swap.path, ground: device?.ground ?? fileGround(status.dev, status.ino) });
  }
  return { devices, mounts, swaps };
}

/** Everything that shares bytes with the place and is in use. Pure. */
export function usesOf(place: Place, surroundings: Surroundings): DeviceUse[] {
  const uses: DeviceUse[] = [];
  const related = surroundings.devices.filter((device) => overlap(device.ground, place.ground));
  const naming = (device: BlockDevice): string => (device.number === place.number ? 'it' : device.path);
  for (const device of related) {
    for (const mount of surroundings.mounts.filter((candidate) => candidate.number === device.number)) {
      const release = mount.mountPoint === '/' ? null : `umount ${shellPath(mount.mountPoint)}`;
      uses.push({ kind: 'mounted', detail: `${naming(device)} is mounted on ${shown(mount.mountPoint)}`, release });
    }
    if (device.holders.length > 0) {
      uses.push({ kind: 'holder', detail: `${naming(device)} is part of ${device.holders.join(', ')}`, release: null });
    }
  }
  for (const swap of surroundings.swaps.filter((candidate) => overlap(candidate.ground, place.ground))) {
    uses.push({
      kind: 'swap',
      detail: `${shown(swap.path)} is in use as swap`,
      release: `swapoff ${shellPath(swap.path)}`,
    });
  }
  return uses;
}

/** Limit of what is told of one device. */
const USES_LIMIT = 16;

export async function findUses(path: string): Promise<DeviceUse[]> {
  const place = await findPlace(path, path);
  if (place === null) return [];
  const surroundings = await readSurroundings();
  const uses = usesOf(place, surroundings);
  // A new namespace begins as a copy of another: what is mounted here is in most of them.
  return uses.length > 0 ? uses : foreignMounts(place, surroundings.devices);
}

/**
 * Where other mount namespaces, as far as they can be seen from here, have it mounted: for whoever has to unmount it.
 * That it is mounted anywhere the kernel says by itself, to whoever opens the device exclusively.
 */
async function foreignMounts(place: Place, devices: readonly BlockDevice[]): Promise<DeviceUse[]> {
  const related = devices.filter((device) => overlap(device.ground, place.ground));
  const uses: DeviceUse[] = [];
  const seen = new Set<string | null>([await readlink('/proc/self/ns/mnt').catch(() => null)]);
  for (const process of related.length === 0 ? [] : await visibleProcesses()) {
    const namespace = await readlink(`/proc/${process}/ns/mnt`).catch(() => null);
    if (namespace === null || seen.has(namespace)) continue;
    seen.add(namespace);
    for (const mount of parseMountInfo(await readFile(`/proc/${process}/mountinfo`, 'utf8').catch(() => ''))) {
      const device = related.find((candidate) => candidate.number === mount.device);
      if (device === undefined) continue;
      const name = await processName(process);
      const where = `in the mount namespace of process ${process}${name === null ? '' : ` (${shown(name)})`}`;
      const what = device.number === place.number ? 'it' : device.path;
      uses.push({
        kind: 'mounted',
        detail: `${what} is mounted on ${shown(mount.mountPoint)} ${where}`,
        release: null,
      });
      if (uses.length >= USES_LIMIT) return uses;
    }
  }
  return uses;
}

/** @throws MOUNTED, IN_USE */
export function refuseUsed(places: readonly NamedPlace[], surroundings: Surroundings): void {
  for (const { name, place } of places) {
    const uses = usesOf(place, surroundings);
    if (uses.length === 0) continue;
    throw usedError(name, place.path, uses);
  }
}

/** MOUNTED or IN_USE, with the command that ends it where that is certain: of a holder only its owner knows. */
export function usedError(image: string, path: string, uses: readonly DeviceUse[], cause?: unknown): BlockmirrorError {
  const mounted = uses.some((use) => use.kind === 'mounted');
  const detail = uses.map((use) => use.detail).join('; ');
  // What was mounted last may lie on what was mounted before.
  const releases = uses.map(({ release }) => release).reverse();
  const known = releases.every((release) => release !== null);
  return new BlockmirrorError(mounted ? 'MOUNTED' : 'IN_USE', {
    image,
    path,
    detail,
    ...(known
      ? {
          remedy: `If it is the right one, take it out of use first: \`${releases.join(' && ')}\`; there is no option to override this`,
        }
      : {}),
    ...(cause === undefined ? {} : { cause }),
  });
}

function named({ name, place }: NamedPlace): string {
  return `${shown(name)} (${shown(place.path)})`;
}

/** Every place needs bytes of its own. @throws SAME_DEVICE, OVERLAPPING */
export function refuseOverlaps(places: readonly NamedPlace[]): void {
  for (const [index, one] of places.entries()) {
    for (const other of places.slice(index + 1)) {
      const a = one.place.ground;
      const b = other.place.ground;
      if (!overlap(a, b)) continue;
      const same = a.start === b.start && a.end === b.end;
      const viaLoop = one.place.kind !== other.place.kind;
      const what = same || viaLoop ? 'are the same' : 'share bytes';
      throw new BlockmirrorError(same || viaLoop ? 'SAME_DEVICE' : 'OVERLAPPING', {
        detail: `${named(one)} and ${named(other)} ${what}`,
      });
    }
  }
}
