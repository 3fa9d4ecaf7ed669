/**
 * An independent look at the images: plain reads of plain files, none of our code in between.
 *
 * That is possible because byte 0 of the mirror is byte 0 of every image; only the last MiB of each, beyond the
 * mirror's size, is the image's own label.
 */
import { open, type FileHandle } from 'node:fs/promises';
import type { Extent } from '../../index';
import type { Ledger } from './acknowledgements';
import { UNIT, holdsWrite } from './pattern';

const CHUNK = 4 * 1024 * 1024;
const WORD = 8;

export interface Comparison {
  bytesCompared: number;
  bytesDiffered: number;
  /** Units of 4 KiB in which they differ. */
  unitsDiffered: number;
  /** Of bytesDiffered, those that no extent names. */
  bytesDifferedOutside: number;
}

/** Compares [0, size) of both files byte for byte. `extents` are sorted and disjoint. */
export async function compareFiles(
  one: string,
  other: string,
  size: number,
  extents: readonly Extent[],
  signal: AbortSignal,
): Promise<Comparison> {
  const result: Comparison = { bytesCompared: 0, bytesDiffered: 0, unitsDiffered: 0, bytesDifferedOutside: 0 };
  const isNamed = extentFinder(extents);
  await withFiles([one, other], async ([first, second]) => {
    const left = Buffer.alloc(CHUNK);
    const right = Buffer.alloc(CHUNK);
    for (let position = 0; position < size; position += CHUNK) {
      signal.throwIfAborted();
      const length = Math.min(CHUNK, size - position);
      await Promise.all([
        readFully(first as FileHandle, left, length, position),
        readFully(second as FileHandle, right, length, position),
      ]);
      result.bytesCompared += length;
      if (left.subarray(0, length).equals(right.subarray(0, length))) continue;
      for (let offset = 0; offset < length; offset += UNIT) {
        const end = Math.min(offset + UNIT, length);
        const differing = differingBytes(left.subarray(offset, end), right.subarray(offset, end), position + offset);
        if (differing.length === 0) continue;
        result.unitsDiffered += 1;
        result.bytesDiffered += differing.length;
        result.bytesDifferedOutside += differing.filter((at) => !isNamed(at)).length;
      }
    }
  });
  return result;
}

/** Positions, counted from `start`, at which the two differ. */
function differingBytes(left: Buffer, right: Buffer, start: number): number[] {
  if (left.equals(right)) return [];
  const positions: number[] = [];
  for (let offset = 0; offset < left.length; offset += WORD) {
    if (left.subarray(offset, offset + WORD).equals(right.subarray(offset, offset + WORD))) continue;
    for (let at = offset; at < Math.min(offset + WORD, left.length); at += 1)
      if (left[at] !== right[at]) positions.push(start + at);
  }
  return positions;
}

function extentFinder(extents: readonly Extent[]): (position: number) => boolean {
  return (position) => {
    let low = 0;
    let high = extents.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const extent = extents[middle] as Extent;
      if (position < extent.position) high = middle;
      else if (position >= extent.position + extent.length) low = middle + 1;
      else return true;
    }
    return false;
  };
}

export interface AcknowledgedCheck {
  unitsChecked: number;
  /** Units that do not hold the last write that was acknowledged for them. */
  unitsLost: number;
}

/** Reads back every place that the ledger has an acknowledged write for. */
export async function checkAcknowledged(path: string, ledger: Ledger, signal: AbortSignal): Promise<AcknowledgedCheck> {
  let unitsLost = 0;
  await withFiles([path], async ([file]) => {
    const unit = Buffer.alloc(UNIT);
    for (const [position, last] of ledger.units) {
      signal.throwIfAborted();
      await readFully(file as FileHandle, unit, UNIT, position);
      if (!holdsWrite(unit, last.run, position, last.sequence)) unitsLost += 1;
    }
  });
  return { unitsChecked: ledger.units.size, unitsLost };
}

async function withFiles(paths: readonly string[], work: (files: FileHandle[]) => Promise<void>): Promise<void> {
  const files: FileHandle[] = [];
  try {
    for (const path of paths) files.push(await open(path, 'r'));
    await work(files);
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

async function readFully(file: FileHandle, into: Buffer, length: number, position: number): Promise<void> {
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(into, done, length - done, position + done);
    if (bytesRead === 0) throw new Error(`The file ends at byte ${position + done}`);
    done += bytesRead;
  }
}
