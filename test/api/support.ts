/**
 * Mirrors for tests of the API: over real files in a folder of the test's own, closed after it, both device kinds.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type CreateOptions, Mirror, type OpenOptions, openEngines } from '../../lib/index';
import type { BlockmirrorError, ErrorName } from '../../lib/index';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

export { describeDeviceKinds } from '../support/device_kinds';
export { KIB, MIB } from '../support/temporary_folder';

/** A user who owns nothing: whom root becomes, or whose files root meets. */
export const NOBODY = 65534;

export const MIRROR_SIZE = 8 * MIB;

/** Every image has to be there, now. */
export const STRICT = { requireAll: true, waitForImages: 0 } as const;

export interface Paths {
  log: string;
  master: string;
  slaves: string[];
}

export interface Mirrors {
  folder(): string;
  /** A path in that folder. */
  at: (...names: string[]) => string;
  /** Paths in the folder of the test that runs; nothing is made. */
  paths(slaves?: number): Paths;
  /** A mirror over files, closed cleanly. */
  create(options?: Partial<CreateOptions> & { slaveCount?: number }): Promise<Paths>;
  open(paths: Paths, options?: OpenOptions): Promise<Mirror>;
  /** create and open. */
  make(options?: OpenOptions, slaveCount?: number): Promise<{ mirror: Mirror; paths: Paths }>;
  /** Lets the mirror go as a crash would: nothing is sealed. */
  crash(mirror: Mirror): void;
}

/** To be called at the top of a test file or in a describe block. */
export function useMirrors(): Mirrors {
  const folder = useTemporaryFolder();
  const open: Mirror[] = [];
  afterEach(async () => {
    for (const mirror of open.splice(0)) await mirror.close().catch(() => undefined);
  });
  afterAll(() => {
    expect(openEngines()).toBe(0);
  });
  const mirrors: Mirrors = {
    folder,
    at: (...names) => join(folder(), ...names),
    paths: (slaves = 1) => ({
      log: join(folder(), 'mirror.log'),
      master: join(folder(), 'master.img'),
      slaves: Array.from({ length: slaves }, (_, index) => join(folder(), `slave${index + 1}.img`)),
    }),
    create: async ({ slaveCount = 1, ...options } = {}) => {
      const paths = mirrors.paths(slaveCount);
      await Mirror.create({ ...paths, size: MIRROR_SIZE, ringRecords: 64, readBack: false, ...options });
      return paths;
    },
    open: async (paths, options = {}) => {
      // What comes back by itself has tests of its own.
      const mirror = await Mirror.open(paths.log, { rejoin: 'manual', ...options });
      open.push(mirror);
      return mirror;
    },
    make: async (options = {}, slaveCount = 1) => {
      const paths = await mirrors.create({ slaveCount });
      return { paths, mirror: await mirrors.open(paths, options) };
    },
    crash: (mirror) => {
      (mirror as unknown as { engine: { destroy(): void } }).engine.destroy();
    },
  };
  return mirrors;
}

/** The typed error with which the work must fail. */
export async function failure(work: Promise<unknown>, name: ErrorName): Promise<BlockmirrorError> {
  const error = await work.then(
    () => new Error(`nothing failed; expected ${name}`),
    (reason: unknown) => reason as Error,
  );
  if ((error as BlockmirrorError).code !== `ERR_BLOCKMIRROR_${name}`) throw error;
  return error as BlockmirrorError;
}

/** Bytes of a file, read plainly: no part of blockmirror between them and the test. */
export function bytesOf(path: string, position: number, length: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(length);
    const read = readSync(file, bytes, 0, length, position);
    return bytes.subarray(0, read);
  } finally {
    closeSync(file);
  }
}

export function overwrite(path: string, position: number, bytes: Uint8Array): void {
  const file = openSync(path, 'r+');
  try {
    writeSync(file, bytes, 0, bytes.length, position);
  } finally {
    closeSync(file);
  }
}

/** The images' content, labels left out. */
export function imagesEqual(paths: Paths, size = MIRROR_SIZE): boolean {
  const master = readFileSync(paths.master).subarray(0, size);
  return paths.slaves.every((slave) => readFileSync(slave).subarray(0, size).equals(master));
}

/** Bytes that differ from place to place and from seed to seed; the period divides no block. */
export function pattern(length: number, seed: number): Buffer {
  const digest = createHash('sha512').update(String(seed)).digest();
  return Buffer.alloc(length, digest.subarray(0, 61));
}
