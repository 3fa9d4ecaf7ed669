/**
 * What must not be written to, and why: devices the system uses, one device under two names, data that is there.
 *
 * Invariants:
 *  - I9: a mounted device, swap, and a device with holders are refused; there is no option to override that.
 *  - Data that is found is refused unless the caller said which it means: keepData or overwriteSignature.
 *  - What cannot be found out (blkid is missing, nobody knows how far a file system reaches) counts as found.
 *  - An error names what was found and where.
 */
import { open, readFile, stat } from 'node:fs/promises';
import { BlockmirrorError } from './errors';
import { probe } from './system/blkid';
import {
  type BlockDevice,
  type Ground,
  deviceNumber,
  fileGround,
  overlap,
  readBlockDevices,
} from './system/block_devices';
import { parseMountInfo } from './system/mounts';
import { type Place, findPlace } from './system/places';
import { parseSwaps } from './system/swaps';
import type { DeviceUse, Signature, Signatures } from './types';

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
      uses.push({ kind: 'mounted', detail: `${naming(device)} is mounted on ${mount.mountPoint}` });
    }
    if (device.holders.length > 0) {
      uses.push({ kind: 'holder', detail: `${naming(device)} is part of ${device.holders.join(', ')}` });
    }
  }
  for (const swap of surroundings.swaps.filter((candidate) => overlap(candidate.ground, place.ground))) {
    uses.push({ kind: 'swap', detail: `${swap.path} is in use as swap` });
  }
  return uses;
}

export async function findUses(path: string): Promise<DeviceUse[]> {
  const place = await findPlace(path, path);
  return place === null ? [] : usesOf(place, await readSurroundings());
}

/** @throws MOUNTED, IN_USE */
export function refuseUsed(places: readonly NamedPlace[], surroundings: Surroundings): void {
  for (const { name, place } of places) {
    const uses = usesOf(place, surroundings);
    if (uses.length === 0) continue;
    const mounted = uses.some((use) => use.kind === 'mounted');
    throw new BlockmirrorError(mounted ? 'MOUNTED' : 'IN_USE', {
      image: name,
      path: place.path,
      detail: uses.map((use) => use.detail).join('; '),
    });
  }
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
        detail: `${one.name} (${one.place.path}) and ${other.name} (${other.place.path}) ${what}`,
      });
    }
  }
}

const MIB = 1024 * 1024;
const LABEL_COPY_DISTANCE = MIB / 2;
export const LOG_MAGIC = 'BLKMIRLG';
export const LABEL_MAGIC = 'BLKMIRIM';

/** Where the label of an image of that size stands: its last whole MiB; 0 when it has no room for one. */
export function labelPosition(deviceSize: number): number {
  return Math.max(0, (Math.floor(deviceSize / MIB) - 1) * MIB);
}

export async function findSignatures(path: string): Promise<Signatures> {
  const place = await findPlace(path, path);
  if (place === null) return { signatures: [], probed: true, problem: null };
  return signaturesOf(place);
}

export async function signaturesOf(place: Place): Promise<Signatures> {
  const signatures = await ownMarks(place);
  if (place.size === 0) return { signatures, probed: true, problem: null };
  const found = await probe(place.realPath);
  if (found.signature !== null) {
    // The second copy of a GPT stands in the last sectors of the disk.
    if (found.signature.type === 'gpt') found.signature.reaches = place.size;
    signatures.push(found.signature);
  }
  return { signatures, probed: found.probed, problem: found.problem };
}

async function ownMarks(place: Place): Promise<Signature[]> {
  const marks: Signature[] = [];
  const file = await open(place.realPath, 'r').catch((error: unknown) => {
    throw new BlockmirrorError('OPEN_FAILED', { path: place.path, cause: error });
  });
  try {
    const label = labelPosition(place.size);
    const at = async (position: number): Promise<string> => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(LOG_MAGIC.length), 0, LOG_MAGIC.length, position);
      return buffer.toString('latin1', 0, bytesRead);
    };
    const mark = (type: string, reaches: number): void => {
      marks.push({ type, kind: 'blockmirror', label: null, reaches });
    };
    if ((await at(0)) === LOG_MAGIC || (await at(64 * 1024)) === LOG_MAGIC) mark('blockmirror log', place.size);
    const labels = label === 0 ? [] : [await at(label), await at(label + LABEL_COPY_DISTANCE)];
    if (labels.includes(LABEL_MAGIC)) mark('blockmirror image', label);
  } catch (error) {
    throw new BlockmirrorError('READ_FAILED', { path: place.path, cause: error });
  } finally {
    await file.close();
  }
  return marks;
}

export interface SignatureConsent {
  keepData: boolean;
  overwriteSignature: boolean;
  /** The size the caller gave explicitly: with keepData it says how much is to be kept. */
  size: number | null;
}

/**
 * Whether what was found on an image or a log may be written over. Pure.
 * @param mayReplace a blockmirror mark on it is the remains of this very create, interrupted
 * @throws SIGNATURE_FOUND
 */
export function refuseSignatures(
  named: NamedPlace,
  role: 'master' | 'slave' | 'log',
  found: Signatures,
  consent: SignatureConsent,
  mayReplace: boolean,
): void {
  const { name: image, place } = named;
  const ours = role === 'log' ? 'blockmirror log' : 'blockmirror image';
  const signatures = found.signatures.filter((signature) => !(mayReplace && signature.type === ours));
  if (signatures.length === 0 && found.probed) return;
  const what =
    signatures.length > 0 ? signatures.map(describe).join(', ') : `unknown (${found.problem ?? 'no answer'})`;
  const refuse = (remedy: string, detail = what): never => {
    throw new BlockmirrorError('SIGNATURE_FOUND', { image, path: place.path, detail, remedy });
  };
  const install = found.probed ? '' : ', or install blkid (package util-linux)';
  if (role !== 'master') {
    if (consent.overwriteSignature) return;
    refuse(
      `If its content may go, say overwriteSignature (\`--overwrite-signature\`); else name another device${install}`,
    );
  }
  if (!consent.keepData) {
    refuse(
      'If the content of the master is what the mirror shall hold, say keepData (`--keep-data`); ' +
        `if it may go, wipe it first (\`wipefs -a ${place.path}\`)${install}`,
    );
  }
  const label = labelPosition(place.size);
  for (const signature of signatures) {
    if (signature.type === 'blockmirror image') continue;
    if (signature.reaches === null) {
      if (consent.size !== null && consent.size <= label) continue;
      refuse(
        'Give size, the length of what is to be kept: the last MiB of the image will hold the label',
        `${describe(signature)}, and it is not known how far it reaches`,
      );
    } else if (signature.reaches > label) {
      refuse(
        'Shrink it by at least 1 MiB, or use a larger device: the last MiB of an image holds the label',
        `${describe(signature)} reaches to byte ${signature.reaches}, into the label's place from byte ${label}`,
      );
    }
  }
  if (!found.probed && (consent.size === null || consent.size > label)) {
    refuse('Install blkid (package util-linux), or give size, the length of what is to be kept');
  }
}

function describe(signature: Signature): string {
  const kinds: Record<Signature['kind'], string> = {
    filesystem: ' file system',
    'partition-table': ' partition table',
    raid: ' member',
    blockmirror: '',
    other: '',
  };
  const label = signature.label === null ? '' : ` '${signature.label}'`;
  return `${signature.type}${kinds[signature.kind]}${label}`;
}
