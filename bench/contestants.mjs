// Who runs a load: each a process that prints one JSON object
//   { operations, seconds, cpuUser, cpuSystem (microseconds), latencies (histogram pairs), ... }
// counting the requests that completed between the end of a warm-up and that plus `seconds`. Warm-up and counting are
// the same for all.
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { findCommand } from '../scripts/requirements.mjs';
import { buildRawPair } from './build.mjs';
import { dmMissing, mdMissing, stageDm, stageMd } from './kernel_mirrors.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const script = (name) => path.join(here, 'contestants', name);

export function nodeScript(name, options) {
  return { program: process.execPath, args: [script(name), JSON.stringify(options)] };
}

function rawPair(run, images, more = []) {
  const { load, span, settings } = run;
  const flags = [...(load.durable ? ['--durable'] : []), ...(load.sameFill ? ['--same-fill'] : [])];
  const words = {
    seconds: settings.seconds,
    'warm-up': settings.warmUp,
    depth: load.depth,
    block: load.block,
    span,
    pattern: load.pattern,
    'read-percent': load.readPercent,
  };
  const args = Object.entries(words).map(([name, value]) => `--${name}=${value}`);
  return { program: buildRawPair(), args: [...args, ...flags, ...more, ...images] };
}

function theMirror({ load, span, device, place, settings }, more = {}) {
  const { seconds, warmUp, recoveryBudget } = settings;
  return nodeScript('mirror.mjs', { ...load, span, seconds, warmUp, log: place.log, device, recoveryBudget, ...more });
}

function nodeFiles(run, options) {
  const { load, span, settings, place } = run;
  return nodeScript('node_files.mjs', {
    ...load,
    span,
    seconds: settings.seconds,
    warmUp: settings.warmUp,
    images: place.images,
    log: place.rawLog.path,
    logPosition: place.rawLog.position,
    direct: true,
    library: null,
    logging: 'region',
    ...options,
  });
}

/** In a folder of its own (`npm run bench:peers`): node_modules holds exactly what the lock file names. */
const PEERS_FOLDER = path.join(here, '..', 'build', 'bench');

function directIoPath() {
  try {
    return require.resolve('@ronomon/direct-io', { paths: [PEERS_FOLDER, here] });
  } catch {
    return null;
  }
}

const directIo = (options) => ({
  missing: () => (directIoPath() ? null : '@ronomon/direct-io is not installed (`npm run bench:peers` does it)'),
  command: (run) => nodeFiles(run, { library: directIoPath(), ...options }),
});

/**
 * missing(place): why it cannot run here, or null. command(run): run is { load, span, device, place, settings, cadenceMs }.
 * stage(place): what has to be made before each run: { place, undo }.
 */
export const CONTESTANTS = {
  mirror: { title: 'mirror', command: (run) => theMirror(run) },
  mirror_fractured: {
    title: 'mirror, its last slave out',
    missing: ({ images }) => (images.length > 2 ? null : 'it needs two slaves'),
    command: (run) => theMirror(run, { fractured: true }),
  },
  raw_pair: { title: 'raw pair', command: (run) => rawPair(run, run.place.images) },
  raw_pair_flushing: {
    title: "raw pair, flushed at the mirror's cadence",
    command: (run) => rawPair(run, run.place.images, [`--flush-ms=${run.cadenceMs}`]),
  },
  raw_pair_logging: {
    title: 'a durable log write, then the raw pair',
    missing: (place) => (place.rawLog ? null : 'the log device has no room for a second log'),
    command: (run) => {
      const { path: log, position, length } = run.place.rawLog;
      const words = [`--log=${log}`, `--log-position=${position}`, `--log-length=${length}`];
      return rawPair(run, run.place.images, words);
    },
  },
  raw_master: { title: 'one raw image', command: (run) => rawPair(run, run.place.images.slice(0, 1)) },
  fio_pair: {
    title: 'fio, one job per image',
    missing: () => (findCommand('fio') ? null : 'fio is not installed (package fio)'),
    command: (run) => ({
      program: process.execPath,
      args: [script('fio_pair.mjs'), JSON.stringify({ ...run.load, ...timesOf(run), images: run.place.images })],
    }),
  },
  node_files: {
    title: 'fs.promises, O_DIRECT, a log record per MiB',
    missing: needsRawLog,
    command: (run) => nodeFiles(run, {}),
  },
  node_files_each: {
    title: 'fs.promises, O_DIRECT, every write logged',
    missing: needsRawLog,
    command: (run) => nodeFiles(run, { logging: 'each' }),
  },
  node_files_buffered: {
    title: 'fs.promises, page cache, a log record per MiB',
    missing: needsRawLog,
    command: (run) => nodeFiles(run, { direct: false }),
  },
  md_raid1: {
    title: "the kernel's md RAID1, internal bitmap",
    missing: mdMissing,
    stage: stageMd,
    command: (run) => rawPair(run, run.place.images),
  },
  dm_mirror: {
    title: "the kernel's dm-mirror, disk log",
    missing: dmMissing,
    stage: stageDm,
    command: (run) => rawPair(run, run.place.images),
  },
  direct_io: { title: '@ronomon/direct-io, a log record per MiB', ...directIo({}) },
  direct_io_each: { title: '@ronomon/direct-io, every write logged', ...directIo({ logging: 'each' }) },
};

function timesOf({ span, settings }) {
  return { span, seconds: settings.seconds, warmUp: settings.warmUp };
}

function needsRawLog(place) {
  return place.rawLog ? null : 'the log device has no room for a second log';
}

/** @returns {string | null} why this contestant cannot run on that place */
export function missing(name, place, how = {}) {
  return CONTESTANTS[name].missing?.(place, how) ?? null;
}

/** Those that no row of this machine can have, for the report: { name, why }. Looks, and changes nothing. */
export function notHere(kind) {
  const place = { kind, images: ['master', 'slave1', 'slave2'], rawLog: {} };
  return Object.keys(CONTESTANTS)
    .map((name) => ({ name, why: missing(name, place, { mayLoad: false }) }))
    .filter(({ why }) => why !== null);
}

export const titleOf = (name) => CONTESTANTS[name].title;
