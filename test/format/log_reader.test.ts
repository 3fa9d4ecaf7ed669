// Two readers that share no code must find the same in the golden vectors, which the native encoders made
// (native/test/core/format/format_vectors_test.cc checks that they still do).
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ENTRY, HEADER, LABEL_FIELDS, WIDTHS, imageEntry, putText, seal } from '../support/forge';
import { bytesOfVector, vectors } from '../support/vectors';
import { crc32c, decodeSlot, readImageLabel, readLabel, readLog, readSuperblock } from './log_reader';

const LOG_UUID = '20212223-2425-2627-2829-2a2b2c2d2e2f';

const expected = (name: string): unknown => JSON.parse(readFileSync(path.join(vectors, `${name}.json`), 'utf8'));
const namesOf = (prefix: RegExp): string[] =>
  readdirSync(vectors)
    .filter((name) => name.endsWith('.hex') && prefix.test(name))
    .map((name) => name.slice(0, -'.hex'.length));

describe('the second reader of the format', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'blockmirror-format-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('knows CRC-32C by its check value', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  });

  test.each(namesOf(/^superblock/))('finds in the %s what the native writer put there', (name) => {
    expect(readSuperblock(bytesOfVector(name))).toEqual(expected(name));
  });

  test.each(namesOf(/^label/))('finds in the %s what the native writer put there', (name) => {
    expect(readLabel(bytesOfVector(name))).toEqual(expected(name));
  });

  test('refuses by name what format 1 wrote, as whole as it is', () => {
    const superblock = Buffer.concat([bytesOfVector('version-1-superblock'), Buffer.alloc(20480, 7)]);
    expect(() => readSuperblock(superblock)).toThrow('unknown version 1');
    expect(() => readLabel(bytesOfVector('version-1-label'))).toThrow('unknown version 1');
    superblock.writeUInt8(superblock.readUInt8(20479) ^ 1, 20479);
    expect(() => readSuperblock(superblock)).toThrow('the CRC does not hold');
  });

  test('finds the label at the end of an image, whichever copy is whole', () => {
    const image = Buffer.alloc(3 * 1024 * 1024 + 512);
    const file = path.join(folder, 'image');
    bytesOfVector('label').copy(image, 2 * 1024 * 1024 + 512 * 1024);
    writeFileSync(file, image);
    expect(readImageLabel(file)).toEqual(expected('label'));
  });

  test.each(namesOf(/^(record|slot)-/))('finds in the slot %s what the native reader finds', (name) => {
    expect(decodeSlot(LOG_UUID, bytesOfVector(name))).toEqual(expected(name));
  });

  test.each(namesOf(/^log-/))('finds in the log %s what the native reader finds', (name) => {
    const file = path.join(folder, name);
    writeFileSync(file, bytesOfVector(name));
    expect(readLog(file)).toEqual(expected(name));
  });

  test('refuses a superblock with a byte changed, whichever it is', () => {
    const good = bytesOfVector('superblock');
    for (let at = 0; at < good.length; at += 61) {
      const bytes = Buffer.from(good);
      bytes.writeUInt8(bytes.readUInt8(at) ^ 0x20, at);
      expect(() => readSuperblock(bytes)).toThrow();
    }
  });

  const MASTER = imageEntry(0);
  const SLAVE = imageEntry(1);
  const FAILED = imageEntry(2);
  const withPath =
    (entry: number, text: string) =>
    (bytes: Buffer): void =>
      putText(bytes, entry + ENTRY.path, WIDTHS.path, text);
  const withNumber =
    (at: number, value: number) =>
    (bytes: Buffer): void =>
      void bytes.writeBigUInt64LE(BigInt(value), at);
  const withByte =
    (at: number, value: number) =>
    (bytes: Buffer): void =>
      void bytes.writeUInt8(value, at);
  const MIB = 1024 * 1024;

  /** Each breaks one rule of the page, under a checksum that holds. */
  test.each<[string, (bytes: Buffer) => void, RegExp]>([
    ['a path of no bytes', withPath(SLAVE, ''), /empty path/],
    ['an absolute path without a slash in front', withPath(SLAVE, 'dev/slave'), /other kind/],
    ['a relative path with a slash in front', withPath(FAILED, '/images/slave'), /other kind/],
    ['a path with an empty component', withPath(SLAVE, '/dev//slave'), /not normal/],
    ['a path that ends with a slash', withPath(SLAVE, '/dev/slave/'), /not normal/],
    ['a path that is the root alone', withPath(SLAVE, '/'), /not normal/],
    ['a path that stays', withPath(FAILED, './slave'), /not normal/],
    ['a path that goes back', withPath(FAILED, 'images/../../slave'), /not normal/],
    ['a path that fills its field', withPath(SLAVE, `/${'x'.repeat(WIDTHS.path - 1)}`), /does not end/],
    ['the path of the master for a slave', withPath(SLAVE, '/dev/disk/by-id/master'), /one path/],
    ['a label before the last MiB of its device', withNumber(SLAVE + ENTRY.labelPosition, 65 * MIB), /last whole MiB/],
    ['a label at no multiple of a MiB', withNumber(MASTER + ENTRY.labelPosition, 65 * MIB + 512), /last whole MiB/],
    ['a device too small for its label', withNumber(SLAVE + ENTRY.deviceSize, 66 * MIB), /last whole MiB/],
    ['a mirror that reaches into a label', withNumber(HEADER.size, 66 * MIB), /inside of the mirror/],
    ['a failed slave without a debt', withByte(FAILED + ENTRY.debt, 0), /state and debt/],
    ['a debt of an image in sync', withByte(SLAVE + ENTRY.debt, 2), /state and debt/],
    ['a map without an id', withByte(FAILED + ENTRY.debt, 1), /debt and map/],
    ['a fracture without a cause', withByte(FAILED + ENTRY.cause, 0), /state and fracture/],
    ['a fracture without a date', withNumber(FAILED + ENTRY.fracturedAt, 0), /without a date/],
    ['a slave behind that is not fractured', withByte(SLAVE + ENTRY.state, 2), /state and fracture/],
    ['a resync that nobody named', withByte(SLAVE + ENTRY.state, 3), /state and resync/],
    ['a master that failed', withByte(HEADER.master, 2), /not in sync/],
    ['a master that is not there', withByte(HEADER.master, 3), /no master/],
  ])('refuses a superblock with %s', (_, change, reason) => {
    const bytes = bytesOfVector('superblock');
    change(bytes);
    seal(bytes);
    expect(() => readSuperblock(bytes)).toThrow(reason);
  });

  test('takes a failed slave whose path another image has since', () => {
    const bytes = bytesOfVector('superblock');
    withPath(FAILED, '/dev/disk/by-id/slave-1')(bytes);
    bytes.writeUInt8(0, FAILED + ENTRY.pathKind);
    seal(bytes);
    expect(readSuperblock(bytes).images.map((image) => ('path' in image ? image.path : null))).toEqual([
      '/dev/disk/by-id/master',
      '/dev/disk/by-id/slave-1',
      '/dev/disk/by-id/slave-1',
    ]);
  });

  test.each<[string, (bytes: Buffer) => void, RegExp]>([
    ['before the last MiB of its device', withNumber(LABEL_FIELDS.labelPosition, 64 * MIB), /last whole MiB/],
    ['on a device too small for it', withNumber(LABEL_FIELDS.deviceSize, 2 * MIB), /last whole MiB/],
    ['inside of its mirror', withNumber(LABEL_FIELDS.size, 68 * MIB), /inside of the mirror/],
  ])('refuses a label that lies %s', (_, change, reason) => {
    const bytes = bytesOfVector('label');
    change(bytes);
    seal(bytes);
    expect(() => readLabel(bytes)).toThrow(reason);
  });

  test('takes no byte of a record on trust', () => {
    const good = bytesOfVector('record-intents');
    for (let at = 0; at < good.length; at += 17) {
      const bytes = Buffer.from(good);
      bytes.writeUInt8(bytes.readUInt8(at) ^ 0x01, at);
      expect(decodeSlot(LOG_UUID, bytes)).toEqual({ state: 'broken', stamps: [] });
    }
  });
});
