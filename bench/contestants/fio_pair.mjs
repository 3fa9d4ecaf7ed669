// fio as a second opinion on the raw pair: io_uring, O_DIRECT, one job per image at the same depth, in the shape of the
// other contestants. A write counts when both images have one more: the operations of the slower job. fio does not hold
// the two together, as a mirror must, so this is a bound from above; its latencies are those of the first image.
import { execFileSync } from 'node:child_process';
import { Histogram } from '../histogram.mjs';
import { loadFromArguments } from './load.mjs';

const load = loadFromArguments();

function argumentsOfFio() {
  const pattern = { random: 'randwrite', sequential: 'write', zipf: 'randwrite' }[load.pattern];
  const common = [
    '--output-format=json+',
    '--ioengine=io_uring',
    '--fixedbufs',
    '--registerfiles',
    '--direct=1',
    '--time_based',
    '--norandommap',
    '--randseed=42',
    `--rw=${pattern}`,
    `--bs=${load.block}`,
    `--iodepth=${load.depth}`,
    `--size=${load.span}`,
    `--runtime=${Math.round(load.seconds * 1000)}ms`,
    `--ramp_time=${Math.round(load.warmUp * 1000)}ms`,
    ...(load.pattern === 'zipf' ? ['--random_distribution=zipf:0.99'] : []),
    ...(load.durable ? ['--sync=dsync'] : []),
  ];
  return [...common, ...load.images.flatMap((image, i) => [`--name=image${i}`, `--filename=${image}`])];
}

const { jobs } = JSON.parse(execFileSync('fio', argumentsOfFio(), { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }));
const latencies = new Histogram();
for (const [nanoseconds, count] of Object.entries(jobs[0].write.clat_ns.bins ?? {})) {
  for (let i = 0; i < count; ++i) latencies.record(Number(nanoseconds) / 1e6);
}
const perSecond = Math.min(...jobs.map((job) => job.write.iops));
const seconds = jobs[0].write.runtime / 1000;
const share = (of) => jobs.reduce((sum, job) => sum + (job[of] / 100) * (job.write.runtime / 1000) * 1e6, 0);
process.stdout.write(
  `${JSON.stringify({
    operations: Math.round(perSecond * seconds),
    seconds,
    cpuUser: share('usr_cpu'),
    cpuSystem: share('sys_cpu'),
    latencies: latencies.pairs(),
  })}\n`,
);
