/**
 * What the demo's load writes: bytes that prove by themselves which write they came from.
 *
 * A unit of UNIT bytes is one 32-byte mark, repeated: run, position of the unit, sequence of the write, and the
 * sequence's complement. So each 512-byte sector, the least that a disk writes at once, can be judged alone.
 * Pure.
 */
/** Writes that the load keeps in flight. */
export const WRITERS = 32;
export const UNIT = 4096;
export const SECTOR = 512;
const MARK_LENGTH = 32;
const MAGIC = 0x6f6d_6564_6d62n; // 'bmdemo', little-endian

function mark(run: number, position: number, sequence: number): Buffer {
  const bytes = Buffer.alloc(MARK_LENGTH);
  bytes.writeBigUInt64LE(MAGIC | (BigInt(run & 0xffff) << 48n), 0);
  bytes.writeBigUInt64LE(BigInt(position), 8);
  bytes.writeBigUInt64LE(BigInt(sequence), 16);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, ~BigInt(sequence)), 24);
  return bytes;
}

/** Fills whole units of `into`, as the write with that sequence at that position of the mirror. */
export function fillUnits(into: Buffer, length: number, run: number, position: number, sequence: number): void {
  for (let offset = 0; offset < length; offset += UNIT) {
    into.fill(mark(run, position + offset, sequence), offset, offset + UNIT);
  }
}

/**
 * Whether every sector of the unit read at `position` comes from write `acknowledged` of `run`, or from a later one, of
 * that run or of a later run. Later is right too: a load may have had its next write to the place in flight when it died.
 */
export function holdsWrite(unit: Buffer, run: number, position: number, acknowledged: number): boolean {
  for (let offset = 0; offset < UNIT; offset += SECTOR) {
    const sector = unit.subarray(offset, offset + SECTOR);
    const foundRun = sector.readUInt16LE(6);
    const sequence = Number(sector.readBigUInt64LE(16));
    if (foundRun < run || (foundRun === run && sequence < acknowledged)) return false;
    if (!sector.equals(Buffer.alloc(SECTOR, mark(foundRun, position, sequence)))) return false;
  }
  return true;
}
