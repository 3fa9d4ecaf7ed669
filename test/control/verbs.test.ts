// Each verb of the command line against a mirror that another process has open: with a control socket, without, not open, stopped,
// frozen, in another pid namespace.
import { Mirror } from '../../lib/index';
import { type CommandResult, runCommand, startCommand } from '../support/command_line';
import { useFailingDevices } from '../support/failing_device';
import { useHolders } from '../support/holder';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { createMirrorFiles } from '../support/mirror_files';
import { noNamespaces } from '../support/namespaces';
import { describeUnless, testUnless } from '../support/skip';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';
import { useControlFolder } from './support';

const folder = useTemporaryFolder();
useControlFolder();
const hold = useHolders();

const CONTROL = { control: true, rejoin: 'manual' } as const;
const WITHOUT = { rejoin: 'manual' } as const;
const flat = (text: string): string => text.replace(/\s+/g, ' ');

async function json(...args: string[]): Promise<{ exitCode: number | null; document: Record<string, unknown> }> {
  const result = await runCommand([...args, '--json']);
  return { exitCode: result.exitCode, document: result.json() };
}

describe('a mirror that is open with a control socket', () => {
  let log: string;
  beforeEach(async () => {
    ({ log } = await createMirrorFiles(folder()));
  });

  test('fracture and resync act on it, and status shows it', async () => {
    await hold(log, CONTROL);
    const out = await json('fracture', log, 'slave1');
    expect(out).toMatchObject({ exitCode: 0, document: { common: true, log, slaves: [{ state: 'behind' }] } });
    expect((await json('status', log)).document).toMatchObject({ images: [{}, { state: 'behind' }] });
    const back = await json('resync', log);
    expect(back).toMatchObject({ exitCode: 0, document: { inSync: true, log } });
  });

  test('its writes go on while a slave goes out and comes back, and nothing is lost', async () => {
    const holder = await hold(log, CONTROL, { writes: true });
    await holder.until(({ acknowledged }) => acknowledged > 10);
    expect((await json('fracture', log, 'slave1')).exitCode).toBe(0);
    const { acknowledged } = holder.told();
    await holder.until((told) => told.acknowledged > acknowledged + 10);
    expect((await json('resync', log)).document).toMatchObject({ inSync: true });
    expect((await json('verify', log)).document).toMatchObject({ result: 'identical' });
    expect(holder.told().error).toBeNull();
  });

  test('verify compares there; --from takes what a slave holds, and wants consent as ever', async () => {
    await hold(log, CONTROL);
    expect((await json('verify', log)).document).toMatchObject({ result: 'identical', log });
    const from = ['verify', log, '--from', 'slave1', '--extent', '0+4096'];
    const refused = await runCommand(from);
    expect(refused.exitCode).toBe(2);
    expect(flat(refused.stderr)).toContain('--overwrite-master');
    const taken = await json(...from, '--overwrite-master');
    expect(taken).toMatchObject({ exitCode: 0, document: { from: 'slave1', length: 4096, log } });
  });

  test('set changes what it goes by, the recovery budget of this opening too', async () => {
    await hold(log, CONTROL);
    const set = await json('set', log, 'minInSync=2', 'deviceTimeout=none', 'recoveryBudget=2MiB');
    expect(set).toMatchObject({ exitCode: 0, document: { policies: { minInSync: 2, deviceTimeoutMs: null } } });
    const { document } = await json('status', log);
    expect(document).toMatchObject({ minInSync: 2, deviceTimeoutMs: null, coverage: { budget: 2 * MIB } });
    const wrong = await runCommand(['set', log, 'minInSync=9']);
    expect(wrong.exitCode).toBe(2);
  });

  test('recover pays there what a crash left, where the mirror was opened to recover later', async () => {
    const crashed = await hold(log, WITHOUT, { writes: true });
    await crashed.until(({ acknowledged }) => acknowledged > 5);
    await crashed.kill();
    await hold(log, { ...CONTROL, recovery: 'manual' });
    expect((await json('status', log)).document).toMatchObject({ phase: 'recovering' });
    const recovered = await json('recover', log);
    expect(recovered).toMatchObject({ exitCode: 0, document: { clean: false, log } });
    expect(recovered.document['bytesCovered']).toBeGreaterThan(0);
    expect((await json('status', log)).document).toMatchObject({ phase: 'running' });
    expect((await json('recover', log)).document).toMatchObject({ clean: true });
  });

  test('resync --pause holds a resync up, --resume lets it go on', async () => {
    await hold(log, CONTROL, { writes: true });
    await runCommand(['fracture', log, 'slave1']);
    expect(await json('resync', log, '--pause')).toMatchObject({ exitCode: 0, document: { resyncPaused: true } });
    const resync = startCommand(['resync', log, '--full', '--json']);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(resync.child.exitCode).toBeNull();
    expect(await json('resync', log, '--resume')).toMatchObject({ exitCode: 0, document: { resyncPaused: false } });
    expect((await resync.result).json()).toMatchObject({ inSync: true });
  });

  test.each([
    [['--pause', '--resume']],
    [['--pause', '--rate', '1MiB']],
    [['--resume', '--full']],
    [['slave1', '--pause']],
  ])('resync %j is a mistake of its caller', async (args) => {
    await hold(log, CONTROL);
    expect((await runCommand(['resync', log, ...args])).exitCode).toBe(2);
  });

  test('Ctrl-C stops the work there, and the mirror goes on', async () => {
    await hold(log, CONTROL);
    const verify = startCommand(['verify', log, '--rate', '1MiB']);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    verify.child.kill('SIGINT');
    const { exitCode, stderr } = await verify.result;
    expect(exitCode).toBe(130);
    expect(flat(stderr)).toMatch(/were compared\. .* It goes on with blockmirror verify/);
    // It has ended there: a second one does not wait behind it.
    expect((await json('verify', log)).document).toMatchObject({ result: 'identical' });
  });

  test('a client that is killed in the middle of a resync leaves the resync to the mirror, which ends it', async () => {
    await hold(log, CONTROL, { writes: true });
    await runCommand(['fracture', log, 'slave1']);
    const resync = startCommand(['resync', log, '--full', '--rate', '4MiB']);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    resync.child.kill('SIGKILL');
    await resync.result;
    expect((await json('status', log)).document).toMatchObject({ images: [{}, { state: 'synchronizing' }] });
    for (;;) {
      const { document } = await json('status', log);
      const [, slave] = document['images'] as { state: string }[];
      if (slave?.state === 'synchronized' || slave?.state === 'consistent') break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  });

  test('what says how a mirror is opened has no effect on one that is open, and that is said', async () => {
    await hold(log, CONTROL);
    const { exitCode, stderr } = await runCommand(['verify', log, '--device', 'threads', '--take-over']);
    expect(exitCode).toBe(0);
    expect(flat(stderr)).toContain('of no effect: --device, --take-over');
  });

  testUnless(noNamespaces, 'of another pid namespace is operated as any', async () => {
    await hold(log, CONTROL, { through: ['unshare', '--pid', '--fork', '--kill-child', '--mount', '--mount-proc'] });
    expect((await json('fracture', log, 'slave1')).document).toMatchObject({ common: true });
    expect((await json('resync', log)).document).toMatchObject({ inSync: true });
    expect((await json('set', log, 'minInSync=2')).document).toMatchObject({ policies: { minInSync: 2 } });
    expect((await json('verify', log)).document).toMatchObject({ result: 'identical' });
  });
});

/** Every verb that acts on a mirror. */
const VERBS: readonly (readonly [string, readonly string[]])[] = [
  ['fracture', ['slave1']],
  ['resync', []],
  ['verify', []],
  ['verify', ['--from', 'slave1', '--extent', '0+4096', '--overwrite-master']],
  ['set', ['minInSync=2']],
  ['recover', []],
];

const run = (log: string, [verb, args]: readonly [string, readonly string[]]): Promise<CommandResult> =>
  runCommand([verb, log, ...args]);

describe('a mirror that is open without a control socket', () => {
  test.each(VERBS)('%s %j says who holds it, that there is no socket, and how there would be one', async (...verb) => {
    const { log } = await createMirrorFiles(folder());
    const holder = await hold(log, WITHOUT);
    const { exitCode, stderr } = await run(log, verb);
    expect(exitCode).toBe(1);
    const said = flat(stderr);
    expect(said).toContain('ERR_BLOCKMIRROR_BUSY');
    expect(said).toContain(`process ${holder.process} `);
    expect(said).toContain('no control socket');
    expect(said).toContain('`{ control: true }`');
  });

  test('resync --pause has nothing to act on', async () => {
    const { log } = await createMirrorFiles(folder());
    const holder = await hold(log, WITHOUT);
    const { exitCode, stderr } = await runCommand(['resync', log, '--pause']);
    expect(exitCode).toBe(1);
    expect(flat(stderr)).toMatch(new RegExp(`held by process ${holder.process} .*ERR_BLOCKMIRROR_NO_CONTROL`));
  });
});

describe('a mirror that nobody has open', () => {
  test.each(VERBS)('%s %j opens it itself', async (...verb) => {
    const { log } = await createMirrorFiles(folder());
    expect((await run(log, verb)).exitCode).toBe(0);
  });

  test('whose holder was killed has a stale socket, which holds nobody up; the next holder has one again', async () => {
    const { log } = await createMirrorFiles(folder());
    const holder = await hold(log, CONTROL);
    await holder.kill();
    expect((await runCommand(['verify', log])).exitCode).toBe(0);
    await hold(log, CONTROL);
    expect((await json('set', log, 'recoveryBudget=4MiB')).exitCode).toBe(0);
  });

  test('has no resync to pause', async () => {
    const { log } = await createMirrorFiles(folder());
    const { exitCode, stderr } = await runCommand(['resync', log, '--pause']);
    expect(exitCode).toBe(1);
    expect(flat(stderr)).toContain('nobody is seen to have it open');
  });
});

describe('a mirror whose process is frozen', () => {
  test.each(VERBS)('%s %j gives up, and says what it is and how to wake it', async (...verb) => {
    const { log } = await createMirrorFiles(folder());
    const holder = await hold(log, CONTROL);
    holder.signal('SIGSTOP');
    const began = performance.now();
    const { exitCode, stderr } = await run(log, verb);
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(exitCode).toBe(1);
    const said = flat(stderr);
    expect(said).toContain('ERR_BLOCKMIRROR_NO_ANSWER');
    expect(said).toContain(`kill -CONT ${holder.process}`);
    holder.signal('SIGCONT');
    expect((await run(log, verb)).exitCode).toBe(0);
  });
});

describeUnless(noLoopDevices, 'a mirror that stopped, since its master failed', () => {
  const makeLoop = useLoopDevices();
  const makeFailing = useFailingDevices();

  test('verbs tell why, and status sees it as it is', async () => {
    const log = makeLoop(32 * MIB).path;
    const master = makeFailing(16 * MIB);
    await Mirror.create({ log, master: master.path, slaves: [makeLoop(16 * MIB).path], readBack: false });
    const holder = await hold(log, CONTROL, { writes: true });
    await holder.until(({ acknowledged }) => acknowledged > 5);
    try {
      master.breakIt();
      await holder.until(({ error }) => error === 'ERR_BLOCKMIRROR_MASTER_FAILED');
      for (const verb of VERBS.filter(([name]) => name !== 'recover')) {
        const { exitCode, stderr } = await run(log, verb);
        expect({ verb, exitCode }).toEqual({ verb, exitCode: 1 });
        expect({ verb, said: flat(stderr) }).toEqual({
          verb,
          said: expect.stringContaining('ERR_BLOCKMIRROR_MASTER_FAILED'),
        });
      }
      const status = await json('status', log);
      expect(status).toMatchObject({
        exitCode: 3,
        document: { phase: 'stopped', stopped: { code: 'ERR_BLOCKMIRROR_MASTER_FAILED' } },
      });
    } finally {
      // Before the devices go that it has open.
      await holder.kill();
    }
  });
});
