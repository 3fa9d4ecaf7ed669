/** Logs whose ring says more than anybody wrote: what a look at them may cost. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Progress, inspect, recover } from '../../lib/index';
import { createMirrorFiles, type MirrorFiles } from '../support/mirror_files';
import { runCommand } from '../support/command_line';
import { ForgedLog } from '../support/forge';
import { useTemporaryFolder } from '../support/temporary_folder';
import { failure } from './support';

const folder = useTemporaryFolder();
const GIB = 2 ** 30;
const MIB = 1024 * 1024;

/**
 * A log of 24 MiB whose every live record states every second block of 81 regions. Of the slots one is free, as a writer
 * leaves it: its record is retired.
 */
async function ringOfBitmaps(live = 2000): Promise<MirrorFiles> {
  const files = await createMirrorFiles(folder(), '4MiB');
  const forged = new ForgedLog(files.log);
  const records = live + 1;
  forged.claimRing(records);
  forged.claimMirrorSize(256 * GIB);
  for (let index = 0; index < records; index++) {
    const place = (index + live) % records;
    const regions = Array.from({ length: 81 }, (_, region) => 81 * place + region);
    const tail = index === live ? records + 1 : records;
    forged.write({ sequence: records + index, opening: forged.opening, tail, regions });
  }
  forged.close();
  return files;
}

/**
 * A dry run of a mirror that no recovery would take is refused, and these images are far smaller than their logs say:
 * while somebody holds the log it only says what a crash would leave.
 */
async function whileLocked<Result>(log: string, work: () => Promise<Result>): Promise<Result> {
  const holder = spawn('flock', ['--no-fork', '--exclusive', log, 'sleep', '600'], { stdio: 'ignore' });
  const ended = new Promise((resolve) => holder.once('close', resolve));
  try {
    while (!readFileSync('/proc/locks', 'utf8').includes(`:${statSync(log).ino} `)) {
      expect(holder.exitCode).toBeNull();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return await work();
  } finally {
    holder.kill('SIGKILL');
    await ended;
  }
}

test('a ring full of bitmaps: counted, told of a thousand, merged to few, in memory that does not grow with it', async () => {
  const { log } = await ringOfBitmaps();
  const before = process.memoryUsage.rss();
  const inspection = await inspect(log);
  const grown = process.memoryUsage.rss() - before;
  expect(inspection).toMatchObject({ damaged: false, clean: false, liveIntentCount: 2000 * 81 * 128 });
  expect(inspection.liveIntents).toHaveLength(1000);
  expect(inspection.status.logUse.recordsLive).toBe(2000);
  expect(inspection.extents).toEqual([{ position: 0, length: 2000 * 81 * MIB }]);
  expect(grown).toBeLessThan(150 * MIB);
  const report = await whileLocked(log, () => recover(log, { dryRun: true }));
  expect(report).toMatchObject({ liveIntents: 2000 * 81 * 128, bytesCovered: 2000 * 81 * MIB });
});

test('in the documents of the command line long lists are cut, and say how long they are', async () => {
  const { log } = await ringOfBitmaps(16);
  const shown = (await runCommand(['log', log, '--json'])).json();
  expect(shown.liveIntents).toHaveLength(1000);
  expect(shown).toMatchObject({ liveIntentCount: 16 * 81 * 128, extentCount: 16 * 81 * 128 });
  expect(shown.extents).toHaveLength(1000);
  const planned = (await whileLocked(log, () => runCommand(['recover', log, '--dry-run', '--json']))).json();
  expect(planned.extents).toHaveLength(1000);
  expect(planned).toMatchObject({ extentCount: 16 * 81 * 128, liveIntents: 16 * 81 * 128 });
  const text = (await runCommand(['log', log])).stdout;
  expect(text).toMatch(/… and 165,688 more; --json has the first thousand/);
});

test('a ring longer than any is damage of the superblock, however large the file is', async () => {
  for (const [records, recordSize] of [
    [1048576, 65536],
    [262145, 4096],
    [16385, 65536],
  ] as const) {
    const at = join(folder(), `${records}-${recordSize}`);
    mkdirSync(at);
    const { log } = await createMirrorFiles(at, '4MiB');
    const forged = new ForgedLog(log);
    forged.claimRing(records, recordSize);
    forged.close();
    expect(statSync(log).size).toBeGreaterThan(records * recordSize);
    await failure(inspect(log), 'LOG_DAMAGED');
    await failure(recover(log, { dryRun: true }), 'LOG_DAMAGED');
  }
});

test('the longest ring, all of it a hole, is read to its end as damage, and can be left before', async () => {
  const { log } = await createMirrorFiles(folder(), '4MiB');
  const forged = new ForgedLog(log);
  forged.claimRing(262144);
  forged.close();
  const controller = new AbortController();
  const reason = new Error('enough');
  const left = inspect(log, { signal: controller.signal }).catch((error: unknown) => error);
  controller.abort(reason);
  expect(await left).toBe(reason);
  const inspection = await inspect(log);
  expect(inspection).toMatchObject({ damaged: true, liveIntentCount: 0 });
  expect(inspection.damage).toHaveLength(64);
  expect(inspection.damageCount).toBe(262144);
  expect(inspection.extents).toEqual([{ position: 0, length: 4 * MIB }]);
});

test('while a long ring is read the step says how far it is', async () => {
  const { log } = await createMirrorFiles(folder(), '4MiB');
  const forged = new ForgedLog(log);
  forged.claimRing(65536);
  forged.close();
  const seen: number[] = [];
  const onProgress = ({ step, bytesDone, bytesTotal }: Progress): void => {
    expect({ step, bytesTotal }).toEqual({ step: 'scan', bytesTotal: 256 * MIB });
    seen.push(bytesDone);
  };
  await whileLocked(log, () => recover(log, { dryRun: true, onProgress }));
  expect(seen).toEqual([64 * MIB, 128 * MIB, 192 * MIB]);
});
