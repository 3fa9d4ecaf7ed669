// Where a load runs: a mirror made for the benchmark, its images, and room for the log of those who log by hand.
// A place: { kind, log, images, size, rawLog: { path, position, length } | null, close() }.
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { onExit } from './cleanup.mjs';
import { addZram, zramMissing } from './zram.mjs';

const { Mirror, formatSize } = createRequire(import.meta.url)('../dist/index.js');
const { loadBinding } = createRequire(import.meta.url)('../dist/base/load.js');

const MiB = 1024 * 1024;
const RAW_LOG_LENGTH = 16 * MiB;
const LABEL = MiB;

/** A folder of our own below `directory`, gone when the run ends. */
export function makeFolder(directory) {
  const folder = mkdtempSync(path.join(directory, 'blockmirror-bench-'));
  onExit(`remove ${folder}`, () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function writeZeroFile(file, length) {
  const descriptor = openSync(file, 'wx');
  try {
    const zeroes = Buffer.alloc(MiB);
    for (let done = 0; done < length;) done += writeSync(descriptor, zeroes, 0, Math.min(MiB, length - done));
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function refuseFullDisk(folder, bytes) {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= bytes * 1.1) return;
  throw new Error(
    `${folder} has ${formatSize(bavail * bsize)} free and ${formatSize(bytes)} are needed; give --directory or a smaller --size`,
  );
}

/** Files: a mirror of `slaves` slaves in a folder of its own. */
export async function placeOnFiles({ folder, name, slaves, size, device }) {
  const own = path.join(folder, name);
  mkdirSync(own);
  refuseFullDisk(own, (size + LABEL) * (slaves + 1) + 2 * RAW_LOG_LENGTH);
  const images = ['master', ...Array.from({ length: slaves }, (_, i) => `slave${i + 1}`)].map((x) => path.join(own, x));
  const log = path.join(own, 'log');
  const rawLog = path.join(own, 'raw-log');
  await Mirror.create({ log, master: images[0], slaves: images.slice(1), size, assumeIdentical: true, device });
  writeZeroFile(rawLog, RAW_LOG_LENGTH);
  const close = () => rmSync(own, { recursive: true, force: true });
  return { kind: 'files', log, images, size, rawLog: { path: rawLog, position: 0, length: RAW_LOG_LENGTH }, close };
}

/**
 * Block devices, after Mirror.create's own checks. `destroyData` is the consent that create asks for in two words; what
 * it refuses whatever one says (mounted, in use, the same twice) is refused here too.
 */
export async function placeOnDevices({ master, slaves, log, size, device }) {
  const report = await Mirror.create({
    log,
    master,
    slaves,
    ...(size === undefined ? {} : { size }),
    assumeIdentical: true,
    keepData: true,
    overwriteSignature: true,
    device,
  });
  return {
    kind: 'devices',
    log,
    images: [master, ...slaves],
    size: report.size,
    rawLog: rawLogBehind(log, await logUse(log), report.size),
    close: () => undefined,
  };
}

async function logUse(log) {
  const mirror = await Mirror.open(log);
  try {
    return mirror.status().logUse;
  } finally {
    await mirror.close();
  }
}

/** Images that a log has room for where nobody says. */
const MAP_SLOTS = 4;

/** Behind the mirror's own log, on the same device: what logs by hand must not write over it. */
function rawLogBehind(log, { recordCount, recordSize }, size) {
  const used = loadBinding().logLength(recordCount * Math.ceil(recordSize / 4096), size, MAP_SLOTS);
  const position = Math.ceil(used / MiB) * MiB;
  const descriptor = openSync(log, 'r');
  try {
    const probe = Buffer.alloc(1);
    const there = readSync(descriptor, probe, 0, 1, position + RAW_LOG_LENGTH - 1) === 1;
    return there ? { path: log, position, length: RAW_LOG_LENGTH } : null;
  } finally {
    closeSync(descriptor);
  }
}

/** Master, slave and log in RAM: what is left is the cost of the engine. */
export async function placeOnZram({ size, device }) {
  const logLength = loadBinding().logLength(loadBinding().limits.defaultRingRecords, size, MAP_SLOTS);
  const logSize = Math.ceil(logLength / MiB) * MiB + RAW_LOG_LENGTH;
  const devices = [size + LABEL, size + LABEL, logSize].map(addZram);
  const [master, slave, log] = devices.map((one) => one.path);
  const place = await placeOnDevices({ master, slaves: [slave], log, size, device });
  return { ...place, kind: 'zram', close: () => devices.forEach((one) => one.remove()) };
}

const ZRAM_SIZE = 256 * MiB;

/** The places of a run, made when a row first needs them. */
export class Places {
  #settings;
  #say;
  #made = new Map();
  #folder = null;

  constructor(settings, say) {
    this.#settings = settings;
    this.#say = say;
  }

  /** @returns {string | null} why there is no such place */
  missing({ place, slaves }) {
    if (place === 'own') return null;
    if (place === 'zram') return zramMissing();
    const { devices } = this.#settings;
    if (devices && slaves > devices.slaves.length)
      return `it needs ${slaves} slaves, ${devices.slaves.length} are named`;
    return null;
  }

  /** For those who make their own. */
  folder() {
    return (this.#folder ??= makeFolder(this.#settings.directory));
  }

  async get({ place, slaves }) {
    const key = place === 'zram' ? 'zram' : `${slaves} slaves`;
    if (!this.#made.has(key)) {
      // One place at a time: on devices they are the same devices, in memory and on small disks they would add up.
      this.close();
      this.#made.set(key, await this.#make(place, slaves));
    }
    return this.#made.get(key);
  }

  async #make(place, slaves) {
    const { size, device, devices } = this.#settings;
    if (place === 'zram') return placeOnZram({ size: ZRAM_SIZE, device });
    if (devices) {
      const { master, log } = devices;
      this.#say(`Making a mirror of ${master} and ${slaves} slave(s)`);
      return placeOnDevices({ master, slaves: devices.slaves.slice(0, slaves), log, size: size ?? undefined, device });
    }
    const folder = this.folder();
    this.#say(`Making a mirror of ${formatSize(size)} with ${slaves} slave(s) in ${folder}`);
    return placeOnFiles({ folder, name: `${slaves}-slaves`, slaves, size, device });
  }

  close() {
    for (const place of this.#made.values()) place.close();
    this.#made.clear();
  }
}
