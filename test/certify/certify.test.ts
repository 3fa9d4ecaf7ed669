/**
 * The share of the crash certificate that every `npm test` runs: all mutations, then a fixed piece of the exploring. Nothing
 * here depends on the speed of the machine but how long it takes.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

interface SmallResult {
  configuration: string;
  recoveriesCut: string;
  orders: number;
  newCrashStates: number;
  everyOrder: boolean;
  everySubset: boolean;
}

interface Certificate {
  good: boolean;
  version: string;
  commit: string;
  crashStates: number;
  crashStatesInRecovery: number;
  recoveries: number;
  seeds: number;
  livesCoveredAhead: number;
  regionsCoveredAhead: number;
  writesCoveredAhead: number;
  verifiesReported: number;
  creates: number;
  createCrashStates: number;
  createsAgain: number;
  differencesReported: number;
  cases: Record<string, number>;
  faults: Record<string, number>;
  mutations: {
    tried: number;
    caught: number;
    each: { name: string; caught: boolean; case: string; oracle: string; reason: string }[];
  };
  exhausted: SmallResult[];
  begun: SmallResult[];
  failures: unknown[];
}

// What it takes here, times twenty.
const PATIENCE_MS = 1_800_000;
const root = path.join(__dirname, '..', '..');

function run(program: string, ...args: string[]): { status: number | null; output: string } {
  const result = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 });
  return { status: result.status, output: result.stdout + result.stderr };
}

function certify(...args: string[]): { status: number | null; output: string } {
  return run(process.execPath, path.join(root, 'scripts', 'certify.mjs'), ...args);
}

describe('the crash certificate', () => {
  let certificate: Certificate;
  let text = '';
  let status: number | null;
  let folder = '';

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'blockmirror-certify-'));
    status = certify('--share', '--out', folder).status;
    certificate = JSON.parse(readFileSync(path.join(folder, 'certificate.json'), 'utf8')) as Certificate;
    text = readFileSync(path.join(folder, 'certificate.md'), 'utf8');
  }, PATIENCE_MS);
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test('finds nothing in the engine', () => {
    expect(certificate.failures).toEqual([]);
    expect(certificate.good).toBe(true);
    expect(status).toBe(0);
  });

  test('catches every mutation of the engine, and says by which oracle and how to replay it', () => {
    const missed = certificate.mutations.each.filter((mutation) => !mutation.caught).map((mutation) => mutation.name);
    expect(missed).toEqual([]);
    expect(certificate.mutations.tried).toBeGreaterThanOrEqual(89);
    expect(certificate.mutations.caught).toBe(certificate.mutations.tried);
    for (const mutation of certificate.mutations.each) {
      expect(mutation.oracle).not.toBe('');
      expect(mutation.case).not.toBe('');
    }
  });

  test('meets all four cases of claim 1, crashes in recoveries, and every kind of crash and of fault', () => {
    for (const name of ['slaveAhead', 'neither', 'both', 'masterAhead'])
      expect(certificate.cases[name]).toBeGreaterThan(0);
    expect(certificate.crashStates).toBeGreaterThan(50_000);
    expect(certificate.crashStatesInRecovery).toBeGreaterThan(0);
    expect(certificate.recoveries).toBeGreaterThan(50_000);
    expect(certificate.seeds).toBe(300);
    expect(Object.keys(certificate.faults).filter((name) => certificate.faults[name] === 0)).toEqual([]);
  });

  test('has streams that the log covers ahead, and writes that find themselves covered', () => {
    expect(certificate.livesCoveredAhead).toBeGreaterThan(25);
    expect(certificate.regionsCoveredAhead).toBeGreaterThan(certificate.livesCoveredAhead);
    expect(certificate.writesCoveredAhead).toBeGreaterThan(25);
    expect(certificate.verifiesReported).toBeGreaterThan(certificate.differencesReported);
    expect(certificate.differencesReported).toBeGreaterThan(3);
  });

  test('cuts creates off at every event, gives each of their requests a fault, and runs them again', () => {
    expect(certificate.creates).toBeGreaterThan(200);
    expect(certificate.createCrashStates).toBeGreaterThan(2_000);
    expect(certificate.createsAgain).toBeGreaterThan(200);
  });

  test('exhausts the smallest configurations, in every order and with every subset of sectors', () => {
    expect(certificate.begun).toEqual([]);
    expect(certificate.exhausted.map(({ configuration }) => configuration)).toEqual([
      expect.stringContaining('1 slave, 2 writes'),
      expect.stringContaining('2 slaves, 2 writes'),
      expect.stringContaining('1 slave, 3 writes'),
      expect.stringContaining('2 slaves, 3 writes'),
      expect.stringContaining('1 slave, a stream that is covered ahead'),
    ]);
    for (const small of certificate.exhausted) expect(small).toMatchObject({ everyOrder: true, everySubset: true });
  });

  test('no header asks for a mutation: the two builds share all objects but those of the core', () => {
    const core = path.join(root, 'native', 'core');
    const headers = readdirSync(core, { recursive: true, encoding: 'utf8' }).filter(
      (file) => file.endsWith('.h') && path.basename(file) !== 'mutation.h',
    );
    expect(headers.length).toBeGreaterThan(10);
    expect(headers.filter((file) => readFileSync(path.join(core, file), 'utf8').includes('mutat'))).toEqual([]);
  });

  test('is told to people with the same figures', () => {
    expect(text).toContain(`${certificate.crashStates.toLocaleString('en-US')} distinct states of the disks`);
    expect(text).toContain(`The engine of commit ${certificate.commit} `);
    expect(text).toContain('**Good**');
  });

  test(
    'replays what it found, with its history',
    () => {
      const caught = certificate.mutations.each.find((mutation) => mutation.name === 'data_before_intent');
      const replayed = certify('--replay', caught?.case ?? '', '--mutation', 'data_before_intent');
      expect(replayed.status).toBe(1);
      expect(replayed.output).toContain(`${caught?.oracle}: ${caught?.reason}`);
      expect(replayed.output).toContain('is submitted');
    },
    PATIENCE_MS,
  );

  test(
    'shrinks a failure to the write and the fault that it needs, in plain words',
    () => {
      const program = path.join(root, 'build', 'native', 'certify_mutated');
      const mutation = ['--mutation', 'retire_after_failed_flush'];
      const { status: code, output } = run(program, ...mutation, '--small', '0', '--seed', '2', '--seeds', '100');
      expect(code).toBe(1);
      const plan = /## Failures[^]*?```\n([^]*?)---\n/.exec(output)?.[1] ?? '';
      expect(plan.match(/write|discard/g)?.length).toBeLessThanOrEqual(2);
      expect(plan.match(/fault: /g)).toHaveLength(1);
    },
    PATIENCE_MS,
  );

  test(
    'replays a case of the engine as it ships, and finds nothing',
    () => {
      const replayed = certify('--replay', '1');
      expect(replayed.output).toContain('nothing was found');
      expect(replayed.status).toBe(0);
    },
    PATIENCE_MS,
  );
});
