/**
 * A request whose signal has fired while the log or the master hangs is abandoned: its caller goes on, and what it holds stays
 * held until the device has answered.
 */
import { once } from 'node:events';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { type BlockmirrorError, Mirror, verify } from '../../lib/index';
import { useFailingDevices } from '../support/failing_device';
import { noFreezing, withFreezableFolder } from '../support/freezable_folder';
import { describeUnless } from '../support/skip';
import { TIMEOUT_MS, until, withHanging } from './hanging';
import { MIB, describeDeviceKinds, failure, pattern, useMirrors } from './support';

const mirrors = useMirrors();
const reason = new Error('enough');

/** A write of that seed that hangs, and is called off when it does. */
async function abandonedWrite(mirror: Mirror, options: { transfer?: boolean } = {}): Promise<BlockmirrorError> {
  const controller = new AbortController();
  const { signal } = controller;
  const bytes = Mirror.alignedBuffer(4096).fill(pattern(4096, 1));
  const write = failure(mirror.write(bytes, { position: 0, signal, ...options }), 'OUTCOME_UNKNOWN');
  await new Promise((resolve) => setTimeout(resolve, 50));
  controller.abort(reason);
  return write;
}

describeUnless(noFreezing, 'a request that its signal calls off', () => {
  describeDeviceKinds('on', (device) => {
    test('while the master hangs: nobody knows what was written', () =>
      withHanging(mirrors, 'master', { device }, async ({ mirror, log, freeze, thaw }) => {
        freeze();
        expect((await abandonedWrite(mirror)).cause).toBe(reason);
        expect(mirror.status()).toMatchObject({
          pendingRequests: 0,
          abandonedRequests: 1,
          stalled: [{ device: 'master' }],
        });
        thaw();
        await until(() => mirror.status().abandonedRequests === 0);
        const { buffer } = await mirror.read(Buffer.alloc(4096), { position: 0 });
        expect([Buffer.alloc(4096), pattern(4096, 1)].some((content) => content.equals(buffer))).toBe(true);
        await mirror.close();
        expect((await verify(log)).result).toBe('identical');
      }));

    test.each([{ transfer: false }, { transfer: true }, { unaligned: true }])(
      'while the log hangs a write that no image has rejects with the reason, and is never written: %j',
      (options) =>
        withHanging(mirrors, 'log', { device }, async ({ mirror, log, freeze, thaw }) => {
          freeze();
          const controller = new AbortController();
          const bytes = Mirror.alignedBuffer(4096).fill(pattern(4096, 1));
          const write = mirror.write(bytes, { position: 0, signal: controller.signal, ...options });
          setTimeout(() => controller.abort(reason), 50);
          await expect(write).rejects.toBe(reason);
          expect(mirror.status()).toMatchObject({ pendingRequests: 0, abandonedRequests: 1 });
          thaw();
          await until(() => mirror.status().abandonedRequests === 0);
          expect(mirror.status().counters).toMatchObject({ writes: 0 });
          const { buffer } = await mirror.read(Buffer.alloc(4096), { position: 0 });
          expect(buffer.equals(Buffer.alloc(4096))).toBe(true);
          await mirror.close();
          expect((await verify(log)).result).toBe('identical');
        }),
    );

    test.each(['log', 'master'] as const)('a discard while the %s hangs, which goes on when it answers', (which) =>
      withHanging(mirrors, which, { device }, async ({ mirror, freeze, thaw }) => {
        await mirror.write(pattern(2 * MIB, 1), { position: 0, dsync: true });
        // Covered no more: else it would need no log.
        await until(() => mirror.status().coverage.bytes === 0);
        freeze();
        const controller = new AbortController();
        const discard = failure(mirror.discard(0, 2 * MIB, { signal: controller.signal }), 'OUTCOME_UNKNOWN');
        setTimeout(() => controller.abort(reason), 50);
        expect((await discard).cause).toBe(reason);
        thaw();
        await until(() => mirror.status().abandonedRequests === 0);
        const { buffer } = await mirror.read(Buffer.alloc(2 * MIB), { position: 0 });
        expect(buffer.equals(Buffer.alloc(2 * MIB))).toBe(true);
      }),
    );

    // Of several regions: it is called off before its first part begins, or not at all. Above 64 MiB it is cut into such.
    test.each([3 * MIB, 65 * MIB])(
      'a write of %d bytes, of which a part may be written when the log answers',
      (length) =>
        withHanging(mirrors, 'log', { device, size: 66 * MIB }, async ({ mirror, freeze }) => {
          freeze();
          const controller = new AbortController();
          const write = mirror.write(pattern(length, 1), { position: 0, signal: controller.signal });
          setTimeout(() => controller.abort(reason), 50);
          expect((await failure(write, 'OUTCOME_UNKNOWN')).cause).toBe(reason);
        }),
    );

    describe('and needs the log for the fracture of a slave', () => {
      const makeFailing = useFailingDevices();

      test('a datasync', () =>
        withFreezableFolder(mirrors.folder(), async ({ mountPoint, freeze, thaw }) => {
          const slave = makeFailing(16 * MIB);
          const log = path.join(mountPoint, 'log');
          await mirrors.create({ log, slaves: [slave.path], size: 8 * MIB, overwriteSignature: true });
          const mirror = await Mirror.open(log, { device, deviceTimeout: TIMEOUT_MS, rejoin: 'manual' });
          try {
            await mirror.write(pattern(65536, 1), { position: 2 * MIB });
            slave.breakIt();
            freeze();
            // Covered still, so that it reaches the slave, which fails it; that is to be written to the log.
            const write = mirror.write(pattern(65536, 2), { position: 2 * MIB });
            write.catch(() => undefined);
            await until(() => mirror.status().stalled?.[0]?.device === 'log');
            const controller = new AbortController();
            const datasync = failure(mirror.datasync({ signal: controller.signal }), 'OUTCOME_UNKNOWN');
            setTimeout(() => controller.abort(reason), 50);
            expect((await datasync).cause).toBe(reason);
            thaw();
            await until(() => mirror.status().abandonedRequests === 0);
            expect(mirror.status().images[1]?.state).toBe('failed');
          } finally {
            thaw();
            await mirror.close();
          }
        }));
    });

    test('a later write of the range waits for it, and is what stands there in the end', () =>
      withHanging(mirrors, 'master', { device }, async ({ mirror, freeze, thaw }) => {
        freeze();
        await abandonedWrite(mirror);
        let ended = false;
        const later = mirror.write(pattern(4096, 2), { position: 0 }).finally(() => (ended = true));
        await new Promise((resolve) => setTimeout(resolve, 200));
        expect(ended).toBe(false);
        thaw();
        await later;
        const { buffer } = await mirror.read(Buffer.alloc(4096), { position: 0 });
        expect(buffer.equals(pattern(4096, 2))).toBe(true);
      }));

    test('memory that was handed over is not given back while a device may read it', () =>
      withHanging(mirrors, 'master', { device }, async ({ mirror, freeze }) => {
        freeze();
        expect((await abandonedWrite(mirror, { transfer: true })).buffer).toBeUndefined();
      }));

    test('a read that waits for it rejects with the reason, and never touches its buffer', () =>
      withHanging(mirrors, 'master', { device }, async ({ mirror, freeze, thaw }) => {
        freeze();
        await abandonedWrite(mirror);
        const into = Buffer.alloc(4096, 0xee);
        const read = mirror.read(into, { position: 0, signal: AbortSignal.timeout(1) });
        await expect(read).rejects.toMatchObject({ name: 'TimeoutError' });
        thaw();
        await until(() => mirror.status().abandonedRequests === 0);
        expect(into.equals(Buffer.alloc(4096, 0xee))).toBe(true);
      }));

    test('a write that needs nothing that hangs is written, or was not begun', () =>
      withHanging(mirrors, 'log', { device }, async ({ mirror, freeze }) => {
        await mirror.write(pattern(4096, 3), { position: 0 });
        freeze();
        const waiting = mirror.write(pattern(4096, 4), { position: 4 * MIB });
        waiting.catch(() => undefined);
        await until(() => mirror.status().stalled?.length === 1);
        const controller = new AbortController();
        const covered = mirror.write(pattern(4096, 5), { position: 0, signal: controller.signal });
        controller.abort(reason);
        const ended = await covered.then(
          () => 'written',
          (error: unknown) => error,
        );
        expect(['written', reason]).toContain(ended);
      }));

    test('a slave that hangs leaves nothing unknown: it is fractured, and the write is acknowledged', () =>
      withHanging(mirrors, 'slave1', { device }, async ({ mirror, freeze }) => {
        freeze();
        const controller = new AbortController();
        const write = mirror.write(pattern(4096, 1), { position: 0, signal: controller.signal });
        await new Promise((resolve) => setTimeout(resolve, 50));
        controller.abort(reason);
        await expect(write).resolves.toMatchObject({ bytesWritten: 4096 });
        expect(mirror.status().images[1]?.state).toBe('failed');
      }));

    test('close waits for it, and seals the mirror', () =>
      withHanging(mirrors, 'master', { device }, async ({ mirror, log, freeze, thaw }) => {
        freeze();
        await abandonedWrite(mirror);
        let ended = false;
        const closing = mirror.close().finally(() => (ended = true));
        await new Promise((resolve) => setTimeout(resolve, 200));
        expect(ended).toBe(false);
        thaw();
        await closing;
        expect(await verify(log)).toMatchObject({ clean: true, result: 'identical' });
      }));

    test('a worker ends in bounded time all the same, and the next opening recovers', () =>
      withHanging(mirrors, 'master', { device }, async ({ mirror, log, freeze, thaw }) => {
        await mirror.close();
        const workerData = { log, device, deviceTimeout: TIMEOUT_MS };
        const worker = new Worker(path.join(__dirname, 'abandoned_worker.cjs'), { workerData });
        await once(worker, 'message');
        freeze();
        worker.postMessage('go');
        expect(await once(worker, 'message')).toEqual(['ERR_BLOCKMIRROR_OUTCOME_UNKNOWN']);
        const began = performance.now();
        await worker.terminate();
        expect(performance.now() - began).toBeLessThan(6000);
        thaw();
        let again: Mirror | null = null;
        for (let tries = 0; again === null && tries < 50; tries++) {
          again = await Mirror.open(log, { device }).catch(() => null);
          if (again === null) await new Promise((resolve) => setTimeout(resolve, 100));
        }
        await again?.close();
        expect((await verify(log)).result).toBe('identical');
      }));
  });
});

test('datasync does not begin when its signal has fired already', async () => {
  const { mirror } = await mirrors.make();
  await expect(mirror.datasync({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(mirror.status().counters).toMatchObject({ flushes: 0 });
});
