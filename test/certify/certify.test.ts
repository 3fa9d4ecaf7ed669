/** The share of the crash certificate that every `npm test` runs: all mutations, then a fixed time of exploring. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

interface Certificate {
  good: boolean;
  version: string;
  commit: string;
  crashStates: number;
  crashStatesInRecovery: number;
  recoveries: number;
  seeds: number;
  cases: Record<string, number>;
  faults: Record<string, number>;
  mutations: {
    tried: number;
    caught: number;
    each: { name: string; caught: boolean; case: string; oracle: string; reason: string }[];
  };
  exhausted: { configuration: string; everyOrder: boolean; everySubset: boolean }[];
  failures: unknown[];
}

const SECONDS = 60;
const root = path.join(__dirname, '..', '..');

function certify(...args: string[]): { status: number | null; output: string } {
  const result = spawnSync(process.execPath, [path.join(root, 'scripts', 'certify.mjs'), ...args], {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  return { status: result.status, output: result.stdout + result.stderr };
}

describe('the crash certificate', () => {
  let certificate: Certificate;
  let run: { status: number | null; output: string };

  let folder = '';

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'blockmirror-certify-'));
    run = certify('--seconds', String(SECONDS), '--out', folder);
    certificate = JSON.parse(readFileSync(path.join(folder, 'certificate.json'), 'utf8')) as Certificate;
  }, 900_000);
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test('finds nothing in the engine', () => {
    expect(certificate.failures).toEqual([]);
    expect(certificate.good).toBe(true);
    expect(run.status).toBe(0);
  });

  test('catches every mutation of the engine, and says by which oracle and how to replay it', () => {
    const missed = certificate.mutations.each.filter((mutation) => !mutation.caught).map((mutation) => mutation.name);
    expect(missed).toEqual([]);
    expect(certificate.mutations.tried).toBeGreaterThanOrEqual(20);
    for (const mutation of certificate.mutations.each) {
      expect(mutation.oracle).not.toBe('');
      expect(mutation.case).not.toBe('');
    }
  });

  test('meets all four cases of claim 1, crashes in recoveries, and states of every kind of crash', () => {
    for (const name of ['slaveAhead', 'neither', 'both', 'masterAhead'])
      expect(certificate.cases[name]).toBeGreaterThan(0);
    expect(certificate.crashStates).toBeGreaterThan(10_000);
    expect(certificate.crashStatesInRecovery).toBeGreaterThan(0);
    for (const name of ['powerLoss', 'processDeath', 'tornWrite', 'lateLanding', 'cacheLostUnseen']) {
      expect(certificate.faults[name]).toBeGreaterThan(0);
    }
  });

  test('exhausts the smallest configuration, in every order and with every subset of sectors', () => {
    expect(certificate.exhausted[0]).toMatchObject({ everyOrder: true, everySubset: true });
  });

  test('replays what it found, with its history', () => {
    const caught = certificate.mutations.each.find((mutation) => mutation.name === 'data_before_intent');
    const replayed = certify('--replay', caught?.case ?? '', '--mutation', 'data_before_intent');
    expect(replayed.status).toBe(1);
    expect(replayed.output).toContain(`${caught?.oracle}: ${caught?.reason}`);
    expect(replayed.output).toContain('is submitted');
  });

  test('shrinks a failure to the write and the fault that it needs, in plain words', () => {
    const program = path.join(root, 'build', 'native', 'certify_mutated');
    const args = ['--mutation', 'retire_while_slave_missed', '--seconds', '30'];
    const { status, stdout } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 });
    expect(status).toBe(1);
    const plan = /## Failures[^]*?```\n([^]*?)---\n/.exec(stdout)?.[1] ?? '';
    expect(plan.match(/write|discard/g)?.length).toBeLessThanOrEqual(2);
    expect(plan.match(/fault: /g)).toHaveLength(1);
  });

  test('replays a case of the engine as it ships, and finds nothing', () => {
    const replayed = certify('--replay', '1');
    expect(replayed.output).toContain('nothing was found');
    expect(replayed.status).toBe(0);
  });
});
