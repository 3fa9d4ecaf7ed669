import { copyFileSync, existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { deviceFacts, inspect, openEngines, probeIoUring } from '../../lib/index';
import { MIB, MIRROR_SIZE, bytesOf, describeDeviceKinds, failure, imagesEqual, pattern, useMirrors } from './support';

const mirrors = useMirrors();
const states = (status: { images: { state: string }[] }): string[] => status.images.map((image) => image.state);

test('an open mirror: everything an operator asks for, derived', async () => {
  const { mirror, paths } = await mirrors.make({ recoveryBudget: '2MiB' }, 2);
  const status = mirror.status();
  expect(status).toMatchObject({
    log: paths.log,
    size: MIRROR_SIZE,
    blockSize: 512,
    phase: 'running',
    stopped: null,
    logUse: { recordCount: 64, recordSize: 4096 },
    coverage: { bytes: 0, budget: 2 * MIB, uncertainBytes: 0 },
    pendingRequests: 0,
    lastRecovery: null,
    lastVerify: null,
    owner: { process: process.pid },
  });
  expect(status.uuid).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  expect(status.generation.counter).toBe(2);
  const inSync = { fracture: null, debt: 'none', bytesOwed: 0, resync: 'none' };
  const latency = expect.any(Object) as unknown;
  const { device } = status.logUse;
  expect(['io_uring', 'threads']).toContain(device);
  const unchanged = { error: null, changedAt: null, expectedAt: null, bytesDiffered: 0, device, latency, ...inSync };
  expect(status.images).toEqual([
    { name: 'master', role: 'master', path: paths.master, state: 'synchronized', ...unchanged },
    { name: 'slave1', role: 'slave', path: paths.slaves[0], state: 'synchronized', ...unchanged },
    { name: 'slave2', role: 'slave', path: paths.slaves[1], state: 'synchronized', ...unchanged },
  ]);
  expect(JSON.parse(JSON.stringify(status))).toEqual(status);
});

test('synchronized only while nothing is in flight', async () => {
  const { mirror } = await mirrors.make();
  const writing = mirror.write(pattern(4096, 1), { position: 0 });
  expect(states(mirror.status())).toEqual(['consistent', 'consistent']);
  expect(mirror.status().pendingRequests).toBe(1);
  await writing;
  expect(states(mirror.status())).toEqual(['synchronized', 'synchronized']);
  const reading = mirror.read(Buffer.alloc(512), { position: 0 });
  expect(states(mirror.status())).toEqual(['synchronized', 'synchronized']);
  await reading;
});

test('synchronized again after a discard', async () => {
  const { mirror } = await mirrors.make();
  const discarding = mirror.discard(0, MIB);
  expect(states(mirror.status())).toEqual(['consistent', 'consistent']);
  await discarding;
  expect(states(mirror.status())).toEqual(['synchronized', 'synchronized']);
});

test('coverage and counters follow the writes; a covered write needs no log write', async () => {
  const { mirror } = await mirrors.make();
  await mirror.write(pattern(4096, 1), { position: 0 });
  const first = mirror.status();
  expect(first.coverage.bytes).toBeGreaterThanOrEqual(4096);
  expect(first.logUse.recordsLive).toBeGreaterThan(0);
  expect(first.counters).toMatchObject({ writes: 1, bytesWritten: 4096, logRecords: 1 });
  await mirror.write(pattern(4096, 2), { position: 0 });
  expect(mirror.status().counters).toMatchObject({ writes: 2, coveredWrites: 1, logRecords: 1 });
});

test('coverage never passes the recovery budget', async () => {
  const { mirror } = await mirrors.make({ recoveryBudget: MIB });
  for (let index = 0; index < 64; index++) {
    await mirror.write(Buffer.alloc(4096), { position: ((index * 37) % 64) * 128 * 1024 });
    expect(mirror.status().coverage.bytes).toBeLessThanOrEqual(MIB);
  }
});

test('after close the last status stays, with phase closed', async () => {
  const { mirror } = await mirrors.make();
  await mirror.write(pattern(512, 1), { position: 0 });
  await mirror.close();
  expect(mirror.status()).toMatchObject({ phase: 'closed', owner: null, pendingRequests: 0, counters: { writes: 1 } });
  expect(states(mirror.status())).not.toContain('failed');
});

describe('inspect', () => {
  test('a closed mirror', async () => {
    const paths = await mirrors.create();
    const inspection = await inspect(paths.log);
    expect(inspection).toMatchObject({ clean: true, damaged: false, liveIntents: [], attachable: true });
    expect(inspection.status).toMatchObject({ phase: 'closed', logUse: { device: null }, owner: null, counters: {} });
    expect(states(inspection.status)).toEqual(['synchronized', 'synchronized']);
    expect(inspection.logDevice.path).toBe(paths.log);
    expect(inspection.imageDevices.map((facts) => facts?.size)).toEqual([MIRROR_SIZE + MIB, MIRROR_SIZE + MIB]);
    expect(inspection.lastOwner).toBeNull();
    await (await mirrors.open(paths)).close();
    expect((await inspect(paths.log)).lastOwner).toMatchObject({ process: process.pid });
  });

  test('a mirror that is open elsewhere: who has it, without disturbing it', async () => {
    const { mirror, paths } = await mirrors.make();
    await mirror.write(pattern(4096, 1), { position: MIB });
    const inspection = await inspect(paths.log);
    expect(inspection.status).toMatchObject({ phase: 'held', owner: { process: process.pid } });
    expect(states(inspection.status)).toEqual(['consistent', 'consistent']);
    expect(inspection.liveIntents.some(({ position }) => position <= MIB)).toBe(true);
    expect(inspection.attachable).toBe(false);
    await mirror.write(pattern(4096, 2), { position: MIB });
  });

  test('a mirror that is open elsewhere is not waited for, as whoever opens it does', async () => {
    const { paths } = await mirrors.make();
    const timed = async (work: () => Promise<unknown>): Promise<number> => {
      const started = performance.now();
      await work();
      return performance.now() - started;
    };
    const opening = await timed(() => failure(mirrors.open(paths), 'BUSY'));
    const looks = [];
    for (let look = 0; look < 3; look++) looks.push(await timed(() => inspect(paths.log)));
    expect(Math.min(...looks)).toBeLessThan(opening / 2);
  });

  test('a mirror that was not closed: its live intents, merged to extents', async () => {
    const { mirror, paths } = await mirrors.make();
    await mirror.write(pattern(4096, 1), { position: MIB });
    mirrors.crash(mirror);
    const inspection = await inspect(paths.log);
    expect(inspection.status.phase).toBe('unclean');
    expect(inspection).toMatchObject({ clean: false, attachable: true, status: { owner: null } });
    expect(inspection.bytesCovered).toBeGreaterThan(0);
    expect(inspection.extents.length).toBeGreaterThan(0);
    expect(inspection.liveIntents[0]?.sequence).toBeGreaterThan(0);
  });

  test('an image with a verdict against it is failed, with the reason', async () => {
    const paths = await mirrors.create();
    const slave = paths.slaves[0] as string;
    const old = join(mirrors.folder(), 'old');
    copyFileSync(slave, old);
    await (await mirrors.open(paths)).close();
    copyFileSync(old, slave);
    const inspection = await inspect(paths.log);
    expect(inspection.attachable).toBe(true);
    expect(inspection.obstacles).toEqual([]);
    expect(inspection.status.images[1]).toMatchObject({
      state: 'failed',
      error: { code: 'ERR_BLOCKMIRROR_STALE_IMAGE' },
    });
    expect(inspection.status.images[0]?.state).toBe('synchronized');
  });

  test('writes nothing', async () => {
    const { mirror, paths } = await mirrors.make();
    await mirror.write(pattern(4096, 1), { position: 0 });
    mirrors.crash(mirror);
    const files = [paths.log, paths.master, ...paths.slaves];
    const before = files.map((path) => bytesOf(path, 0, 20 * MIB));
    await inspect(paths.log);
    for (const [index, path] of files.entries()) {
      expect(bytesOf(path, 0, 20 * MIB).equals(before[index] as Buffer)).toBe(true);
    }
  });
});

test('device facts of a file, and the error for one that is not there', async () => {
  const paths = await mirrors.create();
  expect(deviceFacts(paths.master)).toMatchObject({
    path: paths.master,
    size: MIRROR_SIZE + MIB,
    blockDevice: false,
    readOnly: false,
  });
  await failure(
    Promise.resolve().then(() => deviceFacts('/nowhere/at/all')),
    'OPEN_FAILED',
  );
  expect(Number.isInteger(probeIoUring())).toBe(true);
});

const DIST = join(__dirname, '..', '..', 'dist', 'index.js');

/** What is built; `npm test` builds it first. */
function script(body: string): string {
  expect(existsSync(DIST)).toBe(true);
  return `const { Mirror } = require(${JSON.stringify(DIST)}); (async () => { ${body} })();`;
}

test('an idle open mirror does not keep the process alive', async () => {
  const paths = await mirrors.create();
  const body = `const m = await Mirror.open(${JSON.stringify(paths.log)}); await m.write(Buffer.alloc(512), { position: 0 });`;
  const ended = spawnSync(process.execPath, ['-e', script(body)], { timeout: 20_000, encoding: 'utf8' });
  expect(ended.stderr).toBe('');
  expect(ended.status).toBe(0);
  const mirror = await mirrors.open(paths);
  expect(mirror.status().lastRecovery).not.toBeNull();
});

test('a pending request keeps the process alive until it has settled', async () => {
  const paths = await mirrors.create();
  const body = `const m = await Mirror.open(${JSON.stringify(paths.log)});
    for (let i = 0; i < 200; i++) await m.write(Buffer.alloc(512, 1), { position: i * 512 });
    await m.datasync(); process.stdout.write('done'); await m.close();`;
  const ended = spawnSync(process.execPath, ['-e', script(body)], { timeout: 20_000, encoding: 'utf8' });
  expect([ended.stdout, ended.status]).toEqual(['done', 0]);
  expect((await inspect(paths.log)).status.phase).toBe('closed');
});

test('a mirror works in a worker thread, and its end does not take the process down', async () => {
  const paths = await mirrors.create();
  const body = `const m = await Mirror.open(${JSON.stringify(paths.log)});
    await m.write(Buffer.alloc(4096, 7), { position: 0 });
    require('node:worker_threads').parentPort.postMessage(m.status().phase);`;
  const worker = new Worker(script(body), { eval: true });
  const phase = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  expect(phase).toBe('running');
  await worker.terminate();
  expect(openEngines()).toBe(0);
  const mirror = await mirrors.open(paths);
  const { buffer } = await mirror.read(Buffer.alloc(4096), { position: 0 });
  expect(buffer.every((byte) => byte === 7)).toBe(true);
  await mirror.close();
  expect(imagesEqual(paths)).toBe(true);
});

describeDeviceKinds('latencies on', (device) => {
  test('of each image and the log, by what was asked, in order and in milliseconds', async () => {
    const { mirror } = await mirrors.make({ device }, 2);
    const began = performance.now();
    for (let index = 0; index < 50; index++) await mirror.write(pattern(4096, index), { position: index * 4096 });
    await mirror.datasync();
    const elapsedMs = performance.now() - began;
    const { images, logUse } = mirror.status();
    for (const latency of [logUse.latency, ...images.map((image) => image.latency)]) {
      const { count, p50Ms, p99Ms, p999Ms, maxMs } = latency?.lastMinute.write ?? fail('no write was counted');
      expect(count).toBeGreaterThan(0);
      const rising = [0, p50Ms, p99Ms, p999Ms, maxMs, elapsedMs + 1000];
      expect([...rising].sort((one, other) => one - other)).toEqual(rising);
      expect(latency?.sinceOpen.flush?.count).toBeGreaterThan(0);
    }
    for (const { latency } of images) expect(latency?.sinceOpen.write?.count).toBeGreaterThanOrEqual(50);
  });

  test('count for nothing what was not asked, and are known of an open mirror alone', async () => {
    const { mirror, paths } = await mirrors.make({ device });
    const slaveReads = (): unknown => mirror.status().images[1]?.latency?.lastMinute.read;
    const before = slaveReads();
    await mirror.read(Buffer.alloc(4096), { position: 0 });
    expect(slaveReads()).toEqual(before);
    await mirror.close();
    const { status } = await inspect(paths.log);
    expect([status.logUse.latency, ...status.images.map(({ latency }) => latency)]).toEqual([null, null, null]);
  });
});

function fail(why: string): never {
  throw new Error(why);
}
