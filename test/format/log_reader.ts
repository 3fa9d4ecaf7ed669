// A second reader of the log, written from docs/FORMAT.md alone: a cross-check of the native one, and of that page.
// Slow and plain on purpose; it shares no code with what it checks, and reads only.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const MIB = 1024 * 1024;
const SUPERBLOCK_LENGTH = 20480;
const SUPERBLOCK_COPIES = [0, 64 * 1024];
const LABEL_LENGTH = 4096;
const LABEL_COPIES = [0, 512 * 1024];
const SECTOR = 512;
const BLOCK = 4096;
const UNIT = 16;
const HEADER_UNITS = 4;

export interface FoundExtent {
  position: number;
  length: number;
}
export interface Stamp {
  sequence: number;
  opening: number;
}
export interface RecordContent {
  sequence: number;
  opening: number;
  generation: number;
  durableThrough: number;
  tail: number;
  extents: FoundExtent[];
}
export type Slot =
  { state: 'broken' | 'mixed'; stamps: Stamp[] } | ({ state: 'complete'; stamps: Stamp[] } & RecordContent);
export interface RingScan {
  damaged: boolean;
  damagedSlots: number[];
  sequence: number;
  tail: number;
  durableThrough: number;
  tornRecords: number;
  live: (FoundExtent & { sequence: number })[];
}
export type Superblock = ReturnType<typeof readSuperblock>;
export type Label = ReturnType<typeof readLabel>;

function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}

/** CRC-32C, bit by bit tables: reflected 0x1EDC6F41. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc >>> 0;
});
export function crc32c(...parts: Uint8Array[]): number {
  let crc = 0xffffffff;
  for (const part of parts) for (const byte of part) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0);
  return ~crc >>> 0;
}

const max = (one: number, other: number): number => Math.max(one, other);
const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** Fields in the order of a table. Every byte between two of them has to be zero. */
class Fields {
  private at = 0;
  constructor(private readonly bytes: Buffer) {}

  private skip(count: number): number {
    this.at += count;
    return this.at - count;
  }
  from(offset: number): this {
    must(isZero(this.bytes.subarray(this.at, offset)), `padding before ${offset} is not zero`);
    this.at = offset;
    return this;
  }
  u8 = () => this.bytes.readUInt8(this.skip(1));
  u16 = () => this.bytes.readUInt16LE(this.skip(2));
  u32 = () => this.bytes.readUInt32LE(this.skip(4));
  u64 = () => {
    const value = Number(this.bytes.readBigUInt64LE(this.skip(8)));
    must(Number.isSafeInteger(value), 'a number beyond 2^53');
    return value;
  };
  features = () => `0x${this.bytes.readBigUInt64LE(this.skip(8)).toString(16).padStart(16, '0')}`;
  latin = (count: number) => this.bytes.subarray(this.skip(count), this.at).toString('latin1');
  uuid = () => {
    const hex = this.bytes.subarray(this.skip(16), this.at).toString('hex');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  };
  text = (width: number) => {
    const field = this.bytes.subarray(this.skip(width), this.at);
    const end = field.indexOf(0);
    must(end >= 0 && isZero(field.subarray(end)), 'a text that does not end in its field');
    return field.toString('utf8', 0, end);
  };
  oneOf = (...names: string[]) => {
    const name = names[this.u8()];
    must(name !== undefined, 'a number without a meaning');
    return name;
  };
  flag = () => this.oneOf('no', 'yes') === 'yes';
  role = () => this.oneOf('master', 'slave');
  state = () => this.oneOf('in_sync', 'assumed', 'behind', 'synchronizing', 'inconsistent', 'failed');
  generation = () => ({ counter: this.u64(), id: this.uuid(), parent: this.uuid() });
  history = () =>
    Array.from({ length: 16 }, () => ({ counter: this.u64(), id: this.uuid() })).filter((mark) => mark.counter !== 0);
}

/** Magic, CRC, version, features: the order of the page. Returns the fields behind the preamble, and its numbers. */
function openBlock(bytes: Buffer, magic: string) {
  const fields = new Fields(bytes);
  must(fields.latin(8) === magic, `no magic ${magic}`);
  const version = fields.u32();
  must(fields.u32() === crc32c(bytes.subarray(0, 12), new Uint8Array(4), bytes.subarray(16)), 'the CRC does not hold');
  must(version === 1, `unknown version ${version}`);
  const preamble = {
    compatibleFeatures: fields.features(),
    incompatibleFeatures: fields.features(),
    update: fields.u64(),
  };
  must(BigInt(preamble.incompatibleFeatures) === 0n, `unknown feature ${preamble.incompatibleFeatures}`);
  return { fields, preamble };
}

export function readSuperblock(bytes: Buffer) {
  const { fields: f, preamble } = openBlock(bytes, 'BLKMIRLG');
  const createdAtMs = f.u64();
  const uuids = { mirrorUuid: f.uuid(), logUuid: f.uuid() };
  const sizes = { size: f.u64(), blockSize: f.u32(), physicalBlockSize: f.u32(), logSize: f.u64() };
  const ring = { position: f.u64(), recordSize: f.u32(), recordCount: f.u32(), inFlightLimit: f.u32() };
  const imageCount = f.u32();
  const opening = {
    generation: f.generation(),
    openCount: f.u64(),
    incarnation: f.uuid(),
    previousIncarnation: f.uuid(),
    firstSequence: f.u64(),
    sealedSequence: f.u64(),
    lifecycle: f.oneOf('creating', 'opening', 'open', 'sealed'),
  };
  const history = f.from(256).history();
  const owner = { bootId: f.uuid(), process: f.u32(), startedAtMs: f.from(664).u64(), host: f.text(64) };
  const lastRecovery = {
    finishedAtMs: f.u64(),
    liveIntents: f.u64(),
    bytesCovered: f.u64(),
    bytesCopied: f.u64(),
    durationMs: f.u64(),
    readBack: f.flag(),
    fullCompare: f.flag(),
  };
  Object.assign(owner, { processStarted: f.from(784).u64(), pidNamespace: f.u64() });
  const lastVerify = { finishedAtMs: f.u64(), bytesCompared: f.u64(), bytesDiffered: f.u64() };
  f.from(4096);
  const images = Array.from({ length: imageCount }, (_, index) =>
    readImage(bytes.subarray(4096 + index * 1024).subarray(0, 1024)),
  );
  must(isZero(bytes.subarray(4096 + imageCount * 1024)), 'an unused image entry is not zero');
  for (const [index, image] of images.entries()) {
    judgePlace(image, sizes.size);
    judgePath(image);
    const others = images.slice(0, index).filter((other) => isAlive(other) && isAlive(image));
    must(!others.some((other) => isSamePath(other, image)), 'two images have one path');
  }
  return {
    ...preamble,
    createdAtMs,
    ...uuids,
    ...sizes,
    ring,
    ...opening,
    history,
    owner,
    lastRecovery,
    lastVerify,
    images,
  };
}

interface Place {
  deviceSize: number;
  labelPosition: number;
}
interface NamedPath {
  path: string;
  pathKind: string;
}

/** The label lies in the last whole MiB of the device as it was when the mirror was made, and behind the mirror. */
function judgePlace({ deviceSize, labelPosition }: Place, size: number): void {
  must(labelPosition === lastWholeMiB(deviceSize), 'a label that is not in the last whole MiB of its device');
  must(labelPosition >= size, 'a label inside of the mirror');
}

/** A path says where it leads: nothing in it is empty, stays or goes back. */
function judgePath({ path, pathKind }: NamedPath): void {
  must(path !== '', 'an empty path');
  must(path.startsWith('/') === (pathKind === 'absolute'), 'a path of the other kind');
  const components = path.slice(pathKind === 'absolute' ? 1 : 0).split('/');
  must(!components.some((component) => ['', '.', '..'].includes(component)), 'a path that is not normal');
}

const isAlive = ({ state }: { state: string }): boolean => state !== 'failed';
const isSamePath = (one: NamedPath, other: NamedPath): boolean =>
  one.path === other.path && one.pathKind === other.pathKind;
const lastWholeMiB = (deviceSize: number): number => (Math.floor(deviceSize / MIB) - 1) * MIB;

function readImage(bytes: Buffer) {
  const f = new Fields(bytes);
  const who = { uuid: f.uuid(), role: f.role(), state: f.state(), pathKind: f.oneOf('absolute', 'relative') };
  f.from(24);
  const where = { deviceSize: f.u64(), labelPosition: f.u64(), mapPosition: f.u64(), mapLength: f.u64() };
  const error = f.u32();
  const name = f.from(64).text(32);
  const history = { error, changedAtMs: f.u64(), bytesDiffered: f.u64() };
  const texts = { name, path: f.from(128).text(768) };
  f.from(1024);
  return { ...who, ...where, ...texts, ...history };
}

export function readLabel(bytes: Buffer) {
  const { fields: f, preamble } = openBlock(bytes, 'BLKMIRIM');
  const uuids = { mirrorUuid: f.uuid(), logUuid: f.uuid(), imageUuid: f.uuid() };
  const what = { role: f.role(), state: f.state(), sealed: f.flag() };
  const sizes = { size: f.from(96).u64(), deviceSize: f.u64(), labelPosition: f.u64() };
  judgePlace(sizes, sizes.size);
  const opening = { generation: f.generation(), openCount: f.u64(), incarnation: f.uuid() };
  const history = f.from(192).history();
  const name = f.text(32);
  f.from(LABEL_LENGTH);
  return { ...preamble, ...uuids, ...what, ...sizes, ...opening, history, name };
}

/** The copy with the higher update, among those that can be read. */
function newest<T extends { update: number }>(copies: (() => T)[]): T {
  const found: T[] = [];
  let failure: unknown;
  for (const copy of copies) {
    try {
      found.push(copy());
    } catch (error) {
      failure = error;
    }
  }
  const best = found.sort((one, other) => other.update - one.update)[0];
  if (best === undefined) throw failure;
  return best;
}

export function decodeSlot(logUuid: string, bytes: Buffer): Slot {
  const uuid = Buffer.from(logUuid.replaceAll('-', ''), 'hex');
  const stamps: Stamp[] = [];
  for (let index = 0; index < bytes.length / SECTOR; index += 1) {
    const sector = bytes.subarray(index * SECTOR, (index + 1) * SECTOR);
    const number = Buffer.alloc(4);
    number.writeUInt32LE(index);
    if (sector.readUInt32LE(508) !== crc32c(uuid, number, sector.subarray(0, 508)))
      return { state: 'broken', stamps: [] };
    if (sector.readBigUInt64LE(496) > 2n ** 60n) return { state: 'broken', stamps: [] };
    const stamp = { sequence: Number(sector.readBigUInt64LE(496)), opening: sector.readUInt32LE(504) };
    if (!stamps.some((other) => isSame(other, stamp))) stamps.push(stamp);
  }
  if (stamps.length > 1) return { state: 'mixed', stamps };
  try {
    return { state: 'complete', stamps, ...readRecord(bytes, stamps[0] as Stamp) };
  } catch {
    return { state: 'broken', stamps: [] };
  }
}

const isSame = (one: Stamp, other: Stamp): boolean => one.sequence === other.sequence && one.opening === other.opening;

function readRecord(bytes: Buffer, stamp: Stamp): RecordContent {
  // The payload in one piece: 496 bytes of each sector.
  const payload = Buffer.concat(
    Array.from({ length: bytes.length / SECTOR }, (_, index) => bytes.subarray(index * SECTOR, index * SECTOR + 496)),
  );
  const f = new Fields(payload);
  must(f.latin(4) === 'BMRC' && f.u16() === 1 && f.u16() === HEADER_UNITS * UNIT, 'no record of version 1');
  const [sequence, opening, intents] = [f.u64(), f.u32(), f.u32()];
  const [generation, durableThrough, tail, units] = [f.u64(), f.u64(), f.u64(), f.u32()];
  f.from(HEADER_UNITS * UNIT);
  must(isSame({ sequence, opening }, stamp), 'header and stamps differ');
  must(opening === 0 || (durableThrough < sequence && tail <= sequence + 1), 'marks beyond the record');
  const extents: FoundExtent[] = [];
  for (let intent = 0; intent < intents; intent += 1) extents.push(...readIntent(f));
  f.from((HEADER_UNITS + units) * UNIT).from(payload.length);
  return { sequence, opening, generation, durableThrough, tail, extents };
}

/** What one intent covers, touching blocks merged. */
function readIntent(f: Fields): FoundExtent[] {
  const position = f.u64();
  const word = BigInt(f.features());
  const [length, kind] = [Number(word & 0xffffffffffffffn), word >> 56n];
  must(length > 0 && length % SECTOR === 0 && position % SECTOR === 0, 'an extent that is no extent');
  if (kind === 1n) return [{ position, length }];
  must(kind === 2n && length === MIB && position % MIB === 0, 'a bitmap that is no bitmap');
  const extents: FoundExtent[] = [];
  for (let byte = 0; byte < 32; byte += 1) {
    const bits = f.u8();
    for (let bit = 0; bit < 8; bit += 1) {
      if (((bits >> bit) & 1) === 0) continue;
      const block = position + (byte * 8 + bit) * BLOCK;
      const last = extents.at(-1);
      if (last && last.position + last.length === block) last.length += BLOCK;
      else extents.push({ position: block, length: BLOCK });
    }
  }
  must(extents.length > 0, 'an empty bitmap');
  return extents;
}

/** `slots`: every slot of the ring; undefined where it cannot be read. */
export function scanRing(superblock: Superblock, slots: (Slot | undefined)[]): RingScan {
  const { recordCount: N, inFlightLimit: W } = superblock.ring;
  const { firstSequence: F, openCount } = superblock;
  const acceptable = (slot: Slot | undefined, index: number): slot is Slot & { state: 'complete' } => {
    if (slot?.state !== 'complete' || slot.sequence % N !== index || slot.opening > openCount) return false;
    const marks =
      slot.generation === 0 && slot.durableThrough === N - 1 && slot.tail === N && slot.extents.length === 0;
    if (slot.sequence < N || slot.opening === 0) return slot.sequence < N && slot.opening === 0 && marks;
    return slot.sequence >= F ? slot.opening === openCount : slot.opening < openCount;
  };
  const good = slots.filter(acceptable).sort((one, other) => one.sequence - other.sequence);
  const [now, before] = [good.filter((slot) => slot.sequence >= F), good.filter((slot) => slot.sequence < F)];
  const H = good.at(-1)?.sequence ?? F - 1;
  const tail = good.length === 0 ? F : good.map((slot) => slot.tail).reduce(max);
  const durableOf = (slots: RecordContent[]): number => slots.map((slot) => slot.durableThrough).reduce(max, 0);
  const durableNow = Math.max(F - 1, H >= F ? H - W : 0, durableOf(now));
  const durableBefore = good.length === 0 ? H : Math.max((before.at(-1)?.sequence ?? 0) - W, durableOf(before));

  const damaged = new Set<number>();
  const live: RingScan['live'] = [];
  let tornRecords = 0;
  slots.forEach((slot, index) => {
    const S = H - ((((H - index) % N) + N) % N);
    const D = S >= F ? durableNow : durableBefore;
    if (slot === undefined || slot.state === 'broken') return damaged.add(index);
    if (slot.stamps.some((stamp) => stamp.sequence % N !== index || stamp.opening > openCount))
      return damaged.add(index);
    if (slot.state === 'complete' && !acceptable(slot, index)) return damaged.add(index);
    const X = slot.stamps.map((stamp) => stamp.sequence).reduce(max);
    if (slot.state === 'mixed' && X === S + N && X <= H + W && S < tail) return (tornRecords += 1);
    if (X > S) return damaged.add(index);
    if (slot.state === 'complete' && X === S && S >= tail) {
      return live.push(...slot.extents.map((extent) => ({ sequence: S, ...extent })));
    }
    if (S < tail) return undefined;
    return S > D ? (tornRecords += 1) : damaged.add(index);
  });

  if (H < F - 1) damaged.add((F - 1) % N);
  if (tail + N <= H || tail > H + 1) damaged.add(H % N);
  good.forEach((later, index) => {
    const earlier = good[index - 1];
    if (earlier === undefined) return;
    const falls = (['opening', 'generation', 'durableThrough'] as const).some((key) => later[key] < earlier[key]);
    if (falls) damaged.add(later.sequence % N);
  });
  return {
    damaged: damaged.size > 0 || good.length === 0,
    damagedSlots: [...damaged].sort((one, other) => one - other),
    sequence: H,
    tail,
    durableThrough: H >= F ? durableNow : durableBefore,
    tornRecords,
    live: live.sort((one, other) => one.sequence - other.sequence),
  };
}

function withFile<T>(path: string, use: (read: (position: number, length: number) => Buffer) => T): T {
  const file = openSync(path, 'r');
  try {
    return use((position, length) => {
      const bytes = Buffer.alloc(length);
      must(readSync(file, bytes, 0, length, position) === length, `${path} ends before ${position + length}`);
      return bytes;
    });
  } finally {
    closeSync(file);
  }
}

/** Copy A of a create that was cut off before it wrote copy B over that of the log which was there. */
function takenOver([copyA, copyB]: (() => Superblock)[]): Superblock | null {
  try {
    const [a, b] = [copyA?.(), copyB?.()];
    return a !== undefined && b !== undefined && a.logUuid !== b.logUuid && a.lifecycle === 'creating' ? a : null;
  } catch {
    return null;
  }
}

/** A log, as a file or block device: its newest superblock and what its ring holds. Throws when there is no superblock. */
export function readLog(path: string): { superblock: Superblock; ring: RingScan } {
  return withFile(path, (read) => {
    const copies = SUPERBLOCK_COPIES.map((at) => () => readSuperblock(read(at, SUPERBLOCK_LENGTH)));
    const superblock = takenOver(copies) ?? newest(copies);
    const { position, recordSize, recordCount } = superblock.ring;
    const slots = Array.from({ length: recordCount }, (_, index) => {
      try {
        return decodeSlot(superblock.logUuid, read(position + index * recordSize, recordSize));
      } catch {
        return undefined;
      }
    });
    return { superblock, ring: scanRing(superblock, slots) };
  });
}

/** The newest label of an image. `position`: of the label area, by default in the last whole MiB of a regular file. */
export function readImageLabel(path: string, position = labelPosition(path)): Label {
  return withFile(path, (read) => newest(LABEL_COPIES.map((at) => () => readLabel(read(position + at, LABEL_LENGTH)))));
}

function labelPosition(path: string): number {
  const file = openSync(path, 'r');
  try {
    return lastWholeMiB(fstatSync(file).size);
  } finally {
    closeSync(file);
  }
}
