/**
 * A mirror killed again and again under load, and judged each time from outside: by plain reads of its images and by a
 * book of acknowledgements that lives in this process.
 */
import { inspect, recover, type RecoveryReport } from '../../lib/index';
import { Ledger } from '../../lib/cli/demo/acknowledgements';
import { checkAcknowledged, compareFiles } from '../../lib/cli/demo/comparison';
import { startChildWriter } from './child_writer';

export type DeviceKind = 'io_uring' | 'threads';
export const DEVICE_KINDS: readonly DeviceKind[] = ['io_uring', 'threads'];

export interface KilledMirror {
  log: string;
  /** Master first. */
  images: readonly string[];
  /** Bytes of the mirror. */
  size: number;
  recoveryBudget?: number;
}

export interface KillTally {
  kills: number;
  acknowledgedWrites: number;
  /** Kills after which the images differed: those that prove that recovery had something to do. */
  killsThatDiverged: number;
  largestCoverage: number;
}

/** Before recovery: whatever differs must be named by the log (I1). After: nothing differs, nothing acknowledged is gone. */
export async function judgeAndRecover(
  mirror: KilledMirror,
  ledger: Ledger,
  device: DeviceKind,
): Promise<{ diverged: boolean; bytesCovered: number; report: RecoveryReport }> {
  const { signal } = new AbortController();
  const [master, ...slaves] = mirror.images as [string, ...string[]];
  const { extents, bytesCovered } = await inspect(mirror.log);
  let diverged = false;
  for (const slave of slaves) {
    const broken = await compareFiles(master, slave, mirror.size, extents, signal);
    expect(broken.bytesDifferedOutside).toBe(0);
    diverged ||= broken.bytesDiffered > 0;
  }
  const report = await recover(mirror.log, { device });
  for (const slave of slaves) {
    expect((await compareFiles(master, slave, mirror.size, [], signal)).bytesDiffered).toBe(0);
  }
  for (const image of mirror.images) expect((await checkAcknowledged(image, ledger, signal)).unitsLost).toBe(0);
  return { diverged, bytesCovered, report };
}

/** Kills the writer at a random moment, between `opening` and a good second of load. */
export async function killRounds(mirror: KilledMirror, device: DeviceKind, kills: number): Promise<KillTally> {
  const ledger = new Ledger();
  const tally: KillTally = { kills: 0, acknowledgedWrites: 0, killsThatDiverged: 0, largestCoverage: 0 };
  for (let run = 1; run <= kills; run += 1) {
    const { log, recoveryBudget } = mirror;
    const writer = startChildWriter(
      { log, run, device, ...(recoveryBudget === undefined ? {} : { recoveryBudget }) },
      ledger,
    );
    // One in five dies while it opens; the others after a first acknowledgement and a random while.
    if (run % 5 !== 0) await writer.acknowledged(1);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 300));
    await writer.kill();
    const { diverged, bytesCovered } = await judgeAndRecover(mirror, ledger, device);
    tally.kills += 1;
    tally.killsThatDiverged += diverged ? 1 : 0;
    tally.largestCoverage = Math.max(tally.largestCoverage, bytesCovered);
  }
  tally.acknowledgedWrites = ledger.writes;
  return tally;
}
