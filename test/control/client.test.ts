// A mirror operated by its control socket: the same verbs, reports and errors as in its own process.
import { existsSync, statSync } from 'node:fs';
import type { MirrorClient } from '../../lib/index';
import { type ControlEvent, type Mirror, type Progress, connect } from '../../lib/index';
import { MIB, failure, pattern, useMirrors } from '../api/support';
import { useControlFolder } from './support';

useControlFolder();
const mirrors = useMirrors();
const clients: MirrorClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

async function connected(log: string): Promise<MirrorClient> {
  const client = await connect(log);
  clients.push(client);
  return client;
}

async function living(slaves = 1): Promise<{ mirror: Mirror; client: MirrorClient; log: string }> {
  const { mirror, paths } = await mirrors.make({ control: true }, slaves);
  return { mirror, client: await connected(paths.log), log: paths.log };
}

describe('a mirror with a control socket', () => {
  test('says where it is; the socket is of its owner alone, and gone when close() has resolved', async () => {
    const { mirror, client } = await living();
    const { control } = mirror.status();
    expect(control).toEqual({ socket: client.socket, problem: null });
    expect(statSync(client.socket).mode & 0o777).toBe(0o600);
    await mirror.close();
    expect(existsSync(client.socket)).toBe(false);
    expect(mirror.status().control).toBeNull();
  });

  test('shows the same status as in its own process', async () => {
    const { mirror, client } = await living();
    expect(await client.status()).toEqual(mirror.status());
  });

  test('fractures and resyncs; what was written meanwhile is copied, and progress is told', async () => {
    const { mirror, client } = await living();
    const report = await client.fracture(['slave1']);
    expect(report).toMatchObject({ common: true, slaves: [{ name: 'slave1', state: 'behind', error: null }] });
    expect(mirror.status().images[1]?.state).toBe('behind');
    await mirror.write(pattern(MIB, 1), { position: MIB });
    const told: Progress[] = [];
    const back = await client.resync(['slave1'], { onProgress: (progress) => told.push(progress) });
    expect(back).toMatchObject({ inSync: true, bytesCopied: MIB });
    expect(told.at(-1)).toMatchObject({ step: 'resync', bytesTotal: MIB });
    expect(mirror.status().images[1]?.state).toBe('synchronized');
  });

  test('verifies, and recovers what is clean', async () => {
    const { mirror, client } = await living();
    await mirror.write(pattern(4096, 2), { position: 0 });
    expect(await client.verify()).toMatchObject({ result: 'identical', bytesCompared: 8 * MIB });
    expect(await client.recover()).toMatchObject({ clean: true });
  });

  test('sets policies, also one without an end, and gives metrics in the format that was asked for', async () => {
    const { mirror, client } = await living();
    const report = await client.set({ minInSync: 2, deviceTimeout: Infinity, recoveryBudget: '2MiB' });
    expect(report.policies.minInSync).toBe(2);
    expect(mirror.status()).toMatchObject({ minInSync: 2, deviceTimeoutMs: null, coverage: { budget: 2 * MIB } });
    await failure(client.set({ minInSync: 3 }), 'INVALID_OPTION');
    expect(await client.metrics()).toMatch(/# EOF\s*$/);
    expect(await client.metrics({ format: 'prometheus' })).not.toMatch(/# EOF/);
  });

  test('pauses a resync and lets it go on, as the status shows', async () => {
    const { mirror, client } = await living();
    await client.fracture(['slave1']);
    await mirror.write(pattern(MIB, 3), { position: 0 });
    await client.pauseResync();
    expect((await client.status()).resyncPaused).toBe(true);
    let ended = false;
    const resync = client.resync().then((report) => {
      ended = true;
      return report;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(ended).toBe(false);
    await client.resumeResync();
    expect(await resync).toMatchObject({ inSync: true });
    expect((await client.status()).resyncPaused).toBe(false);
  });

  test('tells its status, then its events, then that it is closed', async () => {
    const { mirror, client } = await living();
    const heard: ControlEvent[] = [];
    const ended = (async () => {
      for await (const event of client.events()) heard.push(event);
    })();
    while (heard.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await mirror.fracture(['slave1']);
    while (heard.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await mirror.close();
    await ended;
    expect(heard[0]).toMatchObject({ event: 'status', data: { phase: 'running', uuid: mirror.status().uuid } });
    const state = heard.find(({ event }) => event === 'state');
    expect(state?.data).toEqual({ image: 'slave1', from: 'in-sync', to: 'behind', reason: 'operator-request' });
    expect(heard.at(-1)).toMatchObject({ event: 'closed', data: null });
  });

  test('answers with the errors of its own process', async () => {
    const { mirror, client } = await living();
    const here = await failure(mirror.resync(['nobody']), 'INVALID_OPTION');
    const there = await failure(client.resync(['nobody']), 'INVALID_OPTION');
    expect(there).toEqual(here);
    expect({ ...there, message: there.message }).toEqual({ ...here, message: here.message });
    await mirror.close();
    await failure(client.status(), 'CLOSED');
  });

  test('a client of an earlier opening is told that it is closed', async () => {
    const { mirror, client, log } = await living();
    await mirror.close();
    await mirrors.open({ log, master: '', slaves: [] }, { control: true });
    expect(await failure(client.status(), 'CLOSED')).toMatchObject({ message: expect.stringMatching(/opened again/) });
  });
});

describe('work that is stopped', () => {
  async function pausedResync(): Promise<{ mirror: Mirror; client: MirrorClient }> {
    const { mirror, client } = await living();
    await client.fracture(['slave1']);
    await mirror.write(pattern(MIB, 3), { position: 0 });
    await client.pauseResync();
    return { mirror, client };
  }

  test('by its signal ends with the reason of the signal, and has ended in the mirror', async () => {
    const { mirror, client } = await pausedResync();
    const controller = new AbortController();
    const reason = new Error('enough');
    const work = client.resync(null, { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 200);
    await expect(work).rejects.toBe(reason);
    await client.resumeResync();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(mirror.status().images[1]?.state).toBe('synchronizing');
  });

  test('a resync goes on without its client', async () => {
    const { mirror, client } = await pausedResync();
    const work = client.resync();
    await new Promise((resolve) => setTimeout(resolve, 200));
    client.close();
    await failure(work, 'CLOSED');
    await mirror.resumeResync();
    while (mirror.status().images[1]?.state !== 'synchronized') await new Promise((resolve) => setTimeout(resolve, 20));
  });

  test('a verify stops without its client', async () => {
    const { mirror, client } = await living();
    const work = client.verify({ rate: '1MiB' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    client.close();
    await failure(work, 'CLOSED');
    const began = performance.now();
    await mirror.close();
    expect(performance.now() - began).toBeLessThan(3000);
    expect(mirror.status().lastVerify).toBeNull();
  });
});

describe('connect()', () => {
  test('to a mirror that nobody has open', async () => {
    const { log } = await mirrors.create();
    expect(await failure(connect(log), 'NO_CONTROL')).toMatchObject({ image: 'log', path: log });
  });

  test('to one that was opened without, names who holds it', async () => {
    const { paths } = await mirrors.make();
    const error = await failure(connect(paths.log), 'NO_CONTROL');
    expect(error.message).toMatch(new RegExp(`held by process ${process.pid} .*without control`));
  });
});
