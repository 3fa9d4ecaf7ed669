/**
 * A remedy is a command that can be pasted: each is produced by the situation it is for, taken from between its
 * backticks, and run by a shell. Then the mirror must be whole, and hold what it held. All paths hold blanks and quotes.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Mirror, type Problem, inspect, verify } from '../../lib/index';
import { BlockmirrorError } from '../../lib/base/errors';
import { type MirrorFacts, recreate, remedyOf, remedyOfPath } from '../../lib/base/remedies';
import { shellPath, shellQuote } from '../../lib/base/shell';
import { shownLine } from '../../lib/base/shown';
import { commandsOf, operatorShell } from '../support/pasted_command';
import { MIB, MIRROR_SIZE, type Paths, bytesOf, failure, overwrite, pattern, useMirrors, STRICT } from './support';

const mirrors = useMirrors();
const CONTENT = pattern(64 * 1024, 7);

const { run: shell, runs } = operatorShell(() => mirrors.folder());

/** A mirror with something in it, in a folder whose name a shell would take apart. */
async function madeMirror(slaveCount = 2): Promise<Paths> {
  const folder = join(mirrors.folder(), `it's a "mirror" $HOME; *`);
  mkdirSync(folder);
  const slaves = Array.from({ length: slaveCount }, (_, index) => join(folder, `slave ${index + 1}.img`));
  const paths = { log: join(folder, 'the log'), master: join(folder, 'the master.img'), slaves };
  await Mirror.create({ ...paths, size: MIRROR_SIZE, ringRecords: 64, readBack: false });
  const mirror = await Mirror.open(paths.log);
  await mirror.write(CONTENT, { position: MIB });
  await mirror.close();
  return paths;
}

async function isWholeWithContent(log: string, slaveCount = 2): Promise<void> {
  const { status, attachable } = await inspect(log);
  expect(attachable).toBe(true);
  expect(status.images.map(({ state }) => state)).toEqual(Array(slaveCount + 1).fill('synchronized'));
  expect((await verify(log)).identical).toBe(true);
  for (const { path } of status.images) expect(bytesOf(path, MIB, CONTENT.length).equals(CONTENT)).toBe(true);
}

async function problemOf(log: string, image: number): Promise<Problem> {
  return (await inspect(log)).status.images[image]?.error as Problem;
}

describe('a slave that is lost is copied again', () => {
  const first = ({ slaves }: Paths): string => slaves[0] as string;
  const losses: [string, string, (paths: Paths) => unknown][] = [
    [
      'its label',
      'LABEL_DAMAGED',
      (paths) =>
        [0, MIB / 2].forEach((copy) => overwrite(first(paths), MIRROR_SIZE + copy + 512, Buffer.alloc(512, 1))),
    ],
    ['its end', 'LOST_ALLOCATION', (paths) => truncateSync(first(paths), 4 * MIB)],
    [
      'its allocation',
      'LOST_ALLOCATION',
      (paths) => spawnSync('fallocate', ['-p', '-o', '1MiB', '-l', '64KiB', first(paths)]),
    ],
    ['its file', 'IMAGE_MISSING', (paths) => rmSync(first(paths))],
  ];
  test.each(losses)('%s: %s', async (_what, code, spoil) => {
    const paths = await madeMirror();
    spoil(paths);
    const problem = await problemOf(paths.log, 1);
    expect(problem.code).toBe(`ERR_BLOCKMIRROR_${code}`);
    const [command, ...others] = commandsOf(problem.message);
    expect(others).toEqual([]);
    runs(command as string);
    await isWholeWithContent(paths.log);
  });

  test('an older copy was put back: STALE_IMAGE', async () => {
    const paths = await madeMirror();
    const older = join(mirrors.folder(), 'older');
    copyFileSync(first(paths), older);
    const mirror = await Mirror.open(paths.log);
    await mirror.write(CONTENT, { position: 3 * MIB });
    await mirror.close();
    copyFileSync(older, first(paths));
    const error = await failure(Mirror.open(paths.log, STRICT), 'STALE_IMAGE');
    const [command, ...others] = commandsOf(error.remedy);
    expect(others).toEqual([]);
    runs(command as string);
    await isWholeWithContent(paths.log);
    expect(bytesOf(first(paths), 3 * MIB, CONTENT.length).equals(CONTENT)).toBe(true);
  });
});

test('an older log was put back: STALE_LOG', async () => {
  const paths = await madeMirror();
  const older = readFileSync(paths.log);
  const mirror = await Mirror.open(paths.log);
  await mirror.write(CONTENT, { position: 3 * MIB });
  await mirror.close();
  writeFileSync(paths.log, older);
  const error = await failure(Mirror.open(paths.log), 'STALE_LOG');
  runs(commandsOf(error.remedy)[0] as string);
  await isWholeWithContent(paths.log);
  expect(bytesOf(paths.master, 3 * MIB, CONTENT.length).equals(CONTENT)).toBe(true);
});

test('images that were exchanged are named by what they are, and the command finds them', async () => {
  const paths = await madeMirror();
  const [one, two] = paths.slaves as [string, string];
  const aside = `${one}.aside`;
  renameSync(one, aside);
  renameSync(two, one);
  renameSync(aside, two);
  const error = await failure(Mirror.open(paths.log, STRICT), 'SWAPPED_IMAGES');
  expect(error.message).toContain(`it is slave 'slave2' of mirror`);
  const [command] = commandsOf(error.remedy);
  runs(command as string);
});

test('an image named for a log says what it is, and where its log is', async () => {
  const paths = await madeMirror();
  for (const look of [inspect, (path: string) => Mirror.open(path)]) {
    const error = await failure(look(paths.slaves[0] as string), 'NOT_A_LOG');
    expect(error.message).toMatch(/it is slave 'slave1' of mirror [0-9a-f-]{36} \(in sync, generation 2, opening 2/);
    const [command] = commandsOf(error.remedy);
    expect(command).toContain('status');
    runs(command as string);
  }
});

test('a create that was interrupted: its remedy makes the mirror, and keeps what the master holds', async () => {
  const paths = await madeMirror();
  const signal = AbortSignal.abort(new Error('stop'));
  const abort = new AbortController();
  await expect(
    Mirror.create({
      ...paths,
      size: MIRROR_SIZE,
      keepData: true,
      overwriteSignature: true,
      signal: abort.signal,
      onProgress: ({ step }) => {
        if (step === 'copy') abort.abort(signal.reason);
      },
    }),
  ).rejects.toThrow('stop');
  const error = await failure(Mirror.open(paths.log), 'CREATE_UNFINISHED');
  runs(commandsOf(error.remedy)[0] as string);
  await isWholeWithContent(paths.log);
});

test('a file with holes that is to become an image is written in full by its remedy', async () => {
  const path = join(mirrors.folder(), "it's sparse.img");
  writeFileSync(path, '');
  truncateSync(path, 9 * MIB);
  const log = join(mirrors.folder(), 'a log');
  const create = (): Promise<unknown> =>
    Mirror.create({ log, master: path, slaves: [join(mirrors.folder(), 'b.img')], size: MIRROR_SIZE, readBack: false });
  const error = await failure(create(), 'HOLE');
  expect(commandsOf(error.remedy)).toHaveLength(1);
  runs(commandsOf(error.remedy)[0] as string);
  await create();
});

test('a master that is not there is never made anew by a remedy that keeps data', async () => {
  const paths = await madeMirror();
  const before = readFileSync(paths.slaves[0] as string);
  const { status } = await inspect(paths.log);
  rmSync(paths.master);
  const anew = recreate({ log: paths.log, size: status.size, images: status.images });
  expect(shell(anew).status).not.toBe(0);
  expect(readFileSync(paths.slaves[0] as string).equals(before)).toBe(true);
});

test('a master that is lost: a slave in sync takes its place', async () => {
  const paths = await madeMirror();
  const mirror: MirrorFacts = { log: paths.log, size: MIRROR_SIZE, images: (await inspect(paths.log)).status.images };
  rmSync(paths.master);
  runs(recreate(mirror, 'slave1'));
  await isWholeWithContent(paths.log);
});

test('every remedy of a mirror that is known is free of words that stand for something else', () => {
  const mirror: MirrorFacts = {
    log: '/l o g',
    size: MIRROR_SIZE,
    images: [
      { name: 'master', path: '/m' },
      { name: 'slave1', path: '/s' },
    ],
  };
  const names = Object.keys(jest.requireActual<typeof import('../../lib/base/errors')>('../../lib/base/errors').ERRORS);
  for (const name of names as Parameters<typeof remedyOf>[0][]) {
    for (const image of [-2, -1, 0, 1]) {
      const texts = [remedyOf(name, { mirror, image }) ?? '', remedyOfPath(name, '/p a', 0) ?? ''];
      texts.push(new BlockmirrorError(name, { path: '/p a' }).remedy);
      for (const command of texts.flatMap(commandsOf)) {
        expect(command).not.toMatch(/\b(LOG|PATH|FILE|SIZE|NAME|DEVICE)\b|…/);
      }
    }
  }
});

test('the command that wipes a master wipes that one alone, whatever its name', async () => {
  const path = join(mirrors.folder(), 'a b.img');
  const bystander = join(mirrors.folder(), 'a');
  for (const file of [path, bystander]) {
    writeFileSync(file, Buffer.alloc(9 * MIB));
    spawnSync('mkfs.ext4', ['-q', '-F', '-E', 'nodiscard', file]);
  }
  const before = readFileSync(bystander);
  const create = { log: join(mirrors.folder(), 'log'), master: path, slaves: [join(mirrors.folder(), 'c')] };
  const error = await failure(Mirror.create({ ...create, size: MIRROR_SIZE }), 'SIGNATURE_FOUND');
  const wipe = commandsOf(error.remedy).find((command) => command.startsWith('wipefs'));
  expect(wipe).toContain(shellPath(path));
  runs(wipe as string);
  expect(readFileSync(bystander).equals(before)).toBe(true);
});

test('over an image of a mirror wipefs is not offered: it would leave the mark', async () => {
  const { mirror, paths } = await mirrors.make();
  await mirror.close();
  const error = await failure(
    Mirror.create({ log: `${paths.log}.2`, master: paths.master, slaves: paths.slaves, size: MIRROR_SIZE }),
    'SIGNATURE_FOUND',
  );
  expect(error.remedy).toContain('--keep-data');
  expect(error.remedy).not.toContain('wipefs');
});

test('limits are told by name', () => {
  const named = [11, 12, 23, 24].map((systemError) => new BlockmirrorError('NO_MEMORY', { systemError }).remedy);
  expect(named.map((remedy) => /RLIMIT_\w+|fs\.file-max/.exec(remedy)?.[0])).toEqual([
    'RLIMIT_NPROC',
    'RLIMIT_MEMLOCK',
    'fs.file-max',
    'RLIMIT_NOFILE',
  ]);
});

test('a word for a shell is one word, whatever it holds; and nothing in it reaches the terminal', () => {
  const words = [
    'plain',
    'a b',
    `it's`,
    '$HOME `id` "x" *',
    '\u001b[2Jgone',
    'two\nlines',
    'ends\n\n',
    '`curl evil | sh`',
    "'\u001b\\'",
    '\u{e0001}\u200b1',
    '=ls',
    '',
    'ümläut',
    '-rf',
    '%s\\n',
  ];
  for (const word of words) {
    const quoted = shellQuote(word);
    expect(shownLine(quoted)).toBe(quoted);
    expect(quoted).not.toContain('`');
    const { stdout } = spawnSync('bash', ['-c', `printf '%s' ${quoted}`], { encoding: 'utf8' });
    expect(stdout).toBe(word);
  }
  expect(shellPath('-rf')).toBe('./-rf');
});

test('what is on a disk cannot write on a terminal by way of a message', () => {
  const error = new BlockmirrorError('IMAGE_MISSING', {
    image: 's\u001b[2J',
    path: '/dev/\u001b[31mx',
    detail: '\u0007',
  });
  expect(shownLine(error.message)).toBe(error.message);
  expect(error.message).toContain('\\x1b[31m');
});

test('a slave that was used apart from its mirror: DIVERGED', async () => {
  const paths = await madeMirror();
  const names = [paths.log, paths.master, ...paths.slaves];
  const apart = names.map((path) => ({ path, copy: readFileSync(path) }));
  const writeTo = async (position: number): Promise<void> => {
    const mirror = await Mirror.open(paths.log);
    await mirror.write(CONTENT, { position });
    await mirror.close();
  };
  await writeTo(3 * MIB);
  const used = apart.map(({ path, copy }) => {
    const now = readFileSync(path);
    writeFileSync(path, copy);
    return now;
  });
  await writeTo(4 * MIB);
  writeFileSync(paths.slaves[0] as string, used[2] as Buffer);
  const error = await failure(Mirror.open(paths.log), 'DIVERGED');
  const [command, ...others] = commandsOf(error.remedy);
  expect(others).toEqual([]);
  runs(command as string);
  await isWholeWithContent(paths.log);
  expect(bytesOf(paths.slaves[0] as string, 4 * MIB, CONTENT.length).equals(CONTENT)).toBe(true);
});

test('a master that lost its label is put aside, and a slave in sync takes its place', async () => {
  const paths = await madeMirror();
  overwrite(paths.master, MIRROR_SIZE, Buffer.alloc(MIB));
  const error = await failure(Mirror.open(paths.log), 'NO_LABEL');
  const [command, ...others] = commandsOf(error.remedy);
  expect(others).toEqual([]);
  const { output } = shell(command as string);
  const anew = output.split('\n').find((line) => line.includes('blockmirror create'));
  runs(anew as string);
  await isWholeWithContent(paths.log);
  expect(bytesOf(`${paths.master}.damaged`, MIB, CONTENT.length).equals(CONTENT)).toBe(true);
});

test('create over parts of a mirror says which, and at once all that it will ask for', async () => {
  const paths = await madeMirror();
  const error = await failure(Mirror.create({ ...paths, size: MIRROR_SIZE }), 'SIGNATURE_FOUND');
  expect(error.image).toBe('log');
  expect(error.message).toMatch(
    /it is the log of mirror [0-9a-f-]{36}: master 'master' at .*generation 2, last opened 20/,
  );
  expect(error.remedy).toMatch(/master holds data too \(`--keep-data`.*slave1 holds data too.*slave2 holds data too/);
  const slave = await failure(
    Mirror.create({ ...paths, log: `${paths.log} too`, size: MIRROR_SIZE, keepData: true }),
    'SIGNATURE_FOUND',
  );
  expect(slave.message).toMatch(/it is slave 'slave1' of mirror .*generation 2, opening 2.*whose log is /);
});
