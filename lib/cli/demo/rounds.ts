/**
 * The demo's work without its words: make a mirror, kill it under load, look, recover, look again.
 *
 * A kill may fall between two writes, and then nothing differs; so it is repeated, up to MAXIMUM_ROUNDS, until one has
 * left the images different. Every round counts for the verdict, not only the last.
 */
import { join } from 'node:path';
import {
  Mirror,
  inspect,
  recover,
  type CreateReport,
  type Extent,
  type ProgressListener,
  type RecoveryReport,
} from '../../index';
import { Ledger } from './acknowledgements';
import { checkAcknowledged, compareFiles, type AcknowledgedCheck, type Comparison } from './comparison';
import { runAndKill, type LoadResult } from './load';

export const MAXIMUM_ROUNDS = 12;
const FIRST_LOAD_MS = 2000;
const NEXT_LOAD_MS = 700;

export interface DemoPlan {
  folder: string;
  size: number;
  device: 'auto' | 'io_uring' | 'threads';
  signal: AbortSignal;
  onProgress: ProgressListener;
}

export interface DemoFiles {
  log: string;
  master: string;
  slave: string;
}

export function demoFiles(folder: string): DemoFiles {
  return { log: join(folder, 'mirror.log'), master: join(folder, 'master.img'), slave: join(folder, 'slave.img') };
}

export interface Round {
  load: LoadResult;
  liveIntents: number;
  extents: Extent[];
  bytesCovered: number;
  /** After the kill, before recovery. */
  broken: Comparison;
  report: RecoveryReport;
  repaired: Comparison;
  acknowledged: AcknowledgedCheck;
}

/** What the words need while it happens. */
export interface DemoObserver {
  created(report: CreateReport): void;
  loadBegins(round: number, threads: boolean): void;
  loadTick(writes: number, elapsedMs: number): void;
  killed(load: LoadResult): void;
  assessed(found: Pick<Round, 'liveIntents' | 'bytesCovered' | 'extents' | 'broken'>): void;
  recovered(report: RecoveryReport): void;
  checked(round: Round): void;
}

export function createDemoMirror(plan: DemoPlan): Promise<CreateReport> {
  const { log, master, slave } = demoFiles(plan.folder);
  const { size, device, onProgress, signal } = plan;
  return Mirror.create({ log, master, slaves: [slave], size, device, onProgress, signal });
}

export async function playRounds(plan: DemoPlan, mirrorSize: number, observer: DemoObserver): Promise<Round[]> {
  const ledger = new Ledger();
  const rounds: Round[] = [];
  while (rounds.length < MAXIMUM_ROUNDS && !rounds.some((round) => round.broken.bytesDiffered > 0)) {
    rounds.push(await playRound(plan, mirrorSize, rounds.length + 1, ledger, observer));
    if (!isRight(rounds[rounds.length - 1] as Round)) break;
  }
  return rounds;
}

async function playRound(
  plan: DemoPlan,
  mirrorSize: number,
  run: number,
  ledger: Ledger,
  observer: DemoObserver,
): Promise<Round> {
  const { log, master, slave } = demoFiles(plan.folder);
  const { signal, onProgress } = plan;
  const device = deviceOfRound(plan, run);
  observer.loadBegins(run, device === 'threads' && plan.device !== 'threads');
  const loadMs = run === 1 ? FIRST_LOAD_MS : NEXT_LOAD_MS;
  const load = await runAndKill({ log, run, device }, ledger, loadMs, {
    onTick: observer.loadTick.bind(observer),
    signal,
  });
  observer.killed(load);
  const { liveIntentCount, extents, bytesCovered } = await inspect(log);
  const broken = await compareFiles(master, slave, mirrorSize, extents, signal);
  const found = { liveIntents: liveIntentCount, extents, bytesCovered, broken };
  observer.assessed(found);
  const report = await recover(log, { device, signal, onProgress });
  observer.recovered(report);
  const repaired = await compareFiles(master, slave, mirrorSize, [], signal);
  const acknowledged = await checkAcknowledged(slave, ledger, signal);
  const round = { load, ...found, report, repaired, acknowledged };
  observer.checked(round);
  return round;
}

/**
 * io_uring takes both writes of a pair in one call, and the kernel finishes what it has taken even when the process is
 * killed; so a kill alone hardly ever parts the images. Threads write one image each: there it does.
 */
function deviceOfRound(plan: DemoPlan, run: number): DemoPlan['device'] {
  return plan.device === 'auto' && run > 1 ? 'threads' : plan.device;
}

/** Equal images that hold every acknowledged write, and no difference that the log had not named. */
export function isRight({ broken, repaired, acknowledged }: Round): boolean {
  return repaired.bytesDiffered === 0 && acknowledged.unitsLost === 0 && broken.bytesDifferedOutside === 0;
}
