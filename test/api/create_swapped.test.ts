/**
 * Another user owns the folder in which root makes a mirror, and swaps what is in it, as himself, at a moment that is
 * forced: before or after any command of the engine. Root was told to trust the folder, or would not go there at all.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { BlockmirrorError, Mirror, inspect } from '../../lib/index';
import { Engine } from '../../lib/io/engine';
import { describeUnless, notRoot } from '../support/skip';
import { writeFileInFull } from '../support/temporary_folder';
import { MIB, NOBODY, failure, useMirrors } from './support';

const mirrors = useMirrors();
const { at } = mirrors;

const SECRET_MARK = 'TOP SECRET OF ROOT';
let secret = '';
let secretHash = '';

const hashOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

beforeEach(() => {
  mkdirSync(at('private'), 0o700);
  secret = writeFileInFull(at('private', 'secret'), 24 * MIB, 'random');
  const bytes = readFileSync(secret);
  for (let position = 0; position < bytes.length; position += 4096) bytes.write(SECRET_MARK, position, 'latin1');
  writeFileSync(secret, bytes);
  secretHash = hashOf(secret);
});
afterEach(() => jest.restoreAllMocks());

/** A folder of nobody's, empty. */
function foreignFolder(name: string): string {
  const folder = at(name);
  mkdirSync(folder);
  chownSync(folder, NOBODY, NOBODY);
  return folder;
}

/** What the other user does, with no right but his own. */
function asNobody(folder: string, script: string): void {
  const identity = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
  const { status, stderr } = spawnSync('setpriv', [...identity, 'sh', '-ec', script], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the attack itself failed: ${stderr}`);
}

const swapForLink = (folder: string, name: string, target = secret): void =>
  asNobody(folder, `ln -s ${target} .x && mv -fT .x ${name}`);

/** Runs the work; `reach` is told each moment before and after a command of the engine. */
async function withGate<T>(reach: (moment: string) => void, work: () => Promise<T>): Promise<T> {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the engine's own `this` below
  const command = Engine.prototype.command;
  const gated = async function (this: Engine, ...call: Parameters<typeof command>): Promise<unknown> {
    reach(`before ${call[0]}`);
    const result: unknown = await command.apply(this, call);
    reach(`after ${call[0]}`);
    return result;
  };
  jest.spyOn(Engine.prototype, 'command').mockImplementation(gated as typeof command);
  try {
    return await work();
  } finally {
    jest.restoreAllMocks();
  }
}

interface Made {
  log: string;
  master: string;
  slaves: string[];
}

const pathsIn = (folder: string): Made => ({
  log: join(folder, 'mirror.log'),
  master: join(folder, 'master.img'),
  slaves: [join(folder, 'slave.img')],
});

const options = { size: MIB, ringRecords: 64, trustFolders: true };

describeUnless(notRoot, 'what another user swaps', () => {
  const MOMENTS = [
    ...[
      'before openLog',
      'after openLog',
      'before openImages',
      'after openImages',
      'before planFormat',
      'after planFormat',
    ],
    ...['after linkLog', 'before fillImage', 'after fillImage', 'after linkImages', 'before format', 'after format'],
    ...['before resync', 'after resync', 'before endRecovery', 'before close'],
  ];

  test('the moments are those of a create', async () => {
    const seen = new Set<string>();
    await withGate(
      (moment) => seen.add(moment),
      () => Mirror.create({ ...pathsIn(foreignFolder('theirs')), ...options }),
    );
    expect(MOMENTS.filter((moment) => !seen.has(moment))).toEqual([]);
  });

  test.each(
    ['mirror.log', 'master.img', 'slave.img'].flatMap((victim) =>
      [true, false].map((empty) => [victim, empty] as const),
    ),
  )(
    '%s for a link to a file of root, at any moment of a create (an empty file before: %s): it is neither read nor written',
    async (victim, empty) => {
      for (const [round, wanted] of MOMENTS.entries()) {
        const folder = foreignFolder(`theirs${round}`);
        if (empty) asNobody(folder, `: > ${victim}`);
        let swapped = false;
        const work = (): Promise<unknown> => Mirror.create({ ...pathsIn(folder), ...options });
        const outcome = await withGate((moment) => {
          if (moment !== wanted || swapped) return;
          swapped = true;
          swapForLink(folder, victim);
        }, work).catch((error: unknown) => error);
        expect([wanted, swapped]).toEqual([wanted, true]);
        if (outcome instanceof Error && !(outcome instanceof BlockmirrorError)) throw outcome;
        expect([wanted, hashOf(secret)]).toEqual([wanted, secretHash]);
        for (const name of readdirSync(folder)) {
          if (name === victim) continue;
          expect([wanted, name, readFileSync(join(folder, name)).includes(SECRET_MARK)]).toEqual([wanted, name, false]);
        }
        rmSync(folder, { recursive: true });
      }
    },
    240_000,
  );

  test.each(['mirror.log', 'master.img', 'slave.img'])(
    '%s while the master is copied: there is no mirror, and create says what is not there any more',
    async (victim) => {
      const folder = foreignFolder('theirs');
      const create = (): Promise<unknown> => Mirror.create({ ...pathsIn(folder), ...options });
      const swap = (moment: string): void => {
        if (moment === 'after resync') asNobody(folder, `mv ${victim} elsewhere && : > ${victim}`);
      };
      const error = await failure(withGate(swap, create), 'OPEN_FAILED');
      expect([error.path, error.message]).toEqual([
        join(folder, victim),
        expect.stringMatching(/another file was put/),
      ]);
      const log = join(folder, victim === 'mirror.log' ? 'elsewhere' : 'mirror.log');
      expect((await inspect(log, { trustFolders: true })).status.phase).toBe('creating');
    },
  );

  test('an image for a link, between the look and the opening of a mirror that needs all: it is refused by name', async () => {
    const folder = foreignFolder('theirs');
    const { log } = await Mirror.create({ ...pathsIn(folder), ...options });
    const open = (): Promise<Mirror> => Mirror.open(log, { trustFolders: true, requireAll: true });
    const swap = (moment: string): void => {
      if (moment === 'before openImages') swapForLink(folder, 'slave.img');
    };
    const error = await failure(withGate(swap, open), 'OPEN_FAILED');
    expect([error.image, error.path]).toEqual(['slave1', join(folder, 'slave.img')]);
    expect(error.message).toMatch(/symbolic link/);
    expect(hashOf(secret)).toBe(secretHash);
  });

  test('the folder, while a create fails: its files are removed where they were made, and nothing elsewhere', async () => {
    const parent = foreignFolder('parent');
    asNobody(parent, 'mkdir images');
    const paths = pathsIn(join(parent, 'images'));
    const names = ['mirror.log', 'master.img', 'slave.img'];
    for (const name of names) writeFileSync(at('private', name), `precious ${name}`);
    const swapAndFail = (moment: string): void => {
      if (moment !== 'after linkImages') return;
      asNobody(parent, `mv images moved && ln -s ${at('private')} images`);
      throw new Error('enough');
    };
    await expect(withGate(swapAndFail, () => Mirror.create({ ...paths, ...options }))).rejects.toThrow('enough');
    for (const name of names) expect(readFileSync(at('private', name), 'utf8')).toBe(`precious ${name}`);
    expect(readdirSync(join(parent, 'moved'))).toEqual([]);
  });

  test('the folder, before the files have their names: they get them where they were made', async () => {
    const parent = foreignFolder('parent');
    asNobody(parent, 'mkdir images');
    const swap = (moment: string): void => {
      if (moment === 'before linkLog') asNobody(parent, `mv images moved && ln -s ${at('private')} images`);
    };
    const work = (): Promise<unknown> => Mirror.create({ ...pathsIn(join(parent, 'images')), ...options });
    await withGate(swap, work).catch(() => undefined);
    expect(readdirSync(at('private'))).toEqual(['secret']);
  });
});

describeUnless(notRoot, 'a link that was planted', () => {
  test('as a slave is refused by name, with whose it is and where it leads, and nothing else is made', async () => {
    const folder = foreignFolder('theirs');
    swapForLink(folder, 'slave.img');
    const consent = { keepData: true, overwriteSignature: true };
    const error = await failure(
      Mirror.create({ ...pathsIn(folder), ...options, ...consent, keepData: false }),
      'OPEN_FAILED',
    );
    expect(error.image).toBe('slave1');
    expect(error.message).toContain(
      `${join(folder, 'slave.img')} is a symbolic link to ${secret}, made by user ${NOBODY}`,
    );
    expect(error.remedy).toMatch(/Name another path/);
    expect(hashOf(secret)).toBe(secretHash);
    expect(readdirSync(folder)).toEqual(['slave.img']);
  });

  test('on the way is refused too', async () => {
    const folder = foreignFolder('theirs');
    swapForLink(folder, 'way', at('private'));
    const paths = { ...pathsIn(folder), slaves: [join(folder, 'way', 'slave.img')] };
    expect((await failure(Mirror.create({ ...paths, ...options }), 'OPEN_FAILED')).image).toBe('slave1');
    expect(readdirSync(at('private'))).toEqual(['secret']);
  });
});

test('a link that leads nowhere is refused by name, and what it names is not made', async () => {
  const paths = mirrors.paths();
  symlinkSync(at('nowhere'), paths.master);
  const error = await failure(mirrors.create(), 'OPEN_FAILED');
  expect([error.image, error.path]).toEqual(['master', paths.master]);
  expect(error.message).toContain(`${paths.master} is a symbolic link to ${at('nowhere')}, and leads nowhere`);
  expect(readdirSync(mirrors.folder()).sort()).toEqual(['master.img', 'private']);
});

test('our own link in our own folder is followed', async () => {
  mkdirSync(at('disks'));
  symlinkSync('disks', at('link'));
  writeFileInFull(at('disks', 'slave'), 9 * MIB);
  symlinkSync('disks/slave', at('slave1.img'));
  const paths = await mirrors.create();
  expect(existsSync(paths.log)).toBe(true);
  await (await Mirror.open(paths.log)).close();
  const linked = pathsIn(at('link'));
  await Mirror.create({ ...linked, size: MIB, ringRecords: 64 });
  await (await Mirror.open(linked.log)).close();
});

test('files that create makes are for their owner alone, whatever the umask', async () => {
  for (const mask of [0, 0o777]) {
    const before = process.umask(mask);
    const paths = mirrors.paths();
    try {
      await mirrors.create();
    } finally {
      process.umask(before);
    }
    for (const path of [paths.log, paths.master, ...paths.slaves]) {
      expect([mask, statSync(path).mode & 0o7777]).toEqual([mask, 0o600]);
      rmSync(path);
    }
  }
});
