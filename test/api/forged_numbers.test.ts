/**
 * Absurd numbers under right checksums, in both copies: every look and every opening refuses them by name, fast, with the
 * exit code of docs, and changes no byte. What no rule forbids (a name that JavaScript's prototypes know) is used.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { inspect, Mirror, recover, verify } from '../../lib/index';
import { runCommand } from '../support/command_line';
import { ENTRY, HEADER, forgeLabel, forgeLog, forgeName, imageEntry } from '../support/forge';
import { MIRROR_SIZE, type Paths, failure, useMirrors, STRICT } from './support';

const mirrors = useMirrors();
const END = 2n ** 64n - 1n;
const put64 = (offset: number, value: bigint) => (log: Buffer) => log.writeBigUInt64LE(value, offset);

/** What is forged, and the words that the error has for it. */
const FORGED: readonly (readonly [string, (superblock: Buffer) => void, string])[] = [
  ['an update number at its end', put64(HEADER.update, END), 'the update number is beyond what a mirror can reach'],
  ['an open count at its end', put64(HEADER.openCount, 2n ** 32n - 1n), 'the open count is used up'],
  ['a generation at its end', put64(128, 2n ** 63n - 1n), 'the generation is beyond what a mirror can reach'],
  ['a sequence at its end', put64(208, 2n ** 63n - 1n), 'the first sequence is beyond what a mirror can reach'],
  ['an opening in the year 36 million', put64(HEADER.ownerOpenedAt, 2n ** 60n), 'the date of the opening is not valid'],
  [
    'a recovery in the year 36 million',
    put64(HEADER.recoveredAt, 2n ** 60n),
    'the date of the last recovery is not valid',
  ],
  ['a verify in the year 36 million', put64(HEADER.verifiedAt, 2n ** 60n), 'the date of the last verify is not valid'],
  [
    'a create that JavaScript has no date for',
    put64(40, 8_640_000_000_000_001n),
    'the date of the create is not valid',
  ],
  [
    'an error that Linux does not have',
    (log) => log.writeUInt32LE(99999, imageEntry(1) + ENTRY.error),
    'the error of an image',
  ],
];

function sums(paths: Paths): string[] {
  return [paths.log, paths.master, ...paths.slaves].map((path) =>
    createHash('sha256').update(readFileSync(path)).digest('hex'),
  );
}

async function refusedByAll(paths: Paths, words: string): Promise<void> {
  const before = sums(paths);
  for (const look of [inspect, recover, verify, (log: string) => Mirror.open(log)]) {
    const error = await failure(look(paths.log), 'LOG_DAMAGED');
    expect(error.message).toContain(words);
    expect(error.message).toContain(': copy A: ');
  }
  expect(sums(paths)).toEqual(before);
}

test.each(FORGED)('%s: refused by name, and nothing is written', async (_what, forge, words) => {
  const paths = await mirrors.create();
  forgeLog(paths.log, forge);
  await refusedByAll(paths, words);
});

test.each(['__proto__', '.', 'a\nNext: rm', '\u001b[2Jx', 'log'])('the name %j is refused', async (name) => {
  const paths = await mirrors.create();
  forgeName(paths.log, 1, name);
  await refusedByAll(paths, 'the name of an image is not valid');
});

test('a label with a number at its end is damaged, and says by what', async () => {
  const paths = await mirrors.create();
  const [slave] = paths.slaves as [string];
  forgeLabel(slave, labelPosition(paths), put64(HEADER.update, END));
  const before = sums(paths);
  const error = await failure(Mirror.open(paths.log, STRICT), 'LABEL_DAMAGED');
  expect(error.message).toContain('the update number is beyond what a mirror can reach');
  expect(sums(paths)).toEqual(before);
});

test('the command line says so and ends with 1, a check with 2', async () => {
  const paths = await mirrors.create();
  forgeLog(paths.log, put64(HEADER.openCount, 2n ** 32n - 1n));
  const before = sums(paths);
  for (const command of ['status', 'recover', 'verify']) {
    const { exitCode, stderr } = await runCommand([command, paths.log]);
    expect({ command, exitCode }).toEqual({ command, exitCode: 1 });
    expect(stderr).toContain('copy A: the open count is used up');
  }
  const looked = await runCommand(['inspect', paths.log]);
  expect(looked.stdout + looked.stderr).toContain('ERR_BLOCKMIRROR_LOG_DAMAGED');
  expect((await runCommand(['status', '--check', paths.log])).exitCode).toBe(2);
  expect(sums(paths)).toEqual(before);
});

test('the last numbers that are allowed open', async () => {
  const paths = await mirrors.create();
  forgeLog(paths.log, (log) => {
    put64(HEADER.update, 2n ** 40n)(log);
    put64(HEADER.ownerOpenedAt, 8_640_000_000_000_000n)(log);
    put64(HEADER.recoveredAt, 8_640_000_000_000_000n)(log);
  });
  const { status } = await inspect(paths.log);
  expect(status.lastRecovery?.finishedAt).toBe('+275760-09-13T00:00:00.000Z');
  const mirror = await mirrors.open(paths);
  expect(mirror.status().size).toBe(MIRROR_SIZE);
});

function labelPosition(paths: Paths): number {
  return Number(readFileSync(paths.log).readBigUInt64LE(imageEntry(1) + ENTRY.labelPosition));
}
