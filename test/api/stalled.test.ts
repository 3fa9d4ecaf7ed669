/**
 * The log and the master of a mirror that hang: it cannot go on without them, says what it waits for, and since when, and goes
 * on when they answer. A file on a file system that is frozen takes no write until it is thawed.
 */
import { verify } from '../../lib/index';
import { noFreezing } from '../support/freezable_folder';
import { describeUnless } from '../support/skip';
import { TIMEOUT_MS, hasOpenBelow, until, withHanging } from './hanging';
import { MIB, describeDeviceKinds, pattern, useMirrors } from './support';

const mirrors = useMirrors();

describeUnless(noFreezing, 'a device that hangs', () => {
  describeDeviceKinds('on', (device) => {
    test.each(['log', 'master'] as const)('the %s: status and an event say so, and that it is over', (which) =>
      withHanging(mirrors, which, { device }, async ({ mirror, log, told, freeze, thaw }) => {
        expect(mirror.status().stalled).toEqual([]);
        freeze();
        const began = Date.now();
        let ended = false;
        const write = mirror.write(pattern(4096, 1), { position: 0 }).finally(() => (ended = true));
        await until(() => told.length > 0);
        expect(ended).toBe(false);
        const [stall] = mirror.status().stalled ?? [];
        expect(stall).toMatchObject({ device: which, operation: 'write' });
        expect(Math.abs(Date.parse(stall?.since ?? '') - began)).toBeLessThan(TIMEOUT_MS);
        expect(told).toEqual([{ ...stall, until: null }]);
        thaw();
        await write;
        await until(() => told.length > 1);
        expect(told[1]).toEqual({ ...stall, until: expect.any(String) });
        expect(mirror.status().stalled).toEqual([]);
        await mirror.close();
        expect((await verify(log)).result).toBe('identical');
      }),
    );

    test('the log: what needs no log write goes on', () =>
      withHanging(mirrors, 'log', { device }, async ({ mirror, told, freeze, thaw }) => {
        await mirror.write(pattern(4096, 1), { position: 0 });
        freeze();
        const uncovered = mirror.write(pattern(4096, 2), { position: 4 * MIB });
        await until(() => told.length > 0);
        const { buffer } = await mirror.read(Buffer.alloc(4096), { position: 0 });
        expect(buffer.equals(pattern(4096, 1))).toBe(true);
        thaw();
        await uncovered;
      }));

    test('a close that waits for it says what for', () =>
      withHanging(mirrors, 'master', { device }, async ({ mirror, told, freeze, thaw }) => {
        freeze();
        const write = mirror.write(pattern(4096, 1), { position: 0 });
        const closing = mirror.close();
        await until(() => told.length > 0);
        expect(told[0]).toMatchObject({ device: 'master', until: null });
        thaw();
        await write;
        await closing;
        expect(told.at(-1)).toMatchObject({ device: 'master', until: expect.any(String) });
      }));

    test('a slave: it is fractured, and said to hang until it answers', () =>
      withHanging(mirrors, 'slave1', { device }, async ({ mirror, told, freeze, thaw }) => {
        freeze();
        await mirror.write(pattern(4096, 1), { position: 0 });
        expect(mirror.status().stalled).toMatchObject([{ device: 'slave1', operation: 'write' }]);
        await until(() => told.length > 0);
        thaw();
        await until(() => told.some((event) => event.until !== null));
        expect(mirror.status()).toMatchObject({ stalled: [], images: [{}, { state: 'failed' }] });
      }));

    test('a verify with a deviceTimeout goes on without a slave that takes longer, and names it', () =>
      withHanging(mirrors, 'slave1', { device }, async ({ mirror, log, freeze, thaw }) => {
        await mirror.close();
        freeze();
        const began = performance.now();
        const report = await verify(log, { device, deviceTimeout: '400ms' });
        expect(performance.now() - began).toBeLessThan(10_000);
        expect(report).toMatchObject({ result: 'incomplete', slaves: [{ name: 'slave1', state: 'failed' }] });
        thaw();
        await until(() => !hasOpenBelow(mirrors.at('mounted')));
      }));
  });
});
