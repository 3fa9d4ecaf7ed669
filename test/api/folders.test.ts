import {
  chmodSync,
  chownSync,
  lchownSync,
  linkSync,
  mkdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { Mirror, inspect, recover, verify } from '../../lib/index';
import { type PathPart, UNSAFE, partsOfPath, unsafeBecause } from '../../lib/system/folders';
import { runCommand } from '../support/command_line';
import { describeUnless, notRoot } from '../support/skip';
import { NOBODY, failure, useMirrors } from './support';

const mirrors = useMirrors();
const { at } = mirrors;

const file = { kind: 'file', owner: 0, names: 1 } as const;
const step = (change: Partial<PathPart>): PathPart => ({
  ...{ folder: '/srv', name: 'x', owner: 0, group: 0, mode: 0o755, entry: file },
  ...change,
});

// Verdict, folder, and the row of the table that has to decide (-1: none).
const CASES: readonly [string, Partial<PathPart>, number][] = [
  ['of root, written by root alone', {}, -1],
  ['of root, where nothing is yet', { entry: null }, -1],
  ['written by the group of root', { mode: 0o775 }, -1],
  ['of root, with a file of another user in it', { entry: { ...file, owner: NOBODY } }, -1],
  ['of root, with a file of many names in it', { entry: { ...file, names: 2 } }, -1],
  ['of another user', { owner: NOBODY }, 0],
  ['of another user, sticky', { owner: NOBODY, mode: 0o1777 }, 0],
  ['of another user, read-only', { owner: NOBODY, mode: 0o555 }, 0],
  ['written by everybody', { mode: 0o777 }, 1],
  ['written by others than owner and group', { mode: 0o702 }, 1],
  ['written by another group', { group: 100, mode: 0o775 }, 2],
  ['read by another group', { group: 100, mode: 0o750 }, -1],
  ['sticky, with an entry of root', { mode: 0o1777 }, -1],
  ['sticky, with no entry yet', { mode: 0o1777, entry: null }, -1],
  ['sticky, with an entry of another user', { mode: 0o1777, entry: { ...file, owner: NOBODY } }, 3],
  ['sticky, with a link of another user', { mode: 0o1777, entry: { ...file, kind: 'link', owner: 1000 } }, 3],
  ['sticky and of another group, with its entry', { mode: 0o1770, group: 9, entry: { ...file, owner: 9 } }, 3],
  ['sticky, with a hard link to a file of root', { mode: 0o1777, entry: { ...file, names: 2 } }, 4],
  ['sticky, with a folder of root', { mode: 0o1777, entry: { kind: 'folder', owner: 0, names: 3 } }, -1],
];

test.each(CASES)('a folder %s', (_, change, row) => {
  const judged = step(change);
  expect(UNSAFE.findIndex(({ when }) => when(judged))).toBe(row);
  expect(unsafeBecause(judged) === null).toBe(row === -1);
});

describe('the way to a path', () => {
  const folders = async (path: string): Promise<string[]> =>
    (await partsOfPath(path)).map(({ folder, entry }) => `${folder} ${entry?.kind ?? 'nothing'}`);
  const below = (steps: string[]): string[] => {
    const root = realpathSync(mirrors.folder());
    return steps.filter((text) => text.startsWith(root)).map((text) => text.slice(root.length));
  };

  test('names every folder from the root, and the file', async () => {
    mkdirSync(at('a'));
    writeFileSync(at('a', 'file'), '');
    expect((await folders(at('a', 'file')))[0]).toBe('/ folder');
    expect(below(await folders(at('a', 'file')))).toEqual([' folder', '/a file']);
  });

  test('takes each link as a step of its own, and then the way that it names', async () => {
    mkdirSync(at('a'));
    mkdirSync(at('b'));
    symlinkSync('../b', at('a', 'relative'));
    symlinkSync(at('a', 'relative'), at('absolute'));
    const way = below(await folders(at('absolute', 'file')));
    expect(way).toEqual([' link', ' folder', '/a link', ' folder', '/b nothing']);
  });

  test('goes up as the kernel does: from where a link leads to', async () => {
    mkdirSync(at('a', 'deep'), { recursive: true });
    symlinkSync('a/deep', at('link'));
    expect(below(await folders(`${mirrors.folder()}/link/../file`))).toEqual([
      ' link',
      ' folder',
      '/a folder',
      '/a nothing',
    ]);
  });

  test('ends where something is not there, and in a circle of links', async () => {
    expect(below(await folders(at('none', 'file')))).toEqual([' nothing']);
    symlinkSync('two', at('one'));
    symlinkSync('one', at('two'));
    expect((await partsOfPath(at('one'))).length).toBeLessThan(100);
  });
});

describeUnless(notRoot, 'root', () => {
  /** A mirror whose folder is another user's by now. */
  const inForeignFolder = async (): Promise<string> => {
    const { log } = await mirrors.create();
    chownSync(mirrors.folder(), NOBODY, NOBODY);
    return log;
  };

  test('creates no mirror in a folder of another user, unless told', async () => {
    chownSync(mirrors.folder(), NOBODY, NOBODY);
    const error = await failure(mirrors.create(), 'UNSAFE_FOLDER');
    expect(error.image).toBe('log');
    expect(error.message).toContain(`${mirrors.folder()} (owner ${NOBODY}, group ${NOBODY}, mode 0700)`);
    expect(error.remedy).toMatch(/say trustFolders \(`--trust-folders`\)$/);
    await mirrors.create({ trustFolders: true });
  });

  test('opens, recovers and verifies none there, and status says why', async () => {
    const log = await inForeignFolder();
    for (const call of [recover, verify]) await failure(call(log), 'UNSAFE_FOLDER');
    await failure(Mirror.open(log), 'UNSAFE_FOLDER');
    const seen = await inspect(log);
    expect(seen.attachable).toBe(false);
    expect(seen.obstacles[0]?.code).toBe('ERR_BLOCKMIRROR_UNSAFE_FOLDER');
    // The folder says nothing of what is in it.
    expect(seen.status.images.map(({ state }) => state)).toEqual(['synchronized', 'synchronized']);
    const trustFolders = true;
    expect((await inspect(log, { trustFolders })).attachable).toBe(true);
    expect((await recover(log, { trustFolders })).clean).toBe(true);
    expect((await verify(log, { trustFolders })).identical).toBe(true);
    await (await Mirror.open(log, { trustFolders })).close();
  });

  test('is told the same by the command line, with the flag that says otherwise', async () => {
    const log = await inForeignFolder();
    for (const verb of ['recover', 'verify']) {
      const refused = await runCommand([verb, log]);
      expect([refused.exitCode, refused.stderr.includes('ERR_BLOCKMIRROR_UNSAFE_FOLDER')]).toEqual([1, true]);
      expect(refused.stderr).toContain('--trust-folders');
      expect((await runCommand([verb, log, '--trust-folders'])).exitCode).toBe(0);
    }
    const looked = await runCommand(['status', log]);
    expect(looked.exitCode).toBe(3);
    expect(looked.stdout).toContain('Next: see to what is named above');
    const checked = await runCommand(['status', '--check', log]);
    expect(checked.stdout).toContain('it cannot be opened: ERR_BLOCKMIRROR_UNSAFE_FOLDER');
    expect((await runCommand(['status', '--check', '--trust-folders', log])).exitCode).toBe(0);
    expect((await runCommand(['status', log, '--trust-folders'])).exitCode).toBe(0);
  }, 30_000);

  test('takes no image through a link that another user holds', async () => {
    const { log, slaves } = await mirrors.create();
    mkdirSync(at('theirs'));
    symlinkSync(slaves[0] ?? '', at('theirs', 'link'));
    chownSync(at('theirs'), NOBODY, NOBODY);
    const error = await failure(Mirror.open(log, { images: { slave1: at('theirs', 'link') } }), 'UNSAFE_FOLDER');
    expect([error.image, error.path]).toEqual(['slave1', at('theirs', 'link')]);
  });

  test('is told how to close a folder of its own that everybody may write', async () => {
    const { log } = await mirrors.create();
    chmodSync(mirrors.folder(), 0o777);
    const error = await failure(Mirror.open(log), 'UNSAFE_FOLDER');
    expect(error.remedy).toContain(`\`chmod go-w ${mirrors.folder()}\``);
    chmodSync(mirrors.folder(), 0o755);
    await (await Mirror.open(log)).close();
  });

  test('works in a sticky folder, but takes no file, link or hard link there that another user made', async () => {
    chmodSync(mirrors.folder(), 0o1777);
    const paths = await mirrors.create();
    await (await Mirror.open(paths.log)).close();
    symlinkSync(paths.log, at('link'));
    await (await Mirror.open(at('link'))).close();
    lchownSync(at('link'), NOBODY, NOBODY);
    await failure(Mirror.open(at('link')), 'UNSAFE_FOLDER');
    linkSync(paths.log, at('hard'));
    await failure(Mirror.open(at('hard')), 'UNSAFE_FOLDER');
    writeFileSync(at('planted'), '');
    chownSync(at('planted'), NOBODY, NOBODY);
    const planted = { ...paths, log: at('new.log'), slaves: [at('planted')], size: 1024 * 1024 };
    expect((await failure(Mirror.create(planted), 'UNSAFE_FOLDER')).image).toBe('slave1');
  });
});
