// Where a control socket may be, and which folders are not to be trusted with one.
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { isThere, makeFolder, placeOfControl, removeStale } from '../../lib/control/place';
import { failure } from '../api/support';
import { runCommand } from '../support/command_line';
import { useHolders } from '../support/holder';
import { createMirrorFiles } from '../support/mirror_files';
import { noNamespaces } from '../support/namespaces';
import { notRoot, testUnless } from '../support/skip';
import { useShortFolder, useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();
const shortFolder = useShortFolder();
const hold = useHolders();
const NOBODY = 65534;
const UUID = '00000000-0000-4000-8000-000000000000';

interface Place {
  folder: string;
  path: string;
}

/** Below a folder that is ours alone, as XDG_RUNTIME_DIR is. */
function placeBelow(mode = 0o700): Place {
  const base = join(folder(), 'run');
  mkdirSync(base, { mode });
  chmodSync(base, mode);
  const own = join(base, 'blockmirror');
  // Short: a test's folder may lie deep, and a socket's path has 107 bytes.
  return { folder: own, path: join(own, 'uuid.sock') };
}

describe('the place', () => {
  test('is below /run for root, and below XDG_RUNTIME_DIR for others', () => {
    expect(placeOfControl(UUID, { uid: 0, runtimeFolder: '/somewhere' }).path).toBe(`/run/blockmirror/${UUID}.sock`);
    expect(placeOfControl(UUID, { uid: 7, runtimeFolder: '/run/user/7' }).path).toBe(
      `/run/user/7/blockmirror/${UUID}.sock`,
    );
  });

  test.each([undefined, '', 'relative', `/${'long/'.repeat(20)}`])('XDG_RUNTIME_DIR %j has none', async (runtime) => {
    const placed = Promise.resolve().then(() => placeOfControl(UUID, { uid: 7, runtimeFolder: runtime }));
    await failure(placed, 'CONTROL_UNAVAILABLE');
  });
});

describe('its folder', () => {
  test('is made for us alone, and used again', async () => {
    const place = placeBelow();
    await makeFolder(place);
    await makeFolder(place);
    expect(lstatSync(place.folder).mode & 0o777).toBe(0o700);
  });

  test.each([0o710, 0o720, 0o701, 0o750, 0o777])('of mode %o is refused by holder and client', async (mode) => {
    const place = placeBelow();
    mkdirSync(place.folder);
    writeFileSync(place.path, '');
    chmodSync(place.folder, mode);
    expect((await failure(makeFolder(place), 'CONTROL_UNAVAILABLE')).remedy).toContain('chmod 700');
    await failure(isThere(place), 'CONTROL_UNAVAILABLE');
    expect(existsSync(place.path)).toBe(true);
  });

  test('that is a symbolic link is refused, wherever it leads', async () => {
    const place = placeBelow();
    const elsewhere = join(folder(), 'elsewhere');
    mkdirSync(elsewhere, { mode: 0o700 });
    symlinkSync(elsewhere, place.folder);
    expect((await failure(makeFolder(place), 'CONTROL_UNAVAILABLE')).message).toContain('symbolic link');
    writeFileSync(place.path, '');
    await failure(isThere(place), 'CONTROL_UNAVAILABLE');
  });

  test('that is a file is refused', async () => {
    const place = placeBelow();
    writeFileSync(place.folder, '');
    await failure(makeFolder(place), 'CONTROL_UNAVAILABLE');
  });

  test.each([0o770, 0o777, 0o1777])('below a folder of mode %o is refused', async (mode) => {
    const place = placeBelow(mode);
    await failure(makeFolder(place), 'CONTROL_UNAVAILABLE');
    expect(existsSync(place.folder)).toBe(false);
  });

  testUnless(notRoot, 'of another user is refused, and so is one below a folder of another user', async () => {
    const place = placeBelow();
    mkdirSync(place.folder, { mode: 0o700 });
    chownSync(place.folder, NOBODY, NOBODY);
    expect((await failure(makeFolder(place), 'CONTROL_UNAVAILABLE')).message).toContain(`user ${NOBODY}`);
    chownSync(place.folder, 0, 0);
    chownSync(join(folder(), 'run'), NOBODY, NOBODY);
    await failure(makeFolder(place), 'CONTROL_UNAVAILABLE');
  });
});

describe('what lies at its path', () => {
  test('and is no socket stays, and is refused', async () => {
    const place = placeBelow();
    await makeFolder(place);
    writeFileSync(place.path, 'somebody wrote this');
    await failure(removeStale(place), 'CONTROL_UNAVAILABLE');
    expect(existsSync(place.path)).toBe(true);
  });

  testUnless(notRoot, 'and is a socket of another user is refused by a client', async () => {
    const place = placeBelow();
    await makeFolder(place);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(place.path, resolve));
    try {
      chownSync(place.path, NOBODY, NOBODY);
      await failure(isThere(place), 'CONTROL_UNAVAILABLE');
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  test('and is listened to stays: that is a copy of the log, which somebody else has open', async () => {
    const place = placeBelow();
    await makeFolder(place);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(place.path, resolve));
    try {
      await failure(removeStale(place), 'CONTROL_UNAVAILABLE');
      expect(existsSync(place.path)).toBe(true);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

const flat = (text: string): string => text.replace(/\s+/g, ' ');

testUnless(
  noNamespaces,
  'where the folder of root cannot be trusted a mirror opens all the same, without',
  async () => {
    const { log } = await createMirrorFiles(folder());
    // A /run of its own.
    const first = 'mount -t tmpfs -o mode=755 tmpfs /run && ln -s /tmp /run/blockmirror && exec "$@"';
    const holder = await hold(log, { control: true }, { through: ['unshare', '--mount', 'sh', '-ec', first, 'sh'] });
    const told = await holder.until(({ control }) => control !== null);
    expect(told.control).toMatchObject({ socket: null, problem: { code: 'ERR_BLOCKMIRROR_CONTROL_UNAVAILABLE' } });
    expect(told.control?.problem?.message).toContain('symbolic link');
    const { exitCode, stderr } = await runCommand(['verify', log]);
    expect(exitCode).toBe(1);
    expect(flat(stderr)).toContain('ERR_BLOCKMIRROR_BUSY');
  },
);

testUnless(notRoot, 'a mirror of another user: that user operates it, root and others are told', async () => {
  const { log, master, slave } = await createMirrorFiles(folder());
  const runtime = shortFolder();
  for (const path of [runtime, log, master, slave, folder()]) chownSync(path, NOBODY, NOBODY);
  const asNobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
  const env = { XDG_RUNTIME_DIR: runtime };
  const holder = await hold(log, { control: true }, { through: asNobody, env });
  const { control } = await holder.until((told) => told.control !== null);
  expect(control).toMatchObject({ problem: null, socket: expect.stringContaining(runtime) });

  const own = await runCommand(['status', log, '--json'], { through: asNobody, env });
  expect(own.json()).toMatchObject({ live: true, phase: 'running' });
  expect((await runCommand(['fracture', log, 'slave1'], { through: asNobody, env })).exitCode).toBe(0);
  expect((await runCommand(['resync', log], { through: asNobody, env })).exitCode).toBe(0);

  const ofRoot = await runCommand(['verify', log, '--trust-folders']);
  expect(ofRoot.exitCode).toBe(1);
  expect(flat(ofRoot.stderr)).toMatch(/by another user.*ERR_BLOCKMIRROR_BUSY/);
  const seen = await runCommand(['status', log, '--json', '--trust-folders']);
  expect(seen.json()).toMatchObject({ live: false, notLive: { message: expect.stringContaining(`user ${NOBODY}`) } });

  const ofAnother = await runCommand(['verify', log], {
    through: ['setpriv', '--reuid=65533', '--regid=65533', '--clear-groups'],
    env: { XDG_RUNTIME_DIR: '' },
  });
  expect(ofAnother.exitCode).toBe(1);
});
