// SIGKILL at random moments while a slave is fractured, misses writes, comes back and is resynced, beside a load and beside
// recoveries: judged from outside, by plain reads of the images.
import { join } from 'node:path';
import { Ledger } from '../../lib/cli/demo/acknowledgements';
import { checkAcknowledged, compareFiles } from '../../lib/cli/demo/comparison';
import { inspect, Mirror, openEngines, recover, resync } from '../../lib/index';
import { startChildWriter } from '../support/child_writer';
import { DEVICE_KINDS } from '../support/kill_rounds';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

/** More of them for who has the time. */
const KILLS = Number(process.env['BLOCKMIRROR_KILLS'] ?? 15);
const SCRIPT = join(__dirname, '..', 'support', 'slave_that_goes.cjs');
const LONGEST_MS = 400;

const folder = useTemporaryFolder();
const { signal } = new AbortController();

afterAll(() => expect(openEngines()).toBe(0));

interface Files {
  log: string;
  images: [string, string, string];
  size: number;
}

async function sameAsMaster({ images, size }: Files, slave: string): Promise<boolean> {
  return (await compareFiles(images[0], slave, size, [], signal)).bytesDiffered === 0;
}

/** What the kill left: the states of the slaves, before anything is mended. */
async function judge(files: Files, ledger: Ledger): Promise<string> {
  const { log, images } = files;
  const found = (await inspect(log)).status.images.at(-1)?.state ?? '';
  await recover(log);
  for (const [index, { state }] of (await inspect(log)).status.images.entries()) {
    if (state === 'synchronized' && index > 0) {
      expect({ index, same: await sameAsMaster(files, images[index] as string) }).toEqual({ index, same: true });
    }
  }
  const report = await resync(log);
  expect(report).toMatchObject({ inSync: true });
  for (const image of images) {
    expect(await sameAsMaster(files, image)).toBe(true);
    expect((await checkAcknowledged(image, ledger, signal)).unitsLost).toBe(0);
  }
  return found;
}

test.each(DEVICE_KINDS)(
  `a slave that comes and goes, killed ${KILLS} times, %s: equal after its resync, and nothing acknowledged is lost`,
  async (device) => {
    const [log, ...images] = ['log', 'master', 'slave1', 'slave2'].map((name) => join(folder(), name));
    const [master, ...slaves] = images as [string, string, string];
    const { size } = await Mirror.create({ log: log as string, master, slaves, size: 16 * MIB, device });
    const files: Files = { log: log as string, images: images as Files['images'], size };
    const ledger = new Ledger();
    const found = new Map<string, number>();
    for (let run = 1; run <= KILLS; run += 1) {
      const writer = startChildWriter({ log: files.log, run, device }, ledger, SCRIPT);
      if (run % 5 !== 0) await writer.acknowledged(1);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * LONGEST_MS));
      await writer.kill();
      const state = await judge(files, ledger);
      found.set(state, (found.get(state) ?? 0) + 1);
    }
    console.log(`${device}: ${ledger.writes} writes acknowledged; killed with the slave ${JSON.stringify([...found])}`);
    expect(ledger.writes).toBeGreaterThan(KILLS);
    expect(found.size).toBeGreaterThan(1);
  },
  KILLS * 20_000,
);
