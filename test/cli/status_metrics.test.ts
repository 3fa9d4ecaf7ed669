// What a look from outside exposes: of a mirror that is closed, left unclean, in use; and the file that node_exporter reads.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Ledger } from '../../lib/cli/demo/acknowledgements';
import { FAMILIES } from '../../lib/metrics/families';
import { startChildWriter } from '../support/child_writer';
import { runCommand } from '../support/command_line';
import { breakMirror, createMirrorFiles } from '../support/mirror_files';
import { noPromtool, promtool } from '../support/prometheus_tools';
import { testUnless } from '../support/skip';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();

/** By name and labels without the mirror: values. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const [, name, labels, value] = /^(\w+)\{([^}]*)\} (\S+)$/.exec(line) as unknown as [
        string,
        string,
        string,
        string,
      ];
      const own = labels.split(',').filter((label) => !label.startsWith('mirror='));
      return [own.length === 0 ? name : `${name} ${own.join()}`, Number(value)];
    }),
  );
}

const stateOf = (samples: Map<string, number>, image: string): string | undefined =>
  [...samples].find(
    ([key, value]) => key.startsWith('blockmirror_image_state ') && key.includes(`image="${image}"`) && value === 1,
  )?.[0];

const HOLDERS = FAMILIES.filter(({ knownFrom }) => knownFrom === 'holder').map(({ name }) => name);
const NOT_IN_USE = FAMILIES.filter(({ knownFrom }) => knownFrom === 'log, not in use').map(({ name }) => name);
const holds = (samples: Map<string, number>, names: readonly string[]): string[] =>
  [...samples.keys()].filter((key) => names.some((name) => key.startsWith(name)));

async function metrics(log: string): Promise<{ text: string; samples: Map<string, number> }> {
  const { exitCode, stdout, stderr } = await runCommand(['status', log, '--metrics']);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return { text: stdout, samples: samplesOf(stdout) };
}

test('a mirror that nobody has open: what log and labels say, and nothing that only a holder knows', async () => {
  const { log } = await createMirrorFiles(folder());
  const { samples } = await metrics(log);
  expect(samples.get('blockmirror_phase blockmirror_phase="closed"')).toBe(1);
  expect(samples.get('blockmirror_stopped')).toBe(0);
  expect(samples.get('blockmirror_size_bytes')).toBe(16 * MIB);
  expect(stateOf(samples, 'slave1')).toContain('synchronized');
  expect(samples.get('blockmirror_image_debt_bytes image="slave1"')).toBe(0);
  expect(samples.get('blockmirror_coverage_bytes')).toBe(0);
  expect(samples.get('blockmirror_min_in_sync')).toBe(1);
  expect(holds(samples, HOLDERS)).toEqual([]);
});

test('a mirror whose writer was killed: what it covers, and nothing about whether it had stopped', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  const { samples } = await metrics(files.log);
  expect(samples.get('blockmirror_phase blockmirror_phase="unclean"')).toBe(1);
  expect(samples.get('blockmirror_coverage_bytes')).toBeGreaterThan(0);
  expect(samples.get('blockmirror_uncertain_bytes')).toBe(samples.get('blockmirror_coverage_bytes'));
  expect(samples.has('blockmirror_stopped')).toBe(false);
});

test('a mirror in use elsewhere: nothing that may be different there', async () => {
  const { log } = await createMirrorFiles(folder());
  const writer = startChildWriter({ log, run: 1, device: 'auto' }, new Ledger());
  try {
    await writer.acknowledged(10);
    const { samples } = await metrics(log);
    expect(samples.get('blockmirror_phase blockmirror_phase="held"')).toBe(1);
    expect(samples.get('blockmirror_holder_frozen')).toBe(0);
    expect(holds(samples, [...HOLDERS, ...NOT_IN_USE])).toEqual([]);
    const opened = samples.get('blockmirror_opened_timestamp_seconds') ?? NaN;
    expect(Math.abs(opened - Date.now() / 1000)).toBeLessThan(60);
  } finally {
    await writer.kill();
  }
});

test('an absent image is failed, and the exit code still says that the metrics are true', async () => {
  const { log, slave } = await createMirrorFiles(folder());
  truncateSync(slave, 4096);
  expect(stateOf((await metrics(log)).samples, 'slave1')).toContain('failed');
});

test('no log: no metrics, and the file stays as it was', async () => {
  const file = join(folder(), 'm.prom');
  const gone = join(folder(), 'nowhere.log');
  const before = '# HELP blockmirror_build Words\n';
  writeFileSync(file, before);
  const { exitCode, stdout } = await runCommand(['status', gone, '--metrics-file', file]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
  expect(readFileSync(file, 'utf8')).toBe(before);
});

test('--metrics-file writes the same as --metrics, for others to read, again and again, and leaves nothing else', async () => {
  const { log } = await createMirrorFiles(folder());
  const textfile = join(folder(), 'textfile');
  const file = join(textfile, 'm.prom');
  mkdirSync(textfile);
  for (let round = 0; round < 2; round++) {
    const { exitCode, stdout } = await runCommand(['status', log, '--metrics-file', file]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(file);
  }
  expect(readFileSync(file, 'utf8')).toBe((await metrics(log)).text);
  expect(statSync(file).mode & 0o004).toBe(0o004);
  expect(readdirSync(textfile)).toEqual(['m.prom']);
});

test('--metrics-file replaces nothing that it did not write', async () => {
  const { log, master } = await createMirrorFiles(folder());
  const before = readFileSync(master);
  const link = join(folder(), 'link.prom');
  symlinkSync(master, link);
  for (const file of [master, log, folder(), link]) {
    const { exitCode, stderr } = await runCommand(['status', log, '--metrics-file', file]);
    expect(exitCode).toBe(2);
    expect(stderr.replace(/\s+/g, ' ')).toContain('is no file of metrics');
  }
  expect(readFileSync(master).equals(before)).toBe(true);
  const missing = join(folder(), 'none', 'm.prom');
  expect((await runCommand(['status', log, '--metrics-file', missing])).exitCode).toBe(1);
  expect(existsSync(missing)).toBe(false);
});

test.each([
  ['--metrics', '--json'],
  ['--metrics', '--check'],
  ['--metrics', '--metrics-file=x.prom'],
  ['--metrics-file=x.prom', '--json'],
])('%s and %s together are a mistake', async (one, other) => {
  const { exitCode } = await runCommand(['status', 'm.log', one, other]);
  expect(exitCode).toBe(other === '--check' ? 3 : 2);
});

testUnless(noPromtool, 'promtool finds nothing to complain of', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  expect(promtool(['check', 'metrics'], (await metrics(files.log)).text)).toBe('');
});
