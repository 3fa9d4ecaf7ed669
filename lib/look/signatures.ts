/**
 * Data that is there already, and who may say that it may go.
 *
 * Invariants:
 *  - Data that is found is refused unless the caller said which it means: keepData or overwriteSignature.
 *  - What cannot be found out (blkid is missing, nobody knows how far a file system reaches) counts as found.
 *  - An error names what was found and where.
 */
import { BlockmirrorError } from '../base/errors';
import { LABEL_COPY_DISTANCE, LABEL_MAGIC, LOG_MAGIC, SUPERBLOCK_POSITIONS, labelPosition } from './layout';
import { shellPath } from '../base/shell';
import { shown } from '../base/shown';
import { probe } from '../system/blkid';
import { type Place, findPlace, openPlace } from '../system/places';
import type { Signature, Signatures } from '../base/types';
import type { NamedPlace } from '../system/uses';

export async function findSignatures(path: string): Promise<Signatures> {
  const place = await findPlace(path, path);
  if (place === null) return { signatures: [], probed: true, problem: null };
  return signaturesOf(place);
}

export async function signaturesOf(place: Place): Promise<Signatures> {
  const signatures = await ownMarks(place);
  if (place.size === 0) return { signatures, probed: true, problem: null };
  const found = await probe(place.through);
  if (found.signature !== null) {
    // The second copy of a GPT stands in the last sectors of the disk.
    if (found.signature.type === 'gpt') found.signature.reaches = place.size;
    signatures.push(found.signature);
  }
  return { signatures, probed: found.probed, problem: found.problem?.replaceAll(place.through, place.path) ?? null };
}

async function ownMarks(place: Place): Promise<Signature[]> {
  const marks: Signature[] = [];
  const file = await openPlace(place);
  try {
    const label = labelPosition(place.size);
    const at = async (position: number): Promise<string> => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(LOG_MAGIC.length), 0, LOG_MAGIC.length, position);
      return buffer.toString('latin1', 0, bytesRead);
    };
    const mark = (type: string, reaches: number): void => {
      marks.push({ type, kind: 'blockmirror', label: null, reaches });
    };
    const logs = [await at(SUPERBLOCK_POSITIONS[0]), await at(SUPERBLOCK_POSITIONS[1])];
    if (logs.includes(LOG_MAGIC)) mark('blockmirror log', place.size);
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
    // wipefs does not know our marks: to keep what the master holds costs nothing, and is the way over them.
    if (signatures.length > 0 && signatures.every(({ type }) => type === ours)) {
      refuse(
        `It was an image of a mirror. Say keepData (\`--keep-data\`): it stays as it is, and is copied to the slaves${install}`,
      );
    }
    refuse(
      'If the content of the master is what the mirror shall hold, say keepData (`--keep-data`); ' +
        `if it may go, wipe it first (\`wipefs -a ${shellPath(place.path)}\`)${install}`,
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
  const label = signature.label === null ? '' : ` '${shown(signature.label)}'`;
  return `${shown(signature.type)}${kinds[signature.kind]}${label}`;
}
