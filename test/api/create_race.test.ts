import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CreateOptions, type CreateReport, Mirror, inspect } from '../../lib/index';
import { createInChild } from '../support/create_child';
import { writeFileInFull } from '../support/temporary_folder';
import { MIB, failure, useMirrors } from './support';

const mirrors = useMirrors();
const SIZE = 2 * MIB;

type Named = CreateOptions & { log: string; master: string; slaves: string[] };

function named(log: string, master: string, ...slaves: string[]): Named {
  const at = (name: string): string => join(mirrors.folder(), name);
  return { log: at(log), master: at(master), slaves: slaves.map(at), size: SIZE, ringRecords: 64 };
}

/** Runs them at once; whoever wins holds its mirror, and whoever loses leaves no trace. */
async function race(creates: readonly Named[]): Promise<CreateReport[]> {
  const outcomes = await Promise.allSettled(creates.map((options) => Mirror.create(options)));
  const won: CreateReport[] = [];
  for (const outcome of outcomes) if (outcome.status === 'fulfilled') won.push(outcome.value);
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') continue;
    expect(outcome.reason.code).toMatch(
      /^ERR_BLOCKMIRROR_(BUSY|SIGNATURE_FOUND|OPEN_FAILED|SAME_DEVICE|STALE_MASTER)$/,
    );
  }
  for (const report of won) {
    const { status, attachable } = await inspect(report.log);
    expect([status.uuid, status.phase, attachable]).toEqual([report.uuid, 'closed', true]);
    const mirror = await Mirror.open(report.log);
    expect((await mirror.verify()).identical).toBe(true);
    await mirror.close();
  }
  return won;
}

const FILES = ['a.img', 'b.img', 'm.log'];

test('of many creates of one mirror at once exactly one wins, and the others leave what it made alone', async () => {
  const won = await race(Array.from({ length: 5 }, () => named('m.log', 'a.img', 'b.img')));
  expect(won).toHaveLength(1);
  expect(readdirSync(mirrors.folder()).sort()).toEqual(FILES);
});

test('so too with the roles exchanged, and over images that exist', async () => {
  for (const name of ['a.img', 'b.img']) writeFileInFull(join(mirrors.folder(), name), SIZE + MIB, 'random');
  const [a, b] = ['a.img', 'b.img'].map((name) => readFileSync(join(mirrors.folder(), name)).subarray(0, SIZE));
  const won = await race(
    [named('m.log', 'a.img', 'b.img'), named('m.log', 'b.img', 'a.img')].map((options) => ({
      ...options,
      overwriteSignature: true,
    })),
  );
  expect(won).toHaveLength(1);
  const kept = won[0]?.images[0]?.path.endsWith('a.img') === true ? a : b;
  for (const name of ['a.img', 'b.img']) {
    expect(
      readFileSync(join(mirrors.folder(), name))
        .subarray(0, SIZE)
        .equals(kept as Buffer),
    ).toBe(true);
  }
});

test('creates that share an image exclude each other, whatever their logs; the loser’s own files are gone', async () => {
  for (let round = 0; round < 5; round += 1) {
    const tag = String(round);
    const won = await race([
      named(`${tag}1.log`, `${tag}a.img`, `${tag}b.img`),
      named(`${tag}2.log`, `${tag}b.img`, `${tag}c.img`),
    ]);
    expect(won).toHaveLength(1);
    const first = won[0]?.log.endsWith('1.log') === true;
    const left = readdirSync(mirrors.folder()).filter((name) => name.startsWith(tag));
    const expected = first ? ['1.log', 'a.img', 'b.img'] : ['2.log', 'b.img', 'c.img'];
    expect(left.sort()).toEqual(expected.map((name) => tag + name));
  }
});

test('in processes of their own, one a little later than the other', async () => {
  for (const delay of [0, 60]) {
    const options = named(`${delay}.log`, `${delay}a.img`, `${delay}b.img`);
    const later = new Promise((resolve) => setTimeout(resolve, delay)).then(() => createInChild(options));
    const outcomes = await Promise.all([createInChild(options), later]);
    const won = outcomes.filter(({ uuid }) => uuid !== undefined);
    expect(won).toHaveLength(1);
    expect((await inspect(options.log)).status.uuid).toBe(won[0]?.uuid);
  }
}, 30_000);

test('a create beside a mirror that is open is refused, and the mirror goes on', async () => {
  const paths = await mirrors.create();
  const mirror = await mirrors.open(paths);
  const consent = { keepData: true, overwriteSignature: true };
  await failure(Mirror.create({ ...paths, ...consent }), 'BUSY');
  // By another log: the images are held too.
  const error = await failure(
    Mirror.create({ ...paths, ...consent, log: join(mirrors.folder(), 'other.log') }),
    'BUSY',
  );
  expect(error.image).toBe('master');
  expect(existsSync(join(mirrors.folder(), 'other.log'))).toBe(false);
  await mirror.write(Buffer.alloc(4096, 'x'), { position: 0, dsync: true });
  await mirror.close();
  expect((await inspect(paths.log)).status).toMatchObject({ phase: 'closed', uuid: mirror.status().uuid });
}, 20_000);

test('a file that another program put in the place of one just made stays, and the create ends', async () => {
  const options = named('m.log', 'a.img', 'b.img');
  const mine = join(mirrors.folder(), 'mine');
  writeFileSync(mine, 'precious');
  let put = false;
  const onProgress = (): void => {
    if (put) return;
    put = true;
    // The master has no name yet: this one takes it.
    renameSync(mine, options.master);
  };
  const error = await failure(Mirror.create({ ...options, onProgress }), 'BUSY');
  expect(error.message).toMatch(/somebody else made this file meanwhile/);
  expect(readFileSync(options.master, 'utf8')).toBe('precious');
  expect(readdirSync(mirrors.folder())).toEqual(['a.img']);
});

test('what is removed after a failure is what was made, not what has its name by then', async () => {
  const options = named('m.log', 'a.img', 'b.img');
  const mine = join(mirrors.folder(), 'mine');
  writeFileSync(mine, 'precious');
  const controller = new AbortController();
  const onProgress = (): void => {
    renameSync(mine, options.log);
    controller.abort(new Error('enough'));
  };
  await expect(Mirror.create({ ...options, onProgress, signal: controller.signal })).rejects.toThrow('enough');
  expect(readFileSync(options.log, 'utf8')).toBe('precious');
  expect(readdirSync(mirrors.folder())).toEqual(['m.log']);
});
