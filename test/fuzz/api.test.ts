/**
 * The share of the fuzzing of calls and command lines that every `npm test` runs, and its oracles: what they must see.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { useTemporaryFolder } from '../support/temporary_folder';

interface Write {
  outcome: string;
}
interface ContentModel {
  begin(start: number, length: number, fill: number): Write;
  settle(write: Write, outcome: 'acknowledged' | 'unknown' | 'none'): void;
  tick(): number;
  judge(bytes: Uint8Array, start: number, submitted: number): string | null;
}
const { ContentModel } = require('./model.cjs') as { ContentModel: new (size: number) => ContentModel };

const PATIENCE_MS = 600_000;
const root = path.join(__dirname, '..', '..');
const folder = useTemporaryFolder();

function fuzz(...args: string[]): { status: number | null; output: string } {
  const script = path.join(root, 'scripts', 'fuzz-api.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

test(
  'no call and no command line of the share ends in anything but a right result or a typed error',
  () => {
    const { status, output } = fuzz('--share');
    expect(output).toMatch(/^[1-9]\d* passed, 0 failed, 0 skipped\n$/);
    expect(status).toBe(0);
  },
  PATIENCE_MS,
);

test.each([
  ['an abort', 'process.abort()', 'ended with SIGABRT'],
  ['an error without a code', "return Promise.reject(new Error('no code'))", 'is no typed error'],
  ['a rejection that nobody handles', 'Promise.reject(new Error()); return new Promise(() => {})', 'nobody handles'],
])('%s is a failure, told with its seed and the last calls', (_, body, told) => {
  const library = path.join(folder(), 'library.cjs');
  writeFileSync(library, `exports.ERRORS = {}; exports.Mirror = { create() { ${body}; } };`);
  const { status, output } = fuzz('--replay', '7', '--library', library);
  expect(output).toContain('seed 7: ');
  expect(output).toContain(told);
  expect(output).toMatch(/Its last calls:\n1 create \{ log: .*\n/);
  expect(output).toContain('npm run fuzz:api -- --replay 7');
  expect(status).toBe(1);
});

describe('the oracle of content', () => {
  const model = (): ContentModel => new ContentModel(4096);
  const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

  test('a byte of an acknowledged write is there, and nothing older', () => {
    const one = model();
    const first = one.begin(0, 4, 1);
    one.settle(first, 'acknowledged');
    one.settle(one.begin(2, 4, 2), 'acknowledged');
    expect(one.judge(bytes(1, 1, 2, 2, 2, 2, 0), 0, one.tick())).toBeNull();
    expect(one.judge(bytes(1, 1, 1, 2, 2, 2, 0), 0, one.tick())).toContain('byte 2 is 1');
    expect(one.judge(bytes(1, 1, 2, 2, 2, 0, 0), 0, one.tick())).toContain('byte 5 is 0');
  });

  test('writes that are under way together may land in any order', () => {
    const one = model();
    const [first, second] = [one.begin(0, 2, 1), one.begin(0, 2, 2)];
    one.settle(first, 'acknowledged');
    one.settle(second, 'acknowledged');
    expect(one.judge(bytes(1, 2), 0, one.tick())).toBeNull();
    expect(one.judge(bytes(0, 2), 0, one.tick())).toContain('byte 0 is 0');
  });

  test('of a write that failed anything may be there, of one that was refused nothing', () => {
    const one = model();
    one.settle(one.begin(0, 1, 1), 'unknown');
    expect(one.judge(bytes(0), 0, one.tick())).toBeNull();
    expect(one.judge(bytes(1), 0, one.tick())).toBeNull();
    one.settle(one.begin(0, 1, 2), 'none');
    expect(one.judge(bytes(2), 0, one.tick())).toContain('byte 0 is 2');
  });
});
