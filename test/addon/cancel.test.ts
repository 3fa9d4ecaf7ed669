// A request is cancelled as a whole or not at all: decided when its first piece starts. The images are frozen meanwhile,
// so that it is known which pieces have started, and which wait behind as many as run at once.
import { type FreezableFolder, noFreezing, withFreezableFolder } from '../support/freezable_folder';
import { describeDeviceKinds } from '../support/device_kinds';
import { describeUnless } from '../support/skip';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';
import { type Outcome, RawEngine, expectNoEngineLeft, format, makeFiles, openFiles } from './raw_engine';

/** Pieces that run at once (kActivePieces of native/host/limits.h). */
const ACTIVE = 4096;

interface Write {
  ticket: number;
  position: number;
  outcome: Promise<Outcome>;
}

describeUnless(noFreezing, 'a cancel', () => {
  const folder = useTemporaryFolder();
  expectNoEngineLeft();

  describeDeviceKinds('by', (device) => {
    const onFrozenImages = (work: (engine: RawEngine, freezable: FreezableFolder) => Promise<void>): Promise<void> =>
      withFreezableFolder(folder(), async (freezable) => {
        const engine = new RawEngine(device);
        const files = makeFiles(folder(), 16 * MIB, 1, freezable.mountPoint);
        await openFiles(engine, files);
        await format(engine, files);
        freezable.freeze();
        try {
          await work(engine, freezable);
          await engine.command('close', {});
        } finally {
          freezable.thaw();
          engine.native.destroy();
        }
      });

    const startWrite = (engine: RawEngine, position: number, length: number): Write => {
      let ticket = -1;
      const outcome = engine.start((given) => {
        ticket = given;
        return engine.native.submitWrite(given, Buffer.alloc(length, 7), 0, length, position, false);
      });
      return { ticket, position, outcome };
    };
    /** All of one block: one of them is at the images, the others wait for it. */
    const startCrowd = (engine: RawEngine, count: number): Write[] =>
      Array.from({ length: count }, () => startWrite(engine, 0, 512));
    /** Until the engine has started as many pieces as run at once. */
    const untilNoMoreStart = async (engine: RawEngine): Promise<void> => {
      while (engine.native.snapshot().inFlight < ACTIVE) await new Promise(setImmediate);
    };
    const contentAt = async (engine: RawEngine, { position }: Write, length: number): Promise<Set<number>> =>
      new Set(await engine.readBytes(length, position));

    test('of writes whose pieces all wait aborts them, and nothing of them is written', () =>
      onFrozenImages(async (engine, { thaw }) => {
        const crowd = startCrowd(engine, ACTIVE);
        const waiting = [2, 4, 6].map((region) => startWrite(engine, region * MIB, 2 * MIB));
        await untilNoMoreStart(engine);
        const [first, spared, last] = waiting as [Write, Write, Write];
        for (const { ticket } of [first, last]) engine.native.cancel(ticket);
        thaw();
        expect((await Promise.all(crowd.map(({ outcome }) => outcome))).every(({ name }) => name === 'OK')).toBe(true);
        expect(await first.outcome).toMatchObject({ name: 'ABORTED' });
        expect(await spared.outcome).toMatchObject({ name: 'OK' });
        expect(await last.outcome).toMatchObject({ name: 'ABORTED' });
        expect(await contentAt(engine, first, 2 * MIB)).toEqual(new Set([0]));
        expect(await contentAt(engine, spared, 2 * MIB)).toEqual(new Set([7]));
        expect(await contentAt(engine, last, 2 * MIB)).toEqual(new Set([0]));
      }));

    test('of a write of which one piece runs and one waits changes nothing: it is written as a whole', () =>
      onFrozenImages(async (engine, { thaw }) => {
        const crowd = startCrowd(engine, ACTIVE - 1);
        const half = startWrite(engine, 2 * MIB, 2 * MIB);
        await untilNoMoreStart(engine);
        engine.native.cancel(half.ticket);
        thaw();
        await Promise.all(crowd.map(({ outcome }) => outcome));
        expect(await half.outcome).toMatchObject({ name: 'OK' });
        expect(await contentAt(engine, half, 2 * MIB)).toEqual(new Set([7]));
      }));
  });
});
