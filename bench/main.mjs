// npm run bench: what the mirror costs, as ratios to a raw pair measured in the same run.
//
//   npm run bench                                   files in a temporary folder
//   npm run bench -- --directory /mnt/ssd --size 1GiB --json result.json --quick
//
// Every figure alternates A B A B over the same two images: the raw pair (bench/native/raw_pair.cc: the same writes to
// both images by io_uring and O_DIRECT, no log, no flush) and the mirror through its API, each in a process of its own.
// The ratio of a round is taken within the round; shown are the medians with their spread. Disks drift; ratios less so.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { buildRawPair } from './build.mjs';
import { spread } from './statistics.mjs';

const require = createRequire(import.meta.url);
const Table = require('cli-table3');
const { Mirror, parseSize } = require('../dist/index.js');
const here = path.dirname(fileURLToPath(import.meta.url));

const MiB = 1024 * 1024;
const HOT_SPAN = 32 * MiB; // half of the default recovery budget: a working set that coverage can hold
const BLOCK = 4096;

const { values: options } = parseArgs({
  options: {
    directory: { type: 'string' },
    size: { type: 'string', default: '512MiB' },
    seconds: { type: 'string' },
    rounds: { type: 'string' },
    depth: { type: 'string', multiple: true, default: ['1', '32'] },
    slaves: { type: 'string', default: '1' },
    device: { type: 'string', default: 'io_uring' },
    'recovery-budget': { type: 'string', default: '64MiB' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});

const settings = {
  directory: options.directory ?? os.tmpdir(),
  size: parseSize(options.size),
  seconds: Number(options.seconds ?? (options.quick ? 1 : 3)),
  rounds: Number(options.rounds ?? (options.quick ? 3 : 5)),
  depths: options.depth.map(Number),
  slaves: Number(options.slaves),
  device: options.device,
  recoveryBudget: parseSize(options['recovery-budget']),
};

function machine() {
  const cpu = os.cpus()[0]?.model ?? 'unknown';
  return {
    cpu,
    cores: os.cpus().length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    node: process.version,
    directory: settings.directory,
    disk: diskOf(settings.directory),
  };
}

// The disk under a folder and whether its cache is volatile, by what the kernel says in sysfs.
function diskOf(directory) {
  try {
    const [source] = execFileSync('findmnt', ['-no', 'SOURCE', '--target', directory], { encoding: 'utf8' }).split(
      '\n',
    );
    const name =
      execFileSync('lsblk', ['-ndo', 'PKNAME', source], { encoding: 'utf8' }).trim() || path.basename(source);
    const queue = (file) => readFileSync(`/sys/block/${name}/queue/${file}`, 'utf8').trim();
    return {
      name,
      cache: queue('write_cache'),
      forceUnitAccess: queue('fua') === '1',
      rotational: queue('rotational') === '1',
    };
  } catch {
    return { name: 'unknown' };
  }
}

function child(program, args) {
  return JSON.parse(
    execFileSync(program, args.map(String), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }),
  );
}

function workloads() {
  const all = [];
  for (const depth of settings.depths) {
    all.push({ name: `random write 4 KiB, hot, depth ${depth}`, depth, span: Math.min(HOT_SPAN, settings.size) });
    all.push({ name: `random write 4 KiB, cold, depth ${depth}`, depth, span: settings.size });
  }
  return options.only ? all.filter((workload) => workload.name.includes(options.only)) : all;
}

async function measure(workload, mirror, rawPair) {
  const rounds = [];
  for (let round = 0; round < settings.rounds; ++round) {
    const raw = child(rawPair, [settings.seconds, workload.depth, BLOCK, workload.span, 0, ...mirror.images]);
    const api = child(process.execPath, [
      path.join(here, 'api_writer.mjs'),
      mirror.log,
      settings.seconds,
      workload.depth,
      BLOCK,
      workload.span,
      settings.device,
      settings.recoveryBudget,
    ]);
    rounds.push({ raw, api, ratio: api.operations / api.seconds / (raw.operations / raw.seconds) });
  }
  const of = (pick) => spread(rounds.map(pick));
  return {
    name: workload.name,
    ratio: of((round) => round.ratio),
    rawPerSecond: of((round) => round.raw.operations / round.raw.seconds),
    mirrorPerSecond: of((round) => round.api.operations / round.api.seconds),
    rawP50: of((round) => round.raw.p50_us),
    mirrorP50: of((round) => round.api.p50_us),
    mirrorP99: of((round) => round.api.p99_us),
    cpuPerOperation: of((round) => round.api.cpu_us_per_operation),
    coveredShare: of((round) => round.api.counters.coveredWrites / round.api.counters.writes),
    rounds,
  };
}

function show(results) {
  const table = new Table({
    head: [
      'workload',
      'of the raw pair',
      'mirror /s',
      'raw pair /s',
      'p50 us',
      'raw p50',
      'p99 us',
      'covered',
      'CPU us/op',
    ],
    style: { head: [], border: [] },
    colAligns: ['left', ...Array(8).fill('right')],
  });
  for (const result of results) {
    const { minimum, median, maximum } = result.ratio;
    table.push([
      result.name,
      `${median.toFixed(2)} (${minimum.toFixed(2)}-${maximum.toFixed(2)})`,
      Math.round(result.mirrorPerSecond.median),
      Math.round(result.rawPerSecond.median),
      Math.round(result.mirrorP50.median),
      Math.round(result.rawP50.median),
      Math.round(result.mirrorP99.median),
      `${Math.round(result.coveredShare.median * 100)} %`,
      result.cpuPerOperation.median.toFixed(1),
    ]);
  }
  console.log(table.toString());
}

async function main() {
  const rawPair = buildRawPair();
  const folder = mkdtempSync(path.join(settings.directory, 'blockmirror-bench-'));
  const stop = () => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(130);
  };
  process.once('SIGINT', stop);
  try {
    const images = Array.from({ length: settings.slaves + 1 }, (_, i) =>
      path.join(folder, i === 0 ? 'master' : `slave${i}`),
    );
    const mirror = { log: path.join(folder, 'log'), images };
    console.error(`Creating a mirror of ${options.size} with ${settings.slaves} slave(s) in ${folder} ...`);
    await Mirror.create({
      log: mirror.log,
      master: images[0],
      slaves: images.slice(1),
      size: settings.size,
      assumeIdentical: true,
    });
    const results = [];
    for (const workload of workloads()) {
      console.error(`${workload.name}: ${settings.rounds} rounds of ${settings.seconds} s + ${settings.seconds} s`);
      results.push(await measure(workload, mirror, rawPair));
    }
    const facts = machine();
    console.log(
      `${facts.cpu}, ${facts.cores} cores, Linux ${facts.kernel}, Node ${facts.node}; disk ${facts.disk.name}, ` +
        `cache ${facts.disk.cache ?? 'unknown'}, FUA ${facts.disk.forceUnitAccess ? 'yes' : 'no'}; device ${settings.device}, ` +
        `recovery budget ${options['recovery-budget']}`,
    );
    show(results);
    console.log('Medians of the rounds (and their range). covered: writes that needed no log write.');
    if (options.json)
      writeFileSync(options.json, `${JSON.stringify({ machine: facts, settings, results }, null, 2)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
