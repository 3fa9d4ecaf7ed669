/**
 * A log as an attacker would forge it: over one that create made, with right checksums. Written from docs/FORMAT.md alone.
 */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';

const MIB = 1024 * 1024;
const SUPERBLOCK = 20480;
const COPY_B = 65536;
const RING = 512 * 1024;
const IMAGES = 4096;
const IMAGE = 1024;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc;
});

export function crc32c(...parts: readonly Uint8Array[]): number {
  let crc = 0xffffffff;
  for (const part of parts) for (const byte of part) crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 255] as number);
  return ~crc >>> 0;
}

export interface ForgedRecord {
  sequence: number;
  opening: number;
  tail: number;
  /** Regions of 1 MiB of which every second block is stated. */
  regions: readonly number[];
}

/** Opens the log, hands out its superblock to be changed, and seals it. */
export class ForgedLog {
  private readonly file: number;
  readonly superblock = Buffer.alloc(SUPERBLOCK);

  constructor(path: string) {
    this.file = openSync(path, 'r+');
    readSync(this.file, this.superblock, 0, SUPERBLOCK, 0);
  }

  get opening(): number {
    return Number(this.superblock.readBigUInt64LE(168));
  }

  /** A ring of that shape, in a file of the length that it needs; what is new is a hole. Not closed cleanly. */
  claimRing(records: number, recordSize = 4096): void {
    const maps = Math.ceil((RING + records * recordSize) / MIB) * MIB;
    this.superblock.writeBigUInt64LE(BigInt(maps + 15 * MIB), 96);
    this.superblock.writeUInt32LE(recordSize, 112);
    this.superblock.writeUInt32LE(records, 116);
    this.superblock.writeBigUInt64LE(BigInt(records), 208);
    this.superblock.writeBigUInt64LE(0n, 216);
    this.superblock.writeUInt8(2, 224);
    const images = this.superblock.readUInt32LE(124);
    for (let image = 1; image < images; image++) {
      this.superblock.writeBigUInt64LE(BigInt(maps + (image - 1) * MIB), IMAGES + image * IMAGE + 40);
    }
    ftruncateSync(this.file, maps + 15 * MIB);
  }

  /** The images are then too small, and none may be attached. */
  claimMirrorSize(size: number): void {
    this.superblock.writeBigUInt64LE(BigInt(size), 80);
    const images = this.superblock.readUInt32LE(124);
    for (let image = 0; image < images; image++) {
      this.superblock.writeBigUInt64LE(BigInt(size + MIB), IMAGES + image * IMAGE + 24);
      this.superblock.writeBigUInt64LE(BigInt(size), IMAGES + image * IMAGE + 32);
    }
  }

  write(record: ForgedRecord): void {
    const records = this.superblock.readUInt32LE(116);
    writeSync(this.file, this.encode(record), 0, 4096, RING + (record.sequence % records) * 4096);
  }

  close(): void {
    this.superblock.writeUInt32LE(0, 12);
    this.superblock.writeUInt32LE(crc32c(this.superblock), 12);
    for (const at of [0, COPY_B]) writeSync(this.file, this.superblock, 0, SUPERBLOCK, at);
    closeSync(this.file);
  }

  private encode({ sequence, opening, tail, regions }: ForgedRecord): Buffer {
    const record = Buffer.alloc(4096);
    const unitAt = (unit: number): number => 512 * Math.floor(unit / 31) + 16 * (unit % 31);
    const header = Buffer.alloc(64);
    header.write('BMRC', 0, 'latin1');
    header.writeUInt16LE(1, 4);
    header.writeUInt16LE(64, 6);
    header.writeBigUInt64LE(BigInt(sequence), 8);
    header.writeUInt32LE(opening, 16);
    header.writeUInt32LE(regions.length, 20);
    header.writeBigUInt64LE(1n, 24);
    header.writeBigUInt64LE(BigInt(sequence - 1), 32);
    header.writeBigUInt64LE(BigInt(tail), 40);
    header.writeUInt32LE(3 * regions.length, 48);
    for (let unit = 0; unit < 4; unit++) header.copy(record, unitAt(unit), 16 * unit, 16 * unit + 16);
    regions.forEach((region, index) => {
      const first = unitAt(4 + 3 * index);
      record.writeBigUInt64LE(BigInt(region * MIB), first);
      record.writeBigUInt64LE(BigInt(MIB) | (2n << 56n), first + 8);
      for (const part of [1, 2]) record.fill(0x55, unitAt(4 + 3 * index + part), unitAt(4 + 3 * index + part) + 16);
    });
    const number = Buffer.alloc(4);
    for (let sector = 0; sector < 8; sector++) {
      const bytes = record.subarray(512 * sector, 512 * sector + 512);
      bytes.writeBigUInt64LE(BigInt(sequence), 496);
      bytes.writeUInt32LE(opening, 504);
      number.writeUInt32LE(sector);
      bytes.writeUInt32LE(crc32c(this.superblock.subarray(64, 80), number, bytes.subarray(0, 508)), 508);
    }
    return record;
  }
}
