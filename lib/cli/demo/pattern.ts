/**
 * What the demo's load writes: bytes that prove by themselves which write they came from.
 *
 * A unit of UNIT bytes is one 32-byte mark, repeated: run, position of the unit and sequence of the write, spread over
 * all bytes by a key made of the sequence, so that two writes differ nearly everywhere, as real data does. Each 512-byte
 * sector, the least that a disk writes at once, can be judged alone. Pure.
 */
/** Writes that the load keeps in flight. */
export const WRITERS = 32;
export const UNIT = 4096;
export const SECTOR = 512;
const MARK_LENGTH = 32;
const MAGIC = 0x6f6d_6564_6d62n; // 'bmdemo', little-endian
const RUN_SHIFT = 48n;
const SEQUENCE_OFFSET = 16;
const SPREAD = 0x9e37_79b9_7f4a_7c15n; // 2^64 over the golden ratio, odd: another sequence is another key

function keyOf(sequence: bigint): bigint {
  return BigInt.asUintN(64, (sequence + 1n) * SPREAD);
}

function mark(run: number, position: number, sequence: number): Buffer {
  const key = keyOf(BigInt(sequence));
  const bytes = Buffer.alloc(MARK_LENGTH);
  bytes.writeBigUInt64LE((MAGIC | (BigInt(run & 0xffff) << RUN_SHIFT)) ^ key, 0);
  bytes.writeBigUInt64LE(BigInt(position) ^ key, 8);
  bytes.writeBigUInt64LE(BigInt(sequence), SEQUENCE_OFFSET);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, ~key), 24);
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
    const found = sector.readBigUInt64LE(SEQUENCE_OFFSET);
    const foundRun = Number((sector.readBigUInt64LE(0) ^ keyOf(found)) >> RUN_SHIFT);
    const sequence = Number(found);
    if (foundRun < run || (foundRun === run && sequence < acknowledged)) return false;
    if (!sector.equals(Buffer.alloc(SECTOR, mark(foundRun, position, sequence)))) return false;
  }
  return true;
}
