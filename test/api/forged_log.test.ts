/**
 * A log that another user wrote, by hand and with right checksums, and root's commands on it: nothing of root's is read
 * into an image of that user, or written, unless root names it.
 */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Mirror, identify, inspect, recover, verify } from '../../lib/index';
import { runCommand } from '../support/command_line';
import {
  ENTRY,
  HEADER,
  forgeFailed,
  forgeLabel,
  forgeLog,
  forgePath,
  forgeUnclean,
  imageEntry,
} from '../support/forge';
import { commandsOf, operatorShell } from '../support/pasted_command';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless, notRoot } from '../support/skip';
import { MIB, MIRROR_SIZE, NOBODY, type Paths, bytesOf, failure, overwrite, useMirrors, STRICT } from './support';

const mirrors = useMirrors();
const { at } = mirrors;

/** A mirror whose log and images belong to another user, with a ring that makes everything be copied; in root's folder. */
async function foreign(): Promise<Paths> {
  const paths = await mirrors.create();
  forgeUnclean(paths.log);
  overwrite(paths.log, MIB, Buffer.alloc(4096, 'no record'));
  for (const path of [paths.log, paths.master, ...paths.slaves]) chownSync(path, NOBODY, NOBODY);
  return paths;
}

/** The same, whose slave is said to be a file of root's alone; with the label that such a user can copy into it at best. */
async function aimedAtRoot(): Promise<Paths & { private: string; before: Buffer }> {
  const paths = await foreign();
  const secret = at('private.img');
  copyFileSync(paths.slaves[0] as string, secret);
  writeFileSync(secret, 'TOP SECRET', { flag: 'r+' });
  chmodSync(secret, 0o600);
  forgePath(paths.log, 1, secret);
  return { ...paths, private: secret, before: readFileSync(secret) };
}

const verbs = [
  ['recover', (log: string) => recover(log)],
  ['recover, tried', (log: string) => recover(log, { dryRun: true })],
  ['verify', (log: string) => verify(log)],
  ['verify of all', (log: string) => verify(log, { all: true })],
  ['open', (log: string) => Mirror.open(log)],
] as const;

describeUnless(notRoot, 'as root, of a log of another user', () => {
  test('log and images of one user are used', async () => {
    const paths = await foreign();
    expect((await recover(paths.log)).clean).toBe(false);
    expect((await verify(paths.log)).identical).toBe(true);
  });

  test.each(verbs)('%s asks for the images that are not of that user, and writes nothing', async (_, run) => {
    const paths = await aimedAtRoot();
    const log = readFileSync(paths.log);
    const error = await failure(run(paths.log), 'FOREIGN_LOG');
    expect(error.message).toContain('user nobody (65534)');
    expect(error.message).toContain(`slave1 is ${paths.private}, of user root (0)`);
    expect(error.message).toContain(`master is ${paths.master}`);
    expect(readFileSync(paths.private).equals(paths.before)).toBe(true);
    expect(readFileSync(paths.log).equals(log)).toBe(true);
  });

  test('the plan says what would be copied, and its command names each image and can be pasted', async () => {
    const paths = await aimedAtRoot();
    const { message, remedy } = await failure(recover(paths.log), 'FOREIGN_LOG');
    expect(message).toMatch(/all bytes would be copied from master to slave1/);
    const [line = ''] = commandsOf(remedy);
    expect(line).toContain(`--image slave1=${paths.private}`);
    expect(line).toContain(`--image master=${paths.master}`);
    operatorShell(() => mirrors.folder()).runs(line);
    expect(bytesOf(paths.private, 0, 10).toString()).not.toBe('TOP SECRET');
  });

  test('a master of root is not copied to where that user can read it', async () => {
    const paths = await foreign();
    const secret = at('private.img');
    copyFileSync(paths.master, secret);
    writeFileSync(secret, 'TOP SECRET', { flag: 'r+' });
    forgePath(paths.log, 0, secret);
    await failure(recover(paths.log), 'FOREIGN_LOG');
    expect(readFileSync(paths.slaves[0] as string).includes('TOP SECRET')).toBe(false);
  });

  test('an image of root that is found by its label alone is not used either', async () => {
    const paths = await aimedAtRoot();
    forgePath(paths.log, 1, at('gone.img'));
    rmSync(paths.slaves[0] as string);
    await failure(recover(paths.log, STRICT), 'IMAGE_MISSING');
    expect((await recover(paths.log, { waitForImages: 0 })).slaves).toMatchObject([{ state: 'behind' }]);
    expect(readFileSync(paths.private).equals(paths.before)).toBe(true);
  });

  test('status shows what the log says, and looks into no image of root', async () => {
    const paths = await aimedAtRoot();
    const { status, attachable } = await inspect(paths.log);
    expect(status.images[0]?.error).toBeNull();
    expect(status.images[1]).toMatchObject({
      path: paths.private,
      state: 'failed',
      error: { code: 'ERR_BLOCKMIRROR_FOREIGN_LOG' },
    });
    expect(status.images[1]?.error?.message).toContain(`--image slave1=${paths.private}`);
    expect(attachable).toBe(false);
    expect((await inspect(paths.log, { images: { slave1: paths.private } })).status.images[1]?.error).toBeNull();
  });

  test('status takes no master to be lost that it did not look into', async () => {
    const paths = await foreign();
    const secret = at('private.img');
    copyFileSync(paths.master, secret);
    forgePath(paths.log, 0, secret);
    const { stdout } = await runCommand(['status', paths.log]);
    expect(stdout).toContain('Next: see to what is named above');
  });

  test('no command that status prints names an image of root as one to be made anew', async () => {
    const paths = await aimedAtRoot();
    forgeFailed(paths.log, 1);
    const { status } = await inspect(paths.log);
    expect(status.images[1]?.error?.message ?? '').not.toContain('--slave');
  });

  test('an unfinished create of that user gives no command that would have root write what it names', async () => {
    const paths = await aimedAtRoot();
    forgeLog(paths.log, (superblock) => superblock.writeUInt8(0, HEADER.lifecycle));
    const error = await failure(recover(paths.log), 'CREATE_UNFINISHED');
    expect(commandsOf(error.remedy)).toEqual([]);
    const { stdout } = await runCommand(['status', paths.log]);
    expect(stdout).not.toContain('create --log');
  });

  test.each([0, 1])('no error has a command that makes a file where that log says that image %i was', async (index) => {
    const paths = await foreign();
    const target = at('made by root');
    rmSync([paths.master, ...paths.slaves][index] as string);
    forgePath(paths.log, index, target);
    const { message } = await failure(recover(paths.log, STRICT), 'IMAGE_MISSING');
    const error = (await inspect(paths.log)).status.images[index]?.error;
    const { stdout } = await runCommand(['status', paths.log]);
    for (const text of [message, error?.message, stdout]) {
      expect(text).toContain('made by root');
      expect(text).not.toContain('blockmirror create');
    }
  });

  test('identify names no image of root as a part of the mirror because that log does', async () => {
    const paths = await aimedAtRoot();
    mkdirSync(at('elsewhere'));
    const hidden = at('elsewhere', 'private.img');
    copyFileSync(paths.private, hidden);
    rmSync(paths.private);
    forgePath(paths.log, 1, hidden);
    const named = (await identify(paths.log)).parts.map(({ path }) => path);
    expect(named).toContain(paths.master);
    expect(named).not.toContain(hidden);
  });

  test('a path below the folder of the log that a link leads out of is not followed', async () => {
    const paths = await foreign();
    const elsewhere = at('elsewhere');
    mkdirSync(elsewhere);
    const image = join(elsewhere, 'slave.img');
    copyFileSync(paths.slaves[0] as string, image);
    chownSync(image, NOBODY, NOBODY);
    const logFolder = at('log');
    mkdirSync(logFolder);
    const log = join(logFolder, 'mirror.log');
    copyFileSync(paths.log, log);
    chownSync(log, NOBODY, NOBODY);
    symlinkSync(elsewhere, join(logFolder, 'link'));
    forgePath(log, 1, 'link/slave.img', 'relative');
    const error = await failure(recover(log, { images: { master: paths.master } }), 'FOREIGN_LOG');
    expect(error.message).toContain("leads out of the log's folder");
  });
});

describeUnless(notRoot, 'as root, of a log of its own', () => {
  test('images of another user are used: root alone can have written the log', async () => {
    const paths = await mirrors.create();
    forgeUnclean(paths.log);
    chownSync(paths.slaves[0] as string, NOBODY, NOBODY);
    expect((await recover(paths.log)).clean).toBe(false);
  });

  test.each([
    [0o666, NOBODY],
    [0o664, NOBODY],
  ])('that others may write (%i), images are asked for', async (mode, group) => {
    const paths = await mirrors.create();
    forgeUnclean(paths.log);
    chownSync(paths.log, 0, group);
    chmodSync(paths.log, mode);
    const error = await failure(recover(paths.log), 'FOREIGN_LOG');
    const [shut = ''] = commandsOf(error.remedy);
    expect(shut).toBe(`chmod go-w ${paths.log}`);
    operatorShell(() => mirrors.folder()).runs(shut);
    expect((await recover(paths.log)).clean).toBe(false);
  });

  test('that the group of root may write, images are used', async () => {
    const paths = await mirrors.create();
    forgeUnclean(paths.log);
    chmodSync(paths.log, 0o660);
    expect((await recover(paths.log)).clean).toBe(false);
  });
});

describeUnless(noLoopDevices, 'as root, of a log on a loop device, whose node is of root', () => {
  const makeLoopDevice = useLoopDevices();

  async function onLoopDevice(): Promise<Paths & { backingFile: string }> {
    const paths = await mirrors.create();
    const images = [paths.master, ...paths.slaves];
    for (const [index, path] of images.entries()) forgePath(paths.log, index, path);
    forgeUnclean(paths.log);
    const { path, backingFile } = makeLoopDevice(statSync(paths.log).size);
    execFileSync('dd', [`if=${paths.log}`, `of=${path}`, 'bs=1M', 'conv=fsync', 'status=none']);
    return { ...paths, log: path, backingFile };
  }

  test('it counts whose the file below is', async () => {
    const paths = await onLoopDevice();
    chownSync(paths.backingFile, NOBODY, NOBODY);
    const error = await failure(recover(paths.log), 'FOREIGN_LOG');
    expect(error.message).toContain('it is of user nobody (65534)');
    expect(error.message).toContain('the log belongs to another user than the image');
    expect((await inspect(paths.log)).attachable).toBe(false);
    expect((await identify(paths.log)).parts).toEqual([]);
    chownSync(paths.backingFile, 0, 0);
    expect((await recover(paths.log)).clean).toBe(false);
  });

  test('it counts who may write the file below, and no command changes the node', async () => {
    const paths = await onLoopDevice();
    chmodSync(paths.backingFile, 0o666);
    const error = await failure(recover(paths.log), 'FOREIGN_LOG');
    expect(error.message).toContain('every user may write the log');
    expect(error.remedy).not.toContain('chmod');
  });
});

describeUnless(notRoot, 'a user who is not root', () => {
  test('uses whatever the kernel lets that user open', async () => {
    const paths = await foreign();
    chmodSync(paths.slaves[0] as string, 0o666);
    chownSync(paths.slaves[0] as string, 1, 1);
    chmodSync(mirrors.folder(), 0o755);
    const main = join(__dirname, '..', '..', 'dist', 'cli', 'main.js');
    const run = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, main, 'recover', paths.log];
    expect(execFileSync('setpriv', run, { encoding: 'utf8' })).toContain('read back and found equal');
  });
});

describe('a log is damaged', () => {
  test.each([
    ['../private.img', 'relative'],
    ['a/../../private.img', 'relative'],
    ['./slave.img', 'relative'],
    ['/etc/../etc/shadow', 'absolute'],
    ['/etc//shadow', 'absolute'],
    ['etc/shadow', 'absolute'],
    ['/etc/shadow', 'relative'],
  ] as const)('that says %s (%s)', async (path, kind) => {
    const paths = await mirrors.create();
    forgePath(paths.log, 1, path, kind);
    await failure(recover(paths.log), 'LOG_DAMAGED');
    await failure(inspect(paths.log), 'LOG_DAMAGED');
    expect((await identify(paths.log)).problem?.code).toBe('ERR_BLOCKMIRROR_LOG_DAMAGED');
  });

  test('that puts a label anywhere but at the end of its image', async () => {
    const paths = await mirrors.create();
    forgeLog(paths.log, (superblock) =>
      superblock.writeBigUInt64LE(BigInt(MIRROR_SIZE + 8 * MIB), imageEntry(1) + ENTRY.deviceSize),
    );
    await failure(recover(paths.log), 'LOG_DAMAGED');
  });
});

describe('a file that is longer than its image was', () => {
  test('is refused before anything is written, and cut off by what can be pasted, which loses nothing', async () => {
    const paths = await mirrors.create();
    const slave = paths.slaves[0] as string;
    forgeUnclean(paths.log);
    appendFileSync(slave, Buffer.alloc(2 * MIB, 'appended'));
    const before = readFileSync(slave);
    const error = await failure(recover(paths.log, STRICT), 'GROWN_IMAGE');
    expect(readFileSync(slave).equals(before)).toBe(true);
    expect((await inspect(paths.log)).status.images[1]?.error?.code).toBe('ERR_BLOCKMIRROR_GROWN_IMAGE');
    const [cut = ''] = commandsOf(error.remedy);
    operatorShell(() => mirrors.folder()).runs(cut);
    expect(readFileSync(`${slave}.appended`).equals(Buffer.alloc(2 * MIB, 'appended'))).toBe(true);
    expect((await recover(paths.log)).clean).toBe(false);
  });

  test('is not an image whose label a log and a label say to be in its middle', async () => {
    const paths = await mirrors.create();
    const target = at('target.img');
    copyFileSync(paths.slaves[0] as string, target);
    appendFileSync(target, Buffer.alloc(8 * MIB, 'of root'));
    forgePath(paths.log, 1, target);
    forgeUnclean(paths.log);
    forgeLabel(target, MIRROR_SIZE, (label) => label.writeUInt8(0, 90));
    const before = readFileSync(target);
    await failure(recover(paths.log, STRICT), 'GROWN_IMAGE');
    await failure(recover(paths.log, { images: { slave1: target } }), 'GROWN_IMAGE');
    expect(readFileSync(target).equals(before)).toBe(true);
  });
});

describe('a stored path that leads to something else than a file', () => {
  const places = ['/proc/kmsg', '/proc/self/status', '/dev/kmsg', '/dev/tty', '/etc', '/sys/kernel/notes'];
  test.each(places)('%s: a look goes on without it, and no verb uses it', async (path) => {
    const paths = await mirrors.create();
    forgePath(paths.log, 1, path);
    const { status, attachable } = await inspect(paths.log);
    expect(status.images[1]).toMatchObject({ state: 'failed', error: { code: 'ERR_BLOCKMIRROR_OPEN_FAILED' } });
    expect(attachable).toBe(true);
    await failure(recover(paths.log, STRICT), 'OPEN_FAILED');
    expect((await verify(paths.log, { waitForImages: 0 })).slaves).toMatchObject([
      { state: 'behind', compared: false },
    ]);
  });

  test('a FIFO in place of an image or of a log keeps nobody waiting', async () => {
    const paths = await mirrors.create();
    const slave = paths.slaves[0] as string;
    rmSync(slave);
    execFileSync('mkfifo', [slave]);
    expect((await inspect(paths.log)).status.images[1]?.state).toBe('failed');
    await failure(recover(paths.log, STRICT), 'OPEN_FAILED');
    expect((await recover(paths.log, { waitForImages: 0 })).slaves).toMatchObject([{ state: 'behind' }]);
    await failure(inspect(slave), 'OPEN_FAILED');
    await failure(identify(slave), 'OPEN_FAILED');
    expect((await identify(paths.log)).kind).toBe('log');
  });
});
