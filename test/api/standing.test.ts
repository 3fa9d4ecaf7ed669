import { copyFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeImageRecord, NativeLabel, NativeSuperblock } from '../../lib/base/binding';
import { readIdentityAt } from '../../lib/look/identify';
import { Mirror } from '../../lib/index';
import { judgeStanding } from '../../lib/look/standing';
import { MIRROR_SIZE, bytesOf, failure, useMirrors } from './support';

const mirrors = useMirrors();
const CONSENT = { keepData: true, overwriteSignature: true } as const;

describe('how an image stands in the mirror it comes from', () => {
  const GENERATIONS = ['one', 'two', 'three'];
  const generation = (counter: number) => ({
    counter,
    id: GENERATIONS[counter - 1] as string,
    parent: GENERATIONS[counter - 2] ?? '',
  });
  const label = (more: Partial<NativeLabel> = {}): NativeLabel =>
    ({
      mirrorUuid: 'm',
      imageUuid: 's1',
      name: 'slave1',
      role: 'slave',
      state: 'in-sync',
      generation: generation(2),
      openCount: 5,
      ...more,
    }) as NativeLabel;
  const log = (more: Partial<NativeSuperblock> = {}, entry: Partial<NativeImageRecord> = {}) => {
    const image = {
      name: 'slave1',
      path: '/s1.img',
      role: 'slave',
      state: 'in-sync',
      error: 0,
      changedAtMs: 0,
      bytesDiffered: 0,
      ...entry,
    };
    const superblock = {
      mirrorUuid: 'm',
      lifecycle: 'sealed',
      generation: generation(2),
      openCount: 5,
      owner: { startedAtMs: 1e12 },
      images: [image],
      ...more,
    };
    return { path: '/m.log', superblock: superblock as NativeSuperblock, entry: image as NativeImageRecord };
  };
  const peer = (more: Partial<NativeLabel>) => ({ path: '/s2.img', label: label({ name: 'slave2', ...more }) });

  test.each([
    ['current, by its log', label(), [log()], [], null],
    ['without anything of blockmirror', null, [], [], null],
    ['failed', label(), [log({}, { state: 'failed', error: 5, changedAtMs: 1e12 })], [], /failed \(EIO\) since 2001/],
    ['behind', label(), [log({}, { state: 'behind' })], [], /behind/],
    ['synchronizing', null, [log({ lifecycle: 'creating' }, { state: 'synchronizing' })], [], /synchronizing/],
    ['found different by a verify', label(), [log({}, { bytesDiffered: 7 })], [], /found 7 bytes/],
    ['of an older generation than its log', label({ generation: generation(1) }), [log()], [], /generation 1/],
    ['of an older opening than its log', label({ openCount: 4 }), [log()], [], /opening 4/],
    ['one opening behind, cut off there', label({ openCount: 4 }), [log({ lifecycle: 'opening' })], [], null],
    [
      'one generation behind, cut off there',
      label({ generation: generation(1) }),
      [log({ lifecycle: 'open' })],
      [],
      null,
    ],
    ['newer than an old copy of the log', label(), [log({ openCount: 3 }, { state: 'failed' })], [], null],
    ['of an older generation than a peer', label(), [], [peer({ generation: generation(3) })], /slave2.*generation 3/],
    ['of an older opening than a peer', label(), [], [peer({ openCount: 6 })], /opening 6/],
    ['as new as its peers', label(), [], [peer({})], null],
    ['newer peers of another mirror', label(), [], [peer({ mirrorUuid: 'n', openCount: 6 })], null],
    [
      'at the path of the master, whose label another one has',
      null,
      [log({ lifecycle: 'creating' })],
      [peer({ role: 'master', name: 'master' })],
      /not its label; master 'master' \(\/s2.img\)/,
    ],
    ['half copied, by its own label', label({ state: 'synchronizing' }), [], [], /synchronizing/],
  ] as const)('%s', (_name, own, logs, peers, expected) => {
    const stale = judgeStanding(own, logs, peers);
    if (expected === null) expect(stale).toBeNull();
    else expect(`${stale?.own}; ${stale?.newer}`).toMatch(expected);
  });
});

/** Slave 1 was left behind: the mirror went on with slave 2, and its master was lost. */
async function staleSlave() {
  const paths = mirrors.paths(2);
  await Mirror.create({ ...paths, size: MIRROR_SIZE, ringRecords: 64 });
  const [slave1, slave2] = paths.slaves as [string, string];
  const mirror = await mirrors.open(paths);
  await mirror.write(Buffer.alloc(4096, 'old '), { position: 0, dsync: true });
  await mirror.close();
  copyFileSync(slave1, join(mirrors.folder(), 'copy'));
  const again = await mirrors.open(paths);
  await again.write(Buffer.alloc(4096, 'NEW '), { position: 0, dsync: true });
  await again.close();
  renameSync(join(mirrors.folder(), 'copy'), slave1);
  rmSync(paths.master);
  return { log: paths.log, slave1, slave2 };
}

test('a slave that is older than its log is no master unless it is named; the newest one is', async () => {
  const { log, slave1, slave2 } = await staleSlave();
  const options = { log, master: slave1, slaves: [slave2], ...CONSENT };
  const error = await failure(Mirror.create(options), 'STALE_MASTER');
  expect(error.image).toBe('master');
  expect(error.message).toMatch(
    /slave 'slave1' \(.*opening 2\).*opening 3, last opened 20.*slave 'slave2'.*is in sync/,
  );
  expect(error.remedy).toContain('--accept-stale slave1');
  await failure(Mirror.create({ ...options, acceptStale: 'slave2' }), 'STALE_MASTER');
  expect(bytesOf(slave2, 0, 4).toString()).toBe('NEW ');
  await Mirror.create({ ...options, master: slave2, slaves: [slave1] });
  expect(bytesOf(slave1, 0, 4).toString()).toBe('NEW ');
});

test('a log that was not named is found beside the image; without any log its peers say it', async () => {
  const { log, slave1, slave2 } = await staleSlave();
  const other = join(mirrors.folder(), 'other.log');
  const blank = join(mirrors.folder(), 'blank.img');
  const beside = { log: other, master: slave1, slaves: [blank], ...CONSENT, size: MIRROR_SIZE };
  await failure(Mirror.create(beside), 'STALE_MASTER');
  rmSync(log);
  const error = await failure(Mirror.create({ ...beside, slaves: [slave2] }), 'STALE_MASTER');
  expect(error.message).toMatch(/slave 'slave2' .* opening 3/);
  expect((await readIdentityAt(slave2)).label).toMatchObject({ name: 'slave2' });
  await Mirror.create({ ...beside, slaves: [slave2], acceptStale: 'slave1' });
  expect(bytesOf(slave2, 0, 4).toString()).toBe('old ');
});

test('an old copy is known by images of its mirror that were not named, where its log is gone', async () => {
  const paths = mirrors.paths();
  await Mirror.create({ ...paths, size: MIRROR_SIZE, ringRecords: 64 });
  const copy = join(mirrors.folder(), 'copy');
  copyFileSync(paths.slaves[0] as string, copy);
  await (await mirrors.open(paths)).close();
  rmSync(paths.log);
  const options = { log: join(mirrors.folder(), 'new.log'), slaves: [join(mirrors.folder(), 'new.img')] };
  const error = await failure(
    Mirror.create({ ...options, ...CONSENT, master: copy, size: MIRROR_SIZE }),
    'STALE_MASTER',
  );
  expect(error.message).toMatch(/master 'master' \(.*master.img\) is at generation 2, opening 2/);
});
