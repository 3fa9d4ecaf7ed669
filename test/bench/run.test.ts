// The benchmark from end to end, as short as it can be: what it measures is worth nothing, that it measures is the test.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless, notRoot } from '../support/skip';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';
import { root } from '../structure/support';
import { type BenchOutcome, runBench } from './support';

const SHORT = ['--rounds=1', '--seconds=0.1', '--warm-up=0.1'];
const folder = useTemporaryFolder();

// The last of two equal options counts.
const run = (...args: string[]): BenchOutcome => runBench([...SHORT, ...args], { TMPDIR: folder() });

test('a row and a crash, in words, in JSON and as a page; its files are gone after it', () => {
  const out = path.join(folder(), 'out');
  const { exitCode, stdout, stderr } = run('--only=hot-32', '--only=recovery', '--size=64MiB', `--out=${out}`);
  expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(stdout).toMatch(/throughput vs\. raw pair/);
  expect(stdout).toContain(path.join(out, 'report.html'));
  const { results, machine } = JSON.parse(readFileSync(path.join(out, 'result.json'), 'utf8'));
  expect(machine.kernel).not.toBe('');
  const [row, crash] = results;
  for (const name of ['mirror', 'raw_pair']) {
    expect(row.contestants[name].throughput.median).toBeGreaterThan(0);
    expect(row.contestants[name].p50.median).toBeGreaterThan(0);
  }
  expect(row.contestants.mirror.rounds[0].counters.writes).toBeGreaterThan(0);
  const [round] = crash.rounds;
  for (const { bytesCovered, raw, opened } of [round.copying, round.comparing]) {
    expect(bytesCovered).toBeGreaterThan(0);
    expect(bytesCovered).toBeLessThanOrEqual(64 * MIB);
    expect(raw.bytes).toBe(bytesCovered);
    expect(opened.recovery.bytesCopied).toBe(bytesCovered);
  }
  expect(readdirSync(folder()).sort()).toEqual(['out']);
});

test('a slave that goes out and comes back: its rows, and what its resync copied', () => {
  const file = path.join(folder(), 'result.json');
  const { exitCode, stdout, stderr } = run(
    '--only=fractured-32-hot',
    '--only=resync',
    '--size=64MiB',
    `--json=${file}`,
  );
  expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(stdout).toMatch(/copied on return vs\. distinct blocks written meanwhile +1\.00 +at most 1\.00 +reached/);
  const [row, resync] = JSON.parse(readFileSync(file, 'utf8')).results;
  expect(row.contestants.mirror_fractured.throughput.median).toBeGreaterThan(0);
  const [{ missed, raw, beside, without }] = resync.rounds;
  expect(missed.bytesWritten).toBeGreaterThan(0);
  expect(raw.bytes).toBe(missed.bytesWritten);
  for (const { operations } of [beside, without]) expect(operations).toBeGreaterThan(0);
});

test('latencies of the native writers fall into the buckets that the report reads', () => {
  const file = path.join(folder(), 'result.json');
  expect(run('--only=cold-1', '--size=64MiB', '--seconds=0.5', `--json=${file}`).exitCode).toBe(0);
  const { results } = JSON.parse(readFileSync(file, 'utf8'));
  const { raw_pair_logging: logging, mirror } = results[0].contestants;
  // At depth 1 the requests fill the time: what one takes, times how many there are in a second, is that second.
  for (const { mean, throughput } of [logging, mirror]) {
    expect((mean.median / 1e6) * throughput.median).toBeGreaterThan(0.6);
    expect((mean.median / 1e6) * throughput.median).toBeLessThan(1.6);
  }
  expect(logging.rounds[0].logRecords).toBeGreaterThanOrEqual(logging.rounds[0].operations);
});

test('a report is made again from figures that were written down', () => {
  const [first, out] = [path.join(folder(), 'first.json'), path.join(folder(), 'out')];
  expect(run('--only=read-32', '--size=64MiB', `--json=${first}`).exitCode).toBe(0);
  const again = run(`--from=${first}`, `--from=${first}`, `--out=${out}`);
  expect(again.exitCode).toBe(0);
  const one = JSON.parse(readFileSync(first, 'utf8'));
  const two = JSON.parse(readFileSync(path.join(out, 'result.json'), 'utf8'));
  expect(two).toEqual({ ...one, results: [...one.results, ...one.results] });
});

describeUnless(noLoopDevices, 'on devices', () => {
  const makeLoopDevice = useLoopDevices();
  const small = (length: number): string => makeLoopDevice(length).path;

  test('everything runs on the devices that are named', () => {
    const [master, slave] = [small(65 * MIB), small(65 * MIB)];
    const log = small(64 * MIB);
    const devices = [`--master=${master}`, `--slave=${slave}`, `--log=${log}`];
    const { exitCode, stdout, stderr } = run('--only=cold-1', '--only=slaves-2-hot', ...devices, '--destroy-data');
    expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(/a durable log write, then the raw pair +1 /);
    expect(stdout).toMatch(/Left out: .*2 slaves: it needs 2 slaves, 1 are named/);
  });

  test('what create refuses is refused: one device twice, and a device that is mounted', () => {
    const [master, slave, log] = [small(65 * MIB), small(65 * MIB), small(64 * MIB)];
    const same = run(`--master=${master}`, `--slave=${master}`, `--log=${log}`, '--destroy-data', '--quick');
    expect(same.exitCode).toBe(1);
    expect(same.stderr).toMatch(/the same device or file was named twice/i);
    execFileSync('mkfs.ext4', ['-q', slave]);
    const at = folder();
    // Read-only, so that the file system itself writes nothing.
    execFileSync('mount', ['-o', 'ro', slave, at]);
    try {
      const before = readFileSync(slave).subarray(0, MIB);
      const mounted = runBench([`--master=${master}`, `--slave=${slave}`, `--log=${log}`, '--destroy-data', '--quick']);
      expect(mounted.exitCode).toBe(1);
      expect(mounted.stderr).toMatch(/is mounted on/);
      expect(readFileSync(slave).subarray(0, MIB).equals(before)).toBe(true);
    } finally {
      execFileSync('umount', [at]);
    }
  });
});

const noZram = notRoot ?? (existsSync('/sys/class/zram-control/hot_add') ? null : 'needs zram');

describeUnless(noZram, 'devices in RAM', () => {
  const zrams = (): string[] => readdirSync('/sys/block').filter((name) => name.startsWith('zram'));

  test.each(['SIGTERM', 'SIGINT'] as const)('are gone when the run is ended by %s under load', async (signal) => {
    const before = zrams();
    const args = [path.join(root, 'bench', 'main.mjs'), '--only=zram-64', '--seconds=60', '--warm-up=0'];
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, TMPDIR: folder() },
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    let said = '';
    await new Promise<void>((resolve) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes('round 1')) resolve();
      });
    });
    expect(zrams().length).toBe(before.length + 3);
    // Its writer has the devices open by now, or is about to: both have to be undone.
    await new Promise((resolve) => setTimeout(resolve, 500));
    child.kill(signal);
    expect(await ended).toBe(signal === 'SIGINT' ? 130 : 143);
    expect(zrams()).toEqual(before);
    expect(readdirSync(folder())).toEqual([]);
  });
});
