/**
 * Forged bytes with right checksums, over a mirror that is there: what somebody who can write a log or an image can make
 * of it. Numbers of fields are offsets of docs/FORMAT.md.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { crc32c } from '../format/log_reader';

const SUPERBLOCK = { length: 20480, copies: [0, 64 * 1024] };
const LABEL = { length: 4096, distance: 512 * 1024 };
const CHECKSUM = 12;

/** Offsets in a superblock, and of its entry of an image. */
export const HEADER = { update: 32, openCount: 168, lifecycle: 224, hostName: 672 };
export const imageEntry = (index: number): number => 4096 + index * 1024;
export const ENTRY = { state: 17, pathKind: 18, deviceSize: 24, labelPosition: 32, name: 64, path: 128 };
const WIDTHS = { hostName: 64, name: 32, path: 768 };

function seal(block: Buffer): void {
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

/** As after a crash in the middle of use: recovery has to look at it. */
export function forgeUnclean(log: string): void {
  forgeLog(log, (superblock) => superblock.writeUInt8(2, HEADER.lifecycle));
}
