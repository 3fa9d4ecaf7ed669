/** Members whose files lost blocks: cut short, punched. Damaged, named, never repaired by making the hole zeroes. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { type BlockmirrorError, Mirror, inspect, recover } from '../../lib/index';
import { MAIN } from '../support/command_line';
import { MIB, MIRROR_SIZE, type Paths, bytesOf, failure, pattern, useMirrors, STRICT } from './support';

const mirrors = useMirrors();

const DAMAGES: readonly [string, (path: string) => void][] = [
  ['punched', (path) => punch(path, 2 * MIB, 8192)],
  ['cut short', (path) => truncateSync(path, 2 * MIB)],
  ['cut short and grown again', (path) => [2 * MIB, MIRROR_SIZE + MIB].forEach((length) => truncateSync(path, length))],
];

function punch(path: string, offset: number, length: number): void {
  execFileSync('fallocate', ['--punch-hole', '--offset', String(offset), '--length', String(length), path]);
}

function byteTwo(path: string): Buffer {
  return bytesOf(path, 2 * MIB, 4096);
}

async function madeAndWritten(slaveCount: number): Promise<Paths> {
  const { mirror, paths } = await mirrors.make({}, slaveCount);
  await mirror.write(pattern(4096, 7), { position: 2 * MIB, dsync: true });
  await mirror.close();
  return paths;
}

/** What the remedy tells to paste, with the command line of this build. */
function paste(error: BlockmirrorError): void {
  const command = /`([^`]+)`/.exec(error.remedy)?.[1];
  if (command === undefined) throw new Error(`no command in: ${error.remedy}`);
  const script = `blockmirror() { '${process.execPath}' '${MAIN}' "$@"; }\n${command}`;
  execFileSync('/bin/sh', ['-ec', script], { stdio: 'pipe' });
}

function expectNoFilling(text: string): void {
  expect(text).not.toMatch(/fallocate|fill/i);
}

describe.each(DAMAGES)('a member that was %s', (_name, damage) => {
  test('is failed when it is a slave: the mirror opens with the others, and the log knows it', async () => {
    const paths = await madeAndWritten(2);
    damage(paths.slaves[0] as string);
    const seen = (await inspect(paths.log)).status.images[1];
    expect(seen).toMatchObject({ state: 'failed', error: { code: 'ERR_BLOCKMIRROR_LOST_ALLOCATION' } });
    expectNoFilling(seen?.error?.message ?? '');
    expect(seen?.error?.message).toContain(paths.slaves[0] as string);

    const mirror = await mirrors.open(paths);
    const status = mirror.status();
    expect(status.images.map((image) => image.state)).toEqual(['synchronized', 'failed', 'synchronized']);
    expect(status.images[1]?.error?.message).toMatch(/its file .*lost blocks that it had/);
    expectNoFilling(status.images[1]?.error?.message ?? '');
    expect(status.generation.counter).toBe(3);
    await mirror.write(pattern(4096, 8), { position: 2 * MIB });
    await mirror.close();

    const later = await inspect(paths.log);
    expect(later.status.images[1]?.state).toBe('failed');
    expect(later.attachable).toBe(true);
    expect((await mirrors.open(paths)).status().images[1]?.state).toBe('failed');
  });

  test('is refused when it is the master, and the remedy makes the mirror anew over what a slave holds', async () => {
    const paths = await madeAndWritten(1);
    damage(paths.master);
    const seen = await inspect(paths.log);
    expect(seen.attachable).toBe(false);
    expect(seen.status.images[0]?.error?.code).toBe('ERR_BLOCKMIRROR_LOST_ALLOCATION');
    const before = readFileSync(paths.log);
    const error = await failure(mirrors.open(paths), 'LOST_ALLOCATION');
    expect(error.image).toBe('master');
    expectNoFilling(error.message);
    expect(readFileSync(paths.log).equals(before)).toBe(true);
    paste(error);
    expect(byteTwo(paths.master).equals(pattern(4096, 7))).toBe(true);
    const mirror = await mirrors.open(paths);
    expect(mirror.status().images.map((image) => image.path)).toEqual([paths.slaves[0], paths.master]);
    const { buffer } = await mirror.read(Buffer.alloc(4096), { position: 2 * MIB });
    expect(buffer.equals(pattern(4096, 7))).toBe(true);
  });

  test('under an open mirror is failed before anything is sealed over it', async () => {
    const { mirror, paths } = await mirrors.make({}, 2);
    await mirror.write(pattern(4096, 7), { position: 2 * MIB });
    damage(paths.slaves[0] as string);
    await mirror.close();
    expect((await inspect(paths.log)).status.images.map((image) => image.state)).toEqual([
      'synchronized',
      'failed',
      'synchronized',
    ]);
  });
});

test('an image that lost blocks is not to be filled where it is named as the master of a new mirror', async () => {
  const paths = await madeAndWritten(1);
  punch(paths.master, 2 * MIB, 8192);
  const create = Mirror.create({ ...paths, size: MIRROR_SIZE, keepData: true, overwriteSignature: true });
  expect((await failure(create, 'HOLE')).remedy).not.toContain('fallocate');
});

test('a master that lost its label with its end is not filled for a create either: the log still knows it', async () => {
  const paths = await madeAndWritten(1);
  [2 * MIB, MIRROR_SIZE + MIB].forEach((length) => truncateSync(paths.master, length));
  const create = Mirror.create({ ...paths, size: MIRROR_SIZE, keepData: true, overwriteSignature: true });
  const { remedy } = await failure(create, 'HOLE');
  expect(remedy).not.toContain('fallocate');
  expect(remedy).toContain(`blockmirror inspect ${paths.log}`);
});

test('recover tells the log of a slave that lost blocks, of a mirror that was closed cleanly too', async () => {
  const paths = await madeAndWritten(2);
  punch(paths.slaves[1] as string, 0, 4096);
  const report = await recover(paths.log);
  expect(report.clean).toBe(true);
  expect(report.slaves.map((slave) => slave.state)).toEqual(['synchronized', 'failed']);
  expect((await inspect(paths.log)).status.generation.counter).toBe(3);
});

test('with its only slave damaged a mirror opens, and goes on with its master', async () => {
  const paths = await madeAndWritten(1);
  punch(paths.slaves[0] as string, 0, 4096);
  const mirror = await mirrors.open(paths);
  await mirror.write(pattern(4096, 8), { position: 0 });
  const { buffer } = await mirror.read(Buffer.alloc(4096), { position: 2 * MIB });
  expect(buffer.equals(pattern(4096, 7))).toBe(true);
});

test('no slave that is damaged itself is named as the one that holds what the master lost', async () => {
  const paths = await madeAndWritten(2);
  punch(paths.master, 0, 4096);
  punch(paths.slaves[0] as string, 0, 4096);
  expect((await failure(mirrors.open(paths), 'LOST_ALLOCATION')).remedy).toMatch(/^slave2 holds/);
  punch(paths.slaves[1] as string, 0, 4096);
  expect((await failure(mirrors.open(paths), 'LOST_ALLOCATION')).remedy).toMatch(/backup/);
});

test('a path that somebody named is no member on its word alone: too short a file is refused, and nobody is failed', async () => {
  const paths = await madeAndWritten(1);
  const other = join(mirrors.folder(), 'other.img');
  closeSync(openSync(other, 'w'));
  truncateSync(other, MIB);
  const error = await failure(mirrors.open(paths, { ...STRICT, images: { slave1: other } }), 'TRUNCATED_IMAGE');
  expect(error.image).toBe('slave1');
  expectNoFilling(error.message);
  expect(statSync(other).size).toBe(MIB);
  expect((await inspect(paths.log)).status.images[1]?.state).toBe('synchronized');
});

test('a log that lost blocks is refused, and the remedy has recovery copy everything', async () => {
  const paths = await madeAndWritten(1);
  const before = statSync(paths.log).size;
  punch(paths.log, 1024 * 1024, 64 * 1024);
  const error = await failure(mirrors.open(paths), 'HOLE');
  expect(error.image).toBe('log');
  paste(error);
  expect(statSync(paths.log).size).toBe(before);
  const mirror = await mirrors.open(paths);
  expect(mirror.status().lastRecovery).toMatchObject({ fullCompare: true });
});
