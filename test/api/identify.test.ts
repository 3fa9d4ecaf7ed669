/** What a path is to blockmirror, and where the rest of its mirror is. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findParts, identityToText, readIdentityAt, whatIsOn } from '../../lib/look/identify';
import { inspect } from '../../lib/index';
import { KIB, MIB, overwrite, failure, useMirrors } from './support';

const mirrors = useMirrors();
const NOISE = Buffer.alloc(4096, 0xa5);

test('a log names its mirror, its images and when it was opened', async () => {
  const paths = await mirrors.create();
  const { status } = await inspect(paths.log);
  const identity = await readIdentityAt(paths.log);
  expect(identity).toMatchObject({ label: null, problem: null, superblockCopies: ['whole', 'whole'] });
  expect(identity.superblock?.mirrorUuid).toBe(status.uuid);
  const text = identityToText(identity) ?? '';
  expect(text).toContain(`the log of mirror ${status.uuid}`);
  expect(text).toContain("master 'master' at master.img");
  expect(text).toContain('closed cleanly');
});

test('an image names its mirror, its role and its name, and its log is found', async () => {
  const paths = await mirrors.create();
  const { status } = await inspect(paths.log);
  const slave = paths.slaves[0] as string;
  const identity = await readIdentityAt(slave);
  expect(identity).toMatchObject({ superblock: null, labelCopies: ['whole', 'whole'] });
  expect(identity.label).toMatchObject({ name: 'slave1', role: 'slave', mirrorUuid: status.uuid, sealed: true });
  expect(await whatIsOn(slave)).toBe(
    `slave 'slave1' of mirror ${status.uuid} (in sync, generation ${status.generation.counter}, opening 1, ` +
      `closed cleanly), whose log is ${paths.log}`,
  );
});

test('one damaged copy is told, and the other one counts', async () => {
  const paths = await mirrors.create();
  overwrite(paths.log, 64 * KIB + 512, NOISE);
  expect(await readIdentityAt(paths.log)).toMatchObject({ superblockCopies: ['whole', 'damaged'], problem: null });
  overwrite(paths.master, 8 * MIB, Buffer.alloc(4096));
  expect(await readIdentityAt(paths.master)).toMatchObject({ labelCopies: ['absent', 'whole'], problem: null });
});

test('two damaged copies are still said to be ours', async () => {
  const paths = await mirrors.create();
  overwrite(paths.log, 512, NOISE);
  overwrite(paths.log, 64 * KIB + 512, NOISE);
  const identity = await readIdentityAt(paths.log);
  expect(identity.superblock).toBeNull();
  expect(identity.problem?.code).toBe('ERR_BLOCKMIRROR_LOG_DAMAGED');
  expect(identityToText(identity)).toContain('a log of blockmirror that cannot be read');
});

test('anything else is neither', async () => {
  const file = join(mirrors.folder(), 'other');
  for (const content of [Buffer.alloc(0), Buffer.alloc(100), Buffer.alloc(3 * MIB, 'text')]) {
    writeFileSync(file, content);
    expect(identityToText(await readIdentityAt(file))).toBeNull();
  }
  await failure(readIdentityAt(join(mirrors.folder(), 'nothing')), 'OPEN_FAILED');
});

test('the parts of a mirror are found by its UUID, also where only its log knows the way', async () => {
  const paths = await mirrors.create({ slaveCount: 2 });
  const { status } = await inspect(paths.log);
  const found = await findParts(status.uuid, [mirrors.folder()]);
  const names = found.map((part) => part.identity.label?.name ?? 'log').sort();
  expect(names).toEqual(['log', 'master', 'slave1', 'slave2']);
});

test('a mirror of another log is not taken for it', async () => {
  const paths = await mirrors.create();
  const { status } = await inspect(paths.log);
  const label = readFileSync(paths.master).subarray(8 * MIB);
  rmSync(paths.log);
  rmSync(paths.master);
  await mirrors.create({ overwriteSignature: true, slaves: [join(mirrors.folder(), 'other.img')] });
  expect(label.length).toBe(MIB);
  expect(await whatIsOn(paths.slaves[0] as string)).not.toContain('whose log is');
  expect((await findParts(status.uuid, [mirrors.folder()])).map((part) => part.kind)).toEqual(['image']);
});
