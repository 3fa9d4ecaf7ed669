/**
 * Forged bytes with right checksums, over a mirror that is there: what somebody who can write a log or an image can make
 * of it. Numbers of fields are offsets of docs/FORMAT.md, from which alone this is written.
 */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { crc32c } from '../format/log_reader';

const MIB = 1024 * 1024;
const SUPERBLOCK = { length: 40960, copies: [0, 64 * 1024] };
const LABEL = { length: 4096, distance: 512 * 1024 };
const RING = { position: MIB, maps: MIB };
const CHECKSUM = 12;

/** Offsets in a superblock, and of its entry of an image. */
export const HEADER = {
  update: 32,
  logUuid: 64,
  size: 80,
  logLength: 96,
  recordSize: 112,
  recordCount: 116,
  images: 124,
  generation: 128,
  openCount: 168,
  firstSequence: 208,
  sealedSequence: 216,
  lifecycle: 224,
  master: 225,
  mapPosition: 240,
  mapUnit: 256,
  ownerOpenedAt: 344,
  hostName: 368,
  recoveredAt: 432,
  verifiedAt: 480,
};
/** Offsets in a label. */
export const LABEL_FIELDS = { size: 96, deviceSize: 104, labelPosition: 112 };
export const imageEntry = (index: number): number => 8192 + index * 2048;
export const ENTRY = {
  state: 16,
  pathKind: 17,
  deviceSize: 24,
  labelPosition: 32,
  name: 40,
  path: 512,
  error: 88,
  debt: 19,
  cause: 96,
  fracturedAt: 104,
  generation: 112,
};
export const WIDTHS = { hostName: 64, name: 32, path: 768 };

/** Its checksum holds again, whatever was changed. */
export function seal(block: Buffer): void {
  block.writeUInt32LE(0, CHECKSUM);
  block.writeUInt32LE(crc32c(block), CHECKSUM);
}

/** Puts a text into a field that is filled up with zeroes. */
export function putText(block: Buffer, offset: number, width: number, text: string): void {
  block.fill(0, offset, offset + width);
  block.write(text, offset, 'utf8');
}

function rewrite(path: string, positions: readonly number[], length: number, change: (block: Buffer) => void): void {
  const file = openSync(path, 'r+');
  try {
    const block = Buffer.alloc(length);
    readSync(file, block, 0, length, positions[0] as number);
    change(block);
    seal(block);
    for (const position of positions) writeSync(file, block, 0, length, position);
  } finally {
    closeSync(file);
  }
}

/** Both copies of a superblock, changed and sealed. */
export function forgeLog(log: string, change: (superblock: Buffer) => void): void {
  rewrite(log, SUPERBLOCK.copies, SUPERBLOCK.length, change);
}

/** Both copies of a label. @param position of the label's area */
export function forgeLabel(image: string, position: number, change: (label: Buffer) => void): void {
  rewrite(image, [position, position + LABEL.distance], LABEL.length, change);
}

/** @param index 0 is the master */
export function forgePath(log: string, index: number, path: string, kind: 'absolute' | 'relative' = 'absolute'): void {
  forgeLog(log, (superblock) => {
    const entry = imageEntry(index);
    putText(superblock, entry + ENTRY.path, WIDTHS.path, path);
    superblock[entry + ENTRY.pathKind] = kind === 'absolute' ? 0 : 1;
  });
}

export function forgeName(log: string, index: number, name: string): void {
  forgeLog(log, (superblock) => putText(superblock, imageEntry(index) + ENTRY.name, WIDTHS.name, name));
}

/** As after a write that this slave did not take. */
export function forgeFailed(log: string, index: number): void {
  forgeLog(log, (superblock) => {
    const entry = imageEntry(index);
    superblock[entry + ENTRY.state] = 5;
    superblock[entry + ENTRY.debt] = 2; // everything
    superblock[entry + ENTRY.cause] = 1; // a write
    superblock.writeBigUInt64LE(1n, entry + ENTRY.fracturedAt);
    superblock.copy(superblock, entry + ENTRY.generation, HEADER.generation, HEADER.generation + 24);
  });
}

const OPEN = 2;

/** As after a crash in the middle of use: recovery has to look at it. */
export function forgeUnclean(log: string): void {
  forgeLog(log, (superblock) => superblock.writeUInt8(OPEN, HEADER.lifecycle));
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
  readonly superblock = Buffer.alloc(SUPERBLOCK.length);

  constructor(path: string) {
    this.file = openSync(path, 'r+');
    readSync(this.file, this.superblock, 0, SUPERBLOCK.length, 0);
  }

  get opening(): number {
    return Number(this.superblock.readBigUInt64LE(HEADER.openCount));
  }

  private get images(): number {
    return this.superblock.readUInt32LE(HEADER.images);
  }

  /** A ring of that shape, in a file of the length that it needs; what is new is a hole. Not closed cleanly. */
  claimRing(records: number, recordSize = 4096): void {
    const maps = Math.ceil((RING.position + records * recordSize) / MIB) * MIB;
    const length = maps + RING.maps;
    this.superblock.writeBigUInt64LE(BigInt(length), HEADER.logLength);
    this.superblock.writeUInt32LE(recordSize, HEADER.recordSize);
    this.superblock.writeUInt32LE(records, HEADER.recordCount);
    this.superblock.writeBigUInt64LE(BigInt(records), HEADER.firstSequence);
    this.superblock.writeBigUInt64LE(0n, HEADER.sealedSequence);
    this.superblock.writeUInt8(OPEN, HEADER.lifecycle);
    this.superblock.writeBigUInt64LE(BigInt(maps), HEADER.mapPosition);
    ftruncateSync(this.file, length);
  }

  /** The images are then too small, and none may be attached. */
  claimMirrorSize(size: number): void {
    this.superblock.writeBigUInt64LE(BigInt(size), HEADER.size);
    this.superblock.writeUInt32LE(MIB, HEADER.mapUnit); // the most that is carried out; the slots limit the size
    for (let image = 0; image < this.images; image++) {
      this.superblock.writeBigUInt64LE(BigInt(size + MIB), imageEntry(image) + ENTRY.deviceSize);
      this.superblock.writeBigUInt64LE(BigInt(size), imageEntry(image) + ENTRY.labelPosition);
    }
  }

  write(record: ForgedRecord): void {
    const records = this.superblock.readUInt32LE(HEADER.recordCount);
    writeSync(this.file, this.encode(record), 0, 4096, RING.position + (record.sequence % records) * 4096);
  }

  close(): void {
    seal(this.superblock);
    for (const at of SUPERBLOCK.copies) writeSync(this.file, this.superblock, 0, SUPERBLOCK.length, at);
    closeSync(this.file);
  }

  private encode({ sequence, opening, tail, regions }: ForgedRecord): Buffer {
    const record = Buffer.alloc(4096);
    const unitAt = (unit: number): number => 512 * Math.floor(unit / 31) + 16 * (unit % 31);
    const header = Buffer.alloc(64);
    header.write('BMRC', 0, 'latin1');
    header.writeUInt16LE(2, 4);
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
    const logUuid = this.superblock.subarray(HEADER.logUuid, HEADER.logUuid + 16);
    for (let sector = 0; sector < 8; sector++) {
      const bytes = record.subarray(512 * sector, 512 * sector + 512);
      bytes.writeBigUInt64LE(BigInt(sequence), 496);
      bytes.writeUInt32LE(opening, 504);
      number.writeUInt32LE(sector);
      bytes.writeUInt32LE(crc32c(logUuid, number, bytes.subarray(0, 508)), 508);
    }
    return record;
  }
}
