/** I9 beyond the lock: the owner record of a log that was not sealed, told apart by boot, pid namespace and start. */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Mirror, inspect, recover, recoveryReportToText, verify } from '../../lib/index';
import { type OwnerFacts, type OwnerVerdict, judgeOwner } from '../../lib/look/owner';
import { innermostProcess, sameProcess, thisHost } from '../../lib/system/processes';
import { type Surrounding, commandIn, holdIn, noNamespaces, runIn } from '../support/namespaces';
import { describeUnless } from '../support/skip';
import { MIRROR_SIZE, type Paths, failure, imagesEqual, pattern, useMirrors } from './support';

const mirrors = useMirrors();

describe('the owner table', () => {
  const facts = (given: Partial<OwnerFacts>): OwnerFacts => ({
    sealed: false,
    boot: 'same',
    host: 'same',
    process: 'unseen',
    ...given,
  });
  const rows: [string, Partial<OwnerFacts>, OwnerVerdict, OwnerVerdict][] = [
    ['a log that was closed is free, whoever had it', { sealed: true, boot: 'other', host: 'other' }, 'free', 'free'],
    ['a process that has it open by another path holds it, whatever is said', { process: 'holds' }, 'held', 'held'],
    ['the same under another host name, as in containers', { process: 'holds', host: 'other' }, 'held', 'held'],
    ['a living process that cannot be looked at counts as holding it', { process: 'hidden' }, 'held', 'free'],
    ['a process that is gone holds nothing', { process: 'gone', host: 'other' }, 'free', 'free'],
    ['of a pid namespace that cannot be seen the lock decides', { process: 'unseen', host: 'other' }, 'free', 'free'],
    ['this host was started anew', { boot: 'other' }, 'free', 'free'],
    ['another host holds it until somebody says that it is dead', { boot: 'other', host: 'other' }, 'held', 'free'],
    ['without a boot id nothing is known', { boot: 'unknown' }, 'unknown', 'free'],
    [
      'without a boot id nothing is known of another host either',
      { boot: 'unknown', host: 'other' },
      'unknown',
      'free',
    ],
  ];
  test.each(rows)('%s', (_, given, verdict, takenOver) => {
    expect(judgeOwner(facts(given), false).verdict).toBe(verdict);
    expect(judgeOwner(facts(given), true).verdict).toBe(takenOver);
  });

  test('has a row for everything that can be', () => {
    for (const sealed of [true, false])
      for (const boot of ['same', 'other', 'unknown'] as const)
        for (const host of ['same', 'other'] as const)
          for (const process of ['holds', 'hidden', 'gone', 'unseen'] as const)
            expect(judgeOwner({ sealed, boot, host, process }, false).why).not.toBe('');
  });
});

describe('a process', () => {
  test('is the same one only with the same start', async () => {
    const { processStarted } = await thisHost();
    expect(await sameProcess(process.pid, processStarted)).toBe('lives');
    expect(await sameProcess(process.pid, processStarted + 1)).toBe('ended');
    expect(await sameProcess(process.pid, 0)).toBe('lives');
    expect(await sameProcess(4_194_305, processStarted)).toBe('ended');
  });

  test('has its number in its own pid namespace last', () => {
    expect(innermostProcess('Name:\tnode\nNSpid:\t4711\t12\t7\nNSsid:\t1\n')).toBe(7);
    expect(innermostProcess('NSpid:\t4711\n')).toBe(4711);
    expect(innermostProcess('Name:\tnode\n')).toBe(0);
  });
});

describe('a log that its owner did not close', () => {
  test('is opened again when the process that had it lives on without it', async () => {
    const { mirror, paths } = await mirrors.make();
    await mirror.write(pattern(4096, 1), { position: 0 });
    mirrors.crash(mirror);
    await (await mirrors.open(paths)).close();
    expect((await recover(paths.log)).clean).toBe(true);
  });

  test('is held by the process that has it open as another file, and no word takes it over', async () => {
    const { paths } = await mirrors.make();
    const copy = join(mirrors.folder(), 'copy.log');
    copyFileSync(paths.log, copy);
    for (const options of [{}, { takeOver: true }]) {
      const error = await failure(mirrors.open({ ...paths, log: copy }, options), 'BUSY');
      expect(error.message).toContain(`process ${process.pid}`);
      expect(error.message).toMatch(/by another path/);
      expect(error.message).not.toMatch(/take-over/);
    }
    await failure(recover(copy), 'BUSY');
    await failure(verify(copy), 'BUSY');
    expect(await recover(copy, { dryRun: true, takeOver: true })).toMatchObject({ held: true });
    expect((await inspect(copy)).status).toMatchObject({ phase: 'held', owner: { process: process.pid } });
  });
});

describeUnless(noNamespaces, 'a log that was left open', () => {
  const BOOT_ID = '/proc/sys/kernel/random/boot_id';

  /** Another machine, as far as a process can tell: its boot id, its host name, or both. */
  function machine({ bootId, host }: { bootId?: string; host?: string }): Surrounding {
    const steps = ['mount --make-rprivate /'];
    if (host !== undefined) steps.push(`echo ${host} > /proc/sys/kernel/hostname`);
    if (bootId !== undefined) {
      const file = join(mirrors.folder(), 'boot_id');
      writeFileSync(file, `${bootId}\n`);
      steps.push(`mount --bind '${file}' ${BOOT_ID}`);
    }
    return { flags: '-mu', first: steps.join(' && ') };
  }

  async function leftOpenBy(surrounding: Surrounding): Promise<Paths> {
    const paths = await mirrors.create();
    const holder = await holdIn(surrounding, paths.log);
    expect(holder.said).toBe('open');
    await holder.kill();
    return paths;
  }

  const ANOTHER_BOOT = '01234567-89ab-4cde-8f01-23456789abcd';

  test('on another host is not opened until somebody says that it is dead', async () => {
    const paths = await leftOpenBy(machine({ bootId: ANOTHER_BOOT, host: 'other-host' }));
    const error = await failure(mirrors.open(paths), 'BUSY');
    expect(error.message).toContain('other-host');
    expect(error.remedy).toContain(`\`blockmirror recover ${paths.log} --take-over\``);
    await failure(recover(paths.log), 'BUSY');
    expect((await inspect(paths.log)).status.phase).toBe('held');
    expect((await recover(paths.log, { takeOver: true })).slaves).toHaveLength(1);
    await (await mirrors.open(paths)).close();
    expect(imagesEqual(paths)).toBe(true);
  });

  test('on another host is called neither held nor free by a dry run, which plans once it is said to be dead', async () => {
    const paths = await leftOpenBy(machine({ bootId: ANOTHER_BOOT, host: 'other-host' }));
    // Waits until the kernel has taken the lock back of the process that was killed; a dry run does not.
    const refused = await failure(recover(paths.log), 'BUSY');
    const error = await failure(recover(paths.log, { dryRun: true }), 'BUSY');
    expect(error.message).toBe(refused.message);
    expect(error.message).toContain('other-host');
    const planned = await recover(paths.log, { dryRun: true, takeOver: true });
    expect(planned).toMatchObject({ dryRun: true, held: false, clean: false });
    expect(recoveryReportToText(planned)).not.toContain('open');
    await failure(mirrors.open(paths), 'BUSY');
  });

  test('on another host is not formatted over either, whatever may be overwritten', async () => {
    const paths = await leftOpenBy(machine({ bootId: ANOTHER_BOOT, host: 'other-host' }));
    const again = { ...paths, size: MIRROR_SIZE, keepData: true, overwriteSignature: true, readBack: false };
    const error = await failure(Mirror.create(again), 'BUSY');
    expect(error.message).toContain('other-host');
    await failure(mirrors.open(paths), 'BUSY');
    await Mirror.create({ ...again, takeOver: true });
    await (await mirrors.open(paths)).close();
  });

  test('before this host was started anew is recovered without a word', async () => {
    const paths = await leftOpenBy(machine({ bootId: ANOTHER_BOOT }));
    await (await mirrors.open(paths)).close();
  });

  test('in a container of this machine, under another host name, is recovered without a word', async () => {
    const paths = await leftOpenBy(machine({ host: 'container-7' }));
    await (await mirrors.open(paths)).close();
  });

  test('in a pid namespace that ended is recovered in a new one without a word', async () => {
    const paths = await mirrors.create();
    const first = await holdIn({ flags: '-mpf' }, paths.log);
    expect(first.said).toBe('open');
    await first.kill();
    const second = await holdIn({ flags: '-mpf' }, paths.log);
    expect(second.said).toBe('open');
    await second.kill();
    await (await mirrors.open(paths)).close();
  });

  test('where the boot id is masked is not opened without a word', async () => {
    const paths = await leftOpenBy({ flags: '-m' });
    const masked = { flags: '-m', first: 'mount -t tmpfs tmpfs /proc/sys' };
    const refused = await commandIn(masked, ['recover', paths.log, '--json']);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stdout + refused.stderr).toMatch(/USE_UNKNOWN/);
    expect(refused.stdout + refused.stderr).toMatch(/boot id of this machine cannot be read/);
    expect(await commandIn(masked, ['recover', paths.log, '--take-over'])).toMatchObject({ exitCode: 0 });
  });

  test('is named by our number of the process, seen from outside of its pid namespace', async () => {
    const paths = await mirrors.create();
    const holder = await holdIn({ flags: '-mpf' }, paths.log);
    try {
      const error = await failure(mirrors.open(paths), 'BUSY');
      const named = Number(/held by process (\d+) \(node\)/.exec(error.message)?.[1]);
      expect(named).toBeGreaterThan(1);
      expect(named).not.toBe(process.pid);
      expect((await inspect(paths.log)).status.owner).toMatchObject({ processName: null, pidNamespace: 'other' });
    } finally {
      await holder.kill();
    }
  });

  test('never names an innocent process of the pid namespace from which it is looked at', async () => {
    const { paths } = await mirrors.make();
    // In the new namespace the numbers begin at 1: whoever has one of those is innocent.
    const seen = await commandIn({ flags: '-mpf' }, ['recover', paths.log]);
    expect(seen.exitCode).not.toBe(0);
    expect(seen.stderr).toMatch(new RegExp(`process ${process.pid} of another pid namespace`));
    const status = await commandIn({ flags: '-mpf' }, ['status', paths.log]);
    expect(status.stdout).toMatch(new RegExp(`process ${process.pid}\\)? of another pid namespace`));
  });

  test('is not confused by what runs beside it', async () => {
    const other = await runIn({ flags: '-m' }, 'echo ready; exec sleep 60');
    try {
      const paths = await leftOpenBy({ flags: '-m' });
      await (await mirrors.open(paths)).close();
    } finally {
      await other.kill();
    }
  });
});
