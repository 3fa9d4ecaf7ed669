// A second reader of the log, written from docs/FORMAT.md alone: a cross-check of the native one, and of that page.
// Slow and plain on purpose; it shares no code with what it checks, and reads only.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const MIB = 1024 * 1024;
const SUPERBLOCK_LENGTH = 40960;
const SUPERBLOCK_HEADER = 8192;
const IMAGE_ENTRY = 2048;
const MOST_IMAGES = 16;
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

const CAUSES = [
  ...['none', 'write_error', 'flush_error', 'read_error', 'label_error', 'deadline', 'absent', 'blank', 'foreign'],
  ...['stale', 'too_small', 'grown', 'unreadable', 'lost_allocation', 'block_too_large', 'operator_request'],
  ...['promoted', 'added', 'flapping', 'differs'],
];
const EVENTS = [
  ...['none', 'created', 'opened', 'recovered', 'fractured', 'rejoined', 'resync_begun', 'resync_ended', 'verified'],
  ...['repaired', 'error', 'promoted', 'added', 'removed', 'replaced', 'grown', 'moved', 'policy_changed', 'closed'],
];
const NO_UUID = '00000000-0000-0000-0000-000000000000';

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
  pathKind = () => this.oneOf('absolute', 'relative', 'uri');
  debt = () => this.oneOf('none', 'map', 'everything');
  resyncKind = () => this.oneOf('none', 'debt', 'full_compare', 'full_copy', 'debt_of_assumed');
  cause = () => this.oneOf(...CAUSES);
  state = () => this.oneOf('in_sync', 'assumed', 'behind', 'synchronizing', 'inconsistent', 'failed');
  generation = () => ({ counter: this.u64(), id: this.uuid(), parent: this.uuid() });
  history = () =>
    Array.from({ length: 64 }, () => ({ counter: this.u64(), id: this.uuid() })).filter((mark) => mark.counter !== 0);
}

/** Magic, CRC, version, features: the order of the page. Returns the fields behind the preamble, and its numbers. */
function openBlock(bytes: Buffer, magic: string) {
  const fields = new Fields(bytes);
  must(fields.latin(8) === magic, `no magic ${magic}`);
  const version = fields.u32();
  // Version 1 of the superblock was shorter.
  const covered = version === 1 && magic === 'BLKMIRLG' ? 20480 : bytes.length;
  const crc = crc32c(bytes.subarray(0, 12), new Uint8Array(4), bytes.subarray(16, covered));
  must(fields.u32() === crc, 'the CRC does not hold');
  must(version === 2, `unknown version ${version}`);
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
  const count = f.u32();
  const opening = {
    generation: f.generation(),
    openCount: f.u64(),
    incarnation: f.uuid(),
    previousIncarnation: f.uuid(),
    firstSequence: f.u64(),
    sealedSequence: f.u64(),
    lifecycle: f.oneOf('creating', 'opening', 'open', 'sealed'),
  };
  const roles = { master: f.u8(), maxImages: f.u8(), logState: f.oneOf('current', 'arriving', 'moved') };
  const servedSinceCrash = f.flag();
  const pendingSize = f.from(232).u64();
  const maps = { position: f.u64(), slotLength: f.u64(), unit: f.u32() };
  const policies = readPolicies(f.from(264));
  const owner = {
    bootId: f.from(320).uuid(),
    process: f.u32(),
    startedAtMs: f.from(344).u64(),
    processStarted: f.u64(),
    pidNamespace: f.u64(),
    host: f.text(64),
  };
  const lastRecovery = {
    finishedAtMs: f.from(432).u64(),
    liveIntents: f.u64(),
    bytesCovered: f.u64(),
    bytesCopied: f.u64(),
    durationMs: f.u64(),
    readBack: f.flag(),
    fullCompare: f.flag(),
  };
  const lastVerify = {
    finishedAtMs: f.from(480).u64(),
    bytesCompared: f.u64(),
    bytesDiffered: f.u64(),
    bytesRepaired: f.u64(),
  };
  const history = f.from(512).history();
  const { log: pairedLog, state: pairedState } = readLogReference(f, 2048, true);
  const { log: predecessor } = readLogReference(f, 2848, false);
  const { log: movedTo } = readLogReference(f, 3648, false);
  f.from(SUPERBLOCK_HEADER);
  must(count >= 1 && count <= roles.maxImages && roles.maxImages >= 2 && roles.maxImages <= MOST_IMAGES, 'images');
  const entries = Array.from({ length: MOST_IMAGES }, (_, index) =>
    bytes.subarray(SUPERBLOCK_HEADER + index * IMAGE_ENTRY).subarray(0, IMAGE_ENTRY),
  );
  must(entries.slice(count).every(isZero), 'an entry beyond the number of images is not zero');
  const images = entries.slice(0, count).map((entry) => (isZero(entry) ? {} : readImage(entry)));
  const superblock = {
    ...preamble,
    createdAtMs,
    ...uuids,
    ...sizes,
    ring,
    ...opening,
    ...roles,
    servedSinceCrash,
    pendingSize,
    maps,
    policies,
    history,
    owner,
    lastRecovery,
    lastVerify,
    pairedLog,
    pairedState,
    predecessor,
    movedTo,
    images,
  };
  judgeRoles(superblock);
  judgeImages(images, sizes.size, pendingSize);
  return superblock;
}

interface Place {
  deviceSize: number;
  labelPosition: number;
}
interface NamedPath {
  path: string;
  pathKind: string;
}

/** The label lies in the last whole MiB of the device as it was when the image was added, and behind the mirror. */
function judgePlace({ deviceSize, labelPosition }: Place, size: number): void {
  must(labelPosition === lastWholeMiB(deviceSize), 'a label that is not in the last whole MiB of its device');
  must(labelPosition >= size, 'a label inside of the mirror');
}

/** Or in its place of the log. */
function isHeld({ deviceSize, labelPosition }: Place, size: number, index: number): boolean {
  return labelPosition === 640 * 1024 + 16 * 1024 * index && deviceSize >= size;
}

/** A path says where it leads: nothing in it is empty, stays or goes back. */
function judgePath({ path, pathKind }: NamedPath): void {
  must(path !== '', 'an empty path');
  if (pathKind === 'uri') return must(/^(nbd|nbds|nbd\+unix):\/\/[\x21-\x7e]+$/.test(path), 'no URI of an export');
  must(path.startsWith('/') === (pathKind === 'absolute'), 'a path of the other kind');
  const components = path.slice(pathKind === 'absolute' ? 1 : 0).split('/');
  must(!components.some((component) => ['', '.', '..'].includes(component)), 'a path that is not normal');
}

const isAlive = ({ state }: { state: string }): boolean => !['behind', 'inconsistent', 'failed'].includes(state);
const isSamePath = (one: NamedPath, other: NamedPath): boolean =>
  one.path === other.path && one.pathKind === other.pathKind;
const lastWholeMiB = (deviceSize: number): number => (Math.floor(deviceSize / MIB) - 1) * MIB;

function judgeImages(images: (Image | Record<string, never>)[], size: number, pendingSize: number): void {
  for (const [index, image] of images.entries()) {
    if (!isImage(image)) continue;
    if (image.heldLabel) must(isHeld(image, size, index), 'a label that is not in its place of the log');
    else judgePlace(image, Math.max(size, pendingSize));
    judgePath(image);
    const others = images.slice(0, index).filter(isImage);
    must(
      !others.some((other) => isAlive(other) && isAlive(image) && isSamePath(other, image)),
      'two images have one path',
    );
  }
}

function readPolicies(f: Fields) {
  const who = { minimumInSync: f.u8(), rejoin: f.oneOf('auto', 'manual'), onMasterFailure: f.oneOf('stop', 'promote') };
  const times = { deviceTimeoutMs: f.from(272).u64(), lateWindowMs: f.u64() };
  return { ...who, ...times, resyncRate: f.u64(), waitForImagesMs: f.u64() };
}

function readLogReference(f: Fields, at: number, hasState: boolean) {
  const who = { uuid: f.from(at).uuid(), pathKind: f.oneOf('absolute', 'relative') };
  const state = hasState ? f.oneOf('current', 'lost') : undefined;
  const log = { ...who, path: f.from(at + 32).text(768) };
  must((log.uuid === NO_UUID) === (log.path === ''), 'half a log');
  if (log.path !== '') judgePath(log);
  return { log, state };
}

function readImage(bytes: Buffer) {
  const f = new Fields(bytes);
  const who = { uuid: f.uuid(), state: f.state(), pathKind: f.pathKind() };
  const flags = f.u8();
  must(who.uuid !== NO_UUID && flags <= 3, 'an image that is none, or an unknown flag');
  const debt = f.debt();
  const where = { deviceSize: f.from(24).u64(), labelPosition: f.u64() };
  const name = f.text(32);
  const told = { changedAtMs: f.u64(), bytesDiffered: f.u64(), error: f.u32() };
  const fracture = {
    cause: f.from(96).cause(),
    atMs: f.from(104).u64(),
    generation: f.u64(),
    generationId: f.uuid(),
    openCount: f.u64(),
    incarnation: f.uuid(),
    tail: f.u64(),
  };
  const mapId = f.uuid();
  const barrier = f.uuid();
  const resync = { id: f.uuid(), kind: f.resyncKind(), cursor: f.from(224).u64(), beganAtMs: f.u64() };
  const suspectUntilMs = f.u64();
  const labels = {
    told: { update: f.u64(), incarnation: f.uuid() },
    telling: { update: f.u64(), incarnation: f.uuid() },
  };
  const device = { windowBytes: f.u64(), rate: f.u64(), partitionUuid: f.uuid(), serial: f.text(64) };
  const path = f.from(512).text(768);
  f.from(IMAGE_ENTRY);
  const image = {
    ...who,
    heldLabel: (flags & 1) !== 0,
    volatileAllowed: (flags & 2) !== 0,
    debt,
    ...where,
    name,
    path,
    ...told,
    fracture: { ...fracture, barrier },
    mapId,
    resync,
    suspectUntilMs,
    ...labels,
    ...device,
  };
  judgeState(image);
  return image;
}
type Image = ReturnType<typeof readImage>;
const isImage = (image: Image | Record<string, never>): image is Image => 'uuid' in image;

/** The table of states: what must be there, may be, and must not. */
const STATES: Record<string, { fracture: string; debt: string; resync: string }> = {
  in_sync: { fracture: 'never', debt: 'never', resync: 'never' },
  assumed: { fracture: 'never', debt: 'never', resync: 'never' },
  behind: { fracture: 'must', debt: 'must', resync: 'never' },
  synchronizing: { fracture: 'may', debt: 'may', resync: 'must' },
  inconsistent: { fracture: 'must', debt: 'must', resync: 'must' },
  failed: { fracture: 'must', debt: 'must', resync: 'may' },
};

function judgeState(image: Image): void {
  const row = STATES[image.state];
  const fits = (needs: string | undefined, has: boolean): boolean => needs === 'may' || has === (needs === 'must');
  must(fits(row?.fracture, image.fracture.cause !== 'none'), 'state and fracture contradict');
  must(fits(row?.debt, image.debt !== 'none'), 'state and debt contradict');
  must(fits(row?.resync, image.resync.kind !== 'none'), 'state and resync contradict');
  must((image.debt === 'map') === (image.mapId !== NO_UUID), 'debt and map contradict');
  must((image.resync.kind === 'none') === (image.resync.id === NO_UUID), 'a resync without an id');
  must((image.fracture.cause === 'none') === (image.fracture.atMs === 0), 'a fracture without a date');
}

interface Roles {
  master: number;
  images: (Image | Record<string, never>)[];
  logState: string;
  movedTo: { uuid: string };
  predecessor: { uuid: string };
}

function judgeRoles({ master, images, logState, movedTo, predecessor }: Roles): void {
  const image = images[master];
  must(image !== undefined && isImage(image), 'there is no master');
  must(image.state === 'in_sync' || image.state === 'assumed', 'the master is not in sync');
  must(isImage(images.at(-1) ?? {}), 'the last entry is not in use');
  must((logState === 'moved') === (movedTo.uuid !== NO_UUID), 'a log that moved says where to');
  must(logState !== 'arriving' || predecessor.uuid !== NO_UUID, 'a log that arrives from nowhere');
}

export function readLabel(bytes: Buffer) {
  const { fields: f, preamble } = openBlock(bytes, 'BLKMIRIM');
  const uuids = { mirrorUuid: f.uuid(), logUuid: f.uuid(), imageUuid: f.uuid() };
  const what = { index: f.u8(), state: f.state(), sealed: f.flag(), master: f.u8() };
  const kinds = { logPathKind: f.oneOf('absolute', 'relative'), resyncKind: f.resyncKind() };
  const sizes = { size: f.from(96).u64(), deviceSize: f.u64(), labelPosition: f.u64() };
  if (!isHeld(sizes, sizes.size, what.index)) judgePlace(sizes, sizes.size);
  const opening = { generation: f.generation(), openCount: f.u64(), incarnation: f.uuid() };
  const writtenAtMs = f.u64();
  const resyncId = f.uuid();
  const fracture = { fracturedAtMs: f.u64(), barrier: f.uuid() };
  const pairedLogUuid = f.uuid();
  const name = f.from(256).text(32);
  const history = f.from(512).history();
  const peers = Array.from({ length: MOST_IMAGES }, (_, index) => {
    const peer = { uuid: f.from(2048 + 32 * index).uuid(), changedAtMs: f.u64(), state: f.state() };
    return peer.uuid === NO_UUID ? { uuid: undefined } : peer;
  });
  const logPath = f.from(2560).text(768);
  if (logPath !== '') judgePath({ path: logPath, pathKind: kinds.logPathKind });
  f.from(LABEL_LENGTH);
  must(peers[what.index]?.uuid === uuids.imageUuid, 'an image that is not in its own place');
  must(peers[what.master]?.uuid !== undefined, 'there is no master');
  const shown = peers.map((peer) => (peer.uuid === undefined ? {} : peer));
  return {
    ...preamble,
    ...uuids,
    ...what,
    ...kinds,
    ...sizes,
    ...opening,
    writtenAtMs,
    resyncId,
    ...fracture,
    pairedLogUuid,
    name,
    history,
    peers: shown,
    logPath,
  };
}

const uuidBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex');

export interface FoundMap {
  image: number;
  /** Whether its header names the very fracture of the image. */
  believed: boolean;
  extents: FoundExtent[];
}

/** What the fracture maps say of the images that have one. */
export function readMaps(superblock: Superblock, read: (position: number, length: number) => Buffer): FoundMap[] {
  return superblock.images.flatMap((image, index) =>
    isImage(image) && image.debt === 'map' ? [readMap(superblock, image, index, read)] : [],
  );
}

function readMap(
  superblock: Superblock,
  image: Image,
  index: number,
  read: (position: number, length: number) => Buffer,
): FoundMap {
  const { size, maps, logUuid } = superblock;
  const slot = maps.position + index * maps.slotLength;
  const units = Math.ceil(size / maps.unit);
  const sectors = Math.ceil(units / 3840);
  if (!namesMap(read(slot, SECTOR), superblock, image, sectors))
    return { image: index, believed: false, extents: [{ position: 0, length: size }] };
  const extents: FoundExtent[] = [];
  const add = (first: number, count: number): void => {
    const position = first * maps.unit;
    const end = Math.min(position + count * maps.unit, size);
    const last = extents.at(-1);
    if (last !== undefined && last.position + last.length === position) last.length = end - last.position;
    else extents.push({ position, length: end - position });
  };
  for (let number = 0; number < sectors; number += 1) {
    const inReach = Math.min(3840, units - number * 3840);
    const sector = read(slot + 4096 + number * SECTOR, SECTOR);
    const bits = bitsOf(sector, logUuid, index, number, image.mapId, inReach);
    if (bits === 'everything') add(number * 3840, inReach);
    else for (const bit of bits) add(number * 3840 + bit, 1);
  }
  return { image: index, believed: true, extents };
}

function namesMap(sector: Buffer, superblock: Superblock, image: Image, sectors: number): boolean {
  if (sector.toString('latin1', 0, 8) !== 'BLKMIRMP' || sector.readUInt32LE(8) !== 2) return false;
  if (sector.readUInt32LE(12) !== crc32c(sector.subarray(0, 12), new Uint8Array(4), sector.subarray(16))) return false;
  const f = new Fields(sector.subarray(16));
  const [log, of, map] = [f.uuid(), f.uuid(), f.uuid()];
  f.uuid();
  const [unit, count] = [f.u32(), f.u32()];
  const names = log === superblock.logUuid && of === image.uuid && map === image.mapId;
  return names && unit === superblock.maps.unit && count === sectors && isZero(sector.subarray(96));
}

/** The bits that are set. */
function bitsOf(
  sector: Buffer,
  logUuid: string,
  image: number,
  number: number,
  mapId: string,
  inReach: number,
): number[] | 'everything' {
  const index = Buffer.alloc(4);
  index.writeUInt32LE(image);
  const sealed = sector.readUInt32LE(508) === crc32c(uuidBytes(logUuid), index, sector.subarray(0, 508));
  if (!sealed || sector.readUInt32LE(496) !== number || !isZero(sector.subarray(500, 508))) return 'everything';
  if (!sector.subarray(480, 496).equals(uuidBytes(mapId))) return [];
  const bits = Array.from({ length: 3840 }, (_, bit) => bit).filter(
    (bit) => ((sector.readUInt8(bit >> 3) >> (bit & 7)) & 1) === 1,
  );
  return bits.some((bit) => bit >= inReach) ? 'everything' : bits;
}

const HISTORY = { position: 128 * 1024, slots: 1024 };

/** The events that the log tells, oldest first. */
export function readHistory(logUuid: string, read: (position: number, length: number) => Buffer) {
  const area = read(HISTORY.position, HISTORY.slots * SECTOR);
  const events: ReturnType<typeof readEvent>[] = [];
  let broken = 0;
  for (let slot = 0; slot < HISTORY.slots; slot += 1) {
    const sector = area.subarray(slot * SECTOR, (slot + 1) * SECTOR);
    if (isZero(sector)) continue;
    try {
      must(sector.readUInt32LE(508) === crc32c(uuidBytes(logUuid), sector.subarray(0, 508)), 'the CRC does not hold');
      const event = readEvent(sector.subarray(0, 508));
      must(event.sequence > 0 && event.sequence % HISTORY.slots === slot, 'an event in the slot of another');
      events.push(event);
    } catch {
      broken += 1;
    }
  }
  const newest = events.map(({ sequence }) => sequence).reduce(max, 0);
  const ofThisLap = events.filter(({ sequence }) => sequence + HISTORY.slots > newest);
  return { newest, broken, events: ofThisLap.sort((one, other) => one.sequence - other.sequence) };
}

function readEvent(bytes: Buffer) {
  const f = new Fields(bytes);
  must(f.latin(4) === 'BMEV' && f.u32() === 2, 'no event of version 2');
  const when = { sequence: f.u64(), atMs: f.u64(), kind: f.oneOf(...EVENTS) };
  must(when.kind !== 'none', 'an event of no kind');
  const what = { image: f.u8(), before: f.state(), after: f.state(), cause: f.cause() };
  const error = f.from(32).u32();
  const opening = { generation: f.from(40).u64(), openCount: f.u64() };
  const how = { position: f.u64(), length: f.u64(), bytes: f.u64(), durationMs: f.u64(), name: f.text(64) };
  f.from(508);
  return { ...when, ...what, error, ...opening, ...how };
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
  const uuid = uuidBytes(logUuid);
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
  must(f.latin(4) === 'BMRC' && f.u16() === 2 && f.u16() === HEADER_UNITS * UNIT, 'no record of version 2');
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
export function readLog(path: string): {
  superblock: Superblock;
  ring: RingScan;
  maps: FoundMap[];
  history: ReturnType<typeof readHistory>;
} {
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
    const [maps, history] = [readMaps(superblock, read), readHistory(superblock.logUuid, read)];
    return { superblock, ring: scanRing(superblock, slots), maps, history };
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
