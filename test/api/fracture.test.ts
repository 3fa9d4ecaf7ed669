/**
 * Slaves that the operator takes out: what they hold is one point in time, which is told from plain reads of their bytes
 * against what had been acknowledged when.
 */
import { readFileSync } from 'node:fs';
import { Mirror, type StateEvent, fracture, inspect, resync } from '../../lib/index';
import { runCommand } from '../support/command_line';
import { useFailingDevices } from '../support/failing_device';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import {
  MIB,
  MIRROR_SIZE,
  type Paths,
  describeDeviceKinds,
  failure,
  imagesEqual,
  pattern,
  useMirrors,
} from './support';

const BLOCK = 4096;
const mirrors = useMirrors();
const contentOf = (path: string): Buffer => readFileSync(path).subarray(0, MIRROR_SIZE);

describeDeviceKinds('fracture on', (device) => {
  test('under load both slaves hold one point in time: all that was acknowledged before, and of each writer no later write without its earlier ones', async () => {
    const { mirror, paths } = await mirrors.make({ device }, 3);
    const writers = 16;
    const written = new Array<number>(writers).fill(0);
    let writing = true;
    const load = Array.from({ length: writers }, async (_, writer) => {
      // Each writes its number of turn to the blocks of its own row, one after the other.
      for (let turn = 1; writing; turn++) {
        const block = Buffer.alloc(BLOCK);
        block.writeUInt32LE(turn, 0);
        await mirror.write(block, { position: (writer * 64 + (turn % 64)) * BLOCK });
        written[writer] = turn;
      }
    });
    while (written.some((turn) => turn < 80)) await new Promise((resolve) => setTimeout(resolve, 2));
    const before = [...written];
    const report = await mirror.fracture(['slave1', 'slave2']);
    const after = [...written];
    await new Promise((resolve) => setTimeout(resolve, 30));
    writing = false;
    await Promise.all(load);
    expect(report).toMatchObject({
      common: true,
      slaves: [
        { state: 'behind', error: null },
        { state: 'behind', error: null },
      ],
    });
    expect(report.pauseMs).toBeGreaterThan(0);
    await mirror.close();
    const [one, two] = paths.slaves.slice(0, 2).map(contentOf) as [Buffer, Buffer];
    expect(one.equals(two)).toBe(true);
    expect(one.equals(contentOf(paths.master))).toBe(false);
    for (let writer = 0; writer < writers; writer++) {
      const turns = Array.from({ length: 64 }, (_, row) => one.readUInt32LE((writer * 64 + row) * BLOCK));
      const last = Math.max(...turns);
      expect(last).toBeGreaterThanOrEqual(before[writer] as number);
      expect(last).toBeLessThanOrEqual((after[writer] as number) + 1);
      // The newest of each row up to the last one is there: nothing is missing in between.
      for (let turn = last; turn > last - 64; turn--) expect(turns[turn % 64]).toBe(turn);
    }
    const { bytesCopied } = await resync(paths.log);
    expect(bytesCopied).toBeGreaterThan(0);
    expect(imagesEqual(paths)).toBe(true);
  });
});

test('the report, the event and the status say when and by whom; the slave costs exactly what was written since', async () => {
  const { mirror, paths } = await mirrors.make({}, 2);
  const states: StateEvent[] = [];
  mirror.on('state', (event) => states.push(event));
  await mirror.write(pattern(64 * 1024, 1), { position: 0 });
  const { at, common } = await mirror.fracture(['slave2']);
  expect(common).toBe(true);
  expect(states).toEqual([{ image: 'slave2', from: 'in-sync', to: 'behind', reason: 'operator-request' }]);
  expect(mirror.status().images[2]).toMatchObject({
    state: 'behind',
    error: null,
    fracture: { at, cause: 'operator-request' },
  });
  await mirror.write(pattern(3 * BLOCK, 2), { position: MIB });
  expect(await mirror.resync()).toMatchObject({ inSync: true, bytesCopied: 3 * BLOCK });
  await mirror.close();
  expect(imagesEqual(paths)).toBe(true);
});

test('a slave that is out already holds another point in time, and the report says that there is no common one', async () => {
  const { mirror } = await mirrors.make({}, 3);
  const first = await mirror.fracture(['slave1']);
  await mirror.write(pattern(BLOCK, 1), { position: 0 });
  const second = await mirror.fracture(['slave1', 'slave2']);
  expect(second).toMatchObject({
    common: false,
    slaves: [
      { name: 'slave1', state: 'behind' },
      { name: 'slave2', state: 'behind', error: null },
    ],
  });
  expect(second.slaves[0]?.error).not.toBeNull();
  expect(mirror.status().images[1]?.fracture?.at).toBe(first.at);
});

test('below minInSync nothing is done; with it the last slave may go', async () => {
  const { mirror, paths } = await mirrors.make({ minInSync: 2 });
  await failure(mirror.fracture(['slave1']), 'TOO_FEW_IN_SYNC');
  expect(mirror.status().images[1]?.state).toBe('synchronized');
  await mirror.close();
  const again = await mirrors.open(paths);
  expect(await again.fracture(['slave1'])).toMatchObject({ common: true });
  await again.write(pattern(BLOCK, 1), { position: 0 });
});

test('names are of slaves, and at least one', async () => {
  const { mirror } = await mirrors.make();
  await failure(mirror.fracture([]), 'INVALID_OPTION');
  await failure(mirror.fracture(['master']), 'INVALID_OPTION');
  await expect(mirror.fracture('slave1' as never)).rejects.toHaveProperty('code', 'ERR_INVALID_ARG_TYPE');
  await mirror.close();
  await failure(mirror.fracture(['slave1']), 'CLOSED');
});

test('of a mirror that nobody has open, cleanly closed or not, and on the command line', async () => {
  const { mirror, paths } = await mirrors.make({}, 2);
  await mirror.write(pattern(BLOCK, 1), { position: MIB });
  mirrors.crash(mirror);
  expect(await fracture(paths.log, { slaves: ['slave1'] })).toMatchObject({ common: true });
  expect(contentOf(paths.slaves[0] as string).equals(contentOf(paths.master))).toBe(true);
  const { exitCode, stdout } = await runCommand(['fracture', paths.log, 'slave2']);
  expect(stdout).toMatch(
    /slave2 \(\S+\): behind, its device let go\none point in time: .*\nwrites were held for [\d.]+ ms\n\nNext: nothing has to be done/,
  );
  expect(exitCode).toBe(0);
  const again = await runCommand(['fracture', paths.log, 'slave1', '--json']);
  expect(again.exitCode).toBe(3);
  expect(again.json()).toMatchObject({ common: false, at: null });
  expect((await inspect(paths.log)).status.images.map(({ state }) => state)).toEqual([
    'synchronized',
    'behind',
    'behind',
  ]);
  expect((await runCommand(['fracture', paths.log])).exitCode).toBe(2);
  expect(await resync(paths.log)).toMatchObject({ inSync: true, bytesCopied: 0 });
});

describeUnless(noLoopDevices, 'a slave whose device has failed', () => {
  const living = useMirrors();
  const makeLoop = useLoopDevices();
  const makeFailing = useFailingDevices();

  test('stays out by its error; the other one keeps its point in time, and the report says that there is no common one', async () => {
    const failing = makeFailing(16 * MIB);
    const slaves = [failing.path, makeLoop(16 * MIB).path, makeLoop(16 * MIB).path];
    const paths: Paths = { log: makeLoop(32 * MIB).path, master: makeLoop(16 * MIB).path, slaves };
    await Mirror.create({ ...paths, readBack: false });
    const mirror = await living.open(paths);
    failing.breakIt();
    await mirror.write(pattern(64 * 1024, 1), { position: MIB });
    const report = await mirror.fracture(['slave1', 'slave2']);
    expect(report.common).toBe(false);
    expect(report.slaves[0]).toMatchObject({ state: 'failed', error: { code: 'ERR_BLOCKMIRROR_SLAVE_FAILED' } });
    expect(report.slaves[1]).toMatchObject({ state: 'behind', error: null });
  });
});
