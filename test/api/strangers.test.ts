/** A user who may read a log or an image can lock it: whoever is refused for that is told who it is, and what to do. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, readFileSync, statSync } from 'node:fs';
import { Ledger } from '../../lib/cli/demo/acknowledgements';
import { inspect, recover } from '../../lib/index';
import { startChildWriter } from '../support/child_writer';
import { runCommand } from '../support/command_line';
import { commandsOf, operatorShell } from '../support/pasted_command';
import { describeUnless, notRoot, testUnless } from '../support/skip';
import { type Paths, failure, useMirrors } from './support';

const mirrors = useMirrors();
let stranger: ChildProcess | null = null;

afterEach(async () => {
  if (stranger === null || stranger.exitCode !== null || stranger.signalCode !== null) return;
  const ended = new Promise((resolve) => stranger?.once('close', resolve));
  stranger.kill('SIGKILL');
  await ended;
});

/** Another user, who holds a lock on the file until the test ends; its process. */
async function lockAsNobody(path: string): Promise<number> {
  const ids = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  // Without a fork: the lock goes with the one process that the kernel names.
  stranger = spawn('setpriv', [...ids, 'flock', '--no-fork', '--exclusive', path, 'sleep', '600'], { stdio: 'ignore' });
  const inode = `:${statSync(path).ino} `;
  while (!readFileSync('/proc/locks', 'utf8').includes(inode)) {
    expect(stranger.exitCode).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return stranger.pid as number;
}

async function readable(): Promise<Paths> {
  const paths = await mirrors.create();
  chmodSync(mirrors.folder(), 0o755);
  for (const path of [paths.log, paths.master, ...paths.slaves]) chmodSync(path, 0o644);
  await (await mirrors.open(paths)).close();
  return paths;
}

describeUnless(notRoot, 'a lock of another user', () => {
  test('on an image: BUSY names process, user and lock, and its commands end it and keep it from coming back', async () => {
    const paths = await readable();
    const slave = paths.slaves[0] as string;
    const process = await lockAsNobody(slave);
    const error = await failure(recover(paths.log), 'BUSY');
    expect(error.message).toContain(`held by process ${process} (`);
    expect(error.message).toContain('of user nobody (65534), by an exclusive lock (flock)');
    expect(error.message).toContain('it is not the owner that the log records');
    const { status } = await inspect(paths.log);
    expect(status.images[1]?.error?.message).toContain(`held by process ${process} (`);
    const shell = operatorShell(() => mirrors.folder());
    const [look = '', end = '', shut = ''] = commandsOf(error.remedy);
    expect(shell.runs(look)).toContain(String(process));
    shell.runs(end);
    shell.runs(shut);
    expect(statSync(slave).mode & 0o777).toBe(0o600);
    expect((await recover(paths.log)).clean).toBe(true);
  });

  test('on the log: the same, and status does not call it the owner that looks after the mirror', async () => {
    const paths = await readable();
    const process = await lockAsNobody(paths.log);
    const error = await failure(recover(paths.log), 'BUSY');
    expect(error.message).toContain(`held by process ${process} (`);
    expect(error.message).toContain('it is not the owner that the log records');
    expect((await inspect(paths.log)).status.holder).toMatchObject({ process, uid: 65534, isOwner: false });
    const { stdout } = await runCommand(['status', paths.log]);
    expect(stdout).toContain('which is not the owner that the log records');
    expect(stdout.replace(/\s+/g, ' ')).toContain(`kill ${process}`);
  });
});

describe('a holder that is frozen', () => {
  test('of the mirror itself: BUSY says so, and its commands wake and end it, after which the mirror recovers', async () => {
    const paths = await mirrors.create();
    const writer = startChildWriter({ log: paths.log, run: 1, device: 'auto' }, new Ledger());
    try {
      await writer.acknowledged(10);
      process.kill(writer.process, 'SIGSTOP');
      const { message, remedy } = await failure(recover(paths.log), 'BUSY');
      expect(message).toContain('it is frozen (by a signal, a debugger or a freezer), and answers nobody');
      const [wake = '', end = ''] = commandsOf(remedy);
      expect([wake, end]).toEqual([`kill -CONT ${writer.process}`, `kill -KILL ${writer.process}`]);
      const shell = operatorShell(() => mirrors.folder());
      shell.runs(wake);
      await writer.acknowledged(20);
      expect((await failure(recover(paths.log), 'BUSY')).message).not.toContain('frozen');
      shell.runs(end);
      await writer.kill();
      expect((await recover(paths.log)).clean).toBe(false);
    } finally {
      await writer.kill();
    }
  });
});

testUnless(notRoot, 'a stranger that is frozen is ended by the signal that does not wait', async () => {
  const paths = await readable();
  const process = await lockAsNobody(paths.log);
  stranger?.kill('SIGSTOP');
  const { message, remedy } = await failure(recover(paths.log), 'BUSY');
  expect(message).toContain('it is frozen');
  expect(commandsOf(remedy)).toEqual(expect.arrayContaining([`kill -CONT ${process}`, `kill -KILL ${process}`]));
});

test('the owner of an open mirror is told from a stranger', async () => {
  const { paths } = await mirrors.make();
  expect((await inspect(paths.log)).status.holder).toMatchObject({ process: process.pid, isOwner: true });
  expect((await failure(mirrors.open(paths), 'BUSY')).message).not.toContain('not the owner');
});
