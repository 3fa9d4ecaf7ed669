import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readdirSync, readlinkSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Mirror } from '../../lib';
import { checkAcknowledged } from '../../lib/cli/demo/comparison';
import { runCommand, startCommand } from '../support/command_line';
import { breakMirror, createMirrorFiles, imagesEqual, mirrorFiles, type MirrorFiles } from '../support/mirror_files';
import { KIB, MIB, useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();
const { signal } = new AbortController();
const SIZE = 16 * MIB;

function digests(files: MirrorFiles): string[] {
  return [files.log, files.master, files.slave].map((path) =>
    createHash('sha256').update(readFileSync(path)).digest('hex'),
  );
}

test('after a kill the images are equal and hold every acknowledged write', async () => {
  const files = await createMirrorFiles(folder());
  const ledger = await breakMirror(files);
  const result = await runCommand(['recover', files.log, '--json']);
  expect(result.exitCode).toBe(0);
  const report = result.json();
  expect(report).toMatchObject({
    clean: false,
    dryRun: false,
    readBack: true,
    slaves: [{ name: 'slave1', state: 'synchronized' }],
  });
  expect(report.liveIntents).toBeGreaterThan(0);
  expect(report.bytesCovered).toBe(
    report.extents.reduce((sum: number, { length }: { length: number }) => sum + length, 0),
  );
  expect(imagesEqual(files, SIZE)).toBe(true);
  expect(await checkAcknowledged(files.slave, ledger, signal)).toMatchObject({ unitsLost: 0 });
});

test('--no-compare copies the same, and says that it does not know what differed', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  const report = (await runCommand(['recover', files.log, '--no-compare', '--json'])).json();
  expect(report).toMatchObject({ readBack: true, slaves: [{ state: 'synchronized', bytesDiffered: null }] });
  expect(report.bytesCopied).toBe(report.bytesCovered);
  expect(imagesEqual(files, SIZE)).toBe(true);
});

test('run again it has nothing to do', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  await runCommand(['recover', files.log]);
  const again = await runCommand(['recover', files.log, '--json']);
  expect(again.exitCode).toBe(0);
  expect(again.json()).toMatchObject({ clean: true, liveIntents: 0, bytesCopied: 0 });
  expect((await runCommand(['status', files.log])).stdout).toMatch(/Recovery +last at 20/);
});

test('--dry-run says what it would do, ends with 3 and changes no byte', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  const before = digests(files);
  const json = await runCommand(['recover', files.log, '--dry-run', '--json']);
  expect(json.exitCode).toBe(3);
  expect(json.json()).toMatchObject({ clean: false, dryRun: true, bytesCopied: 0 });
  expect(json.json().bytesCovered).toBeGreaterThan(0);
  const text = await runCommand(['recover', files.log, '--dry-run']);
  expect(text.stdout).toContain(`Next: blockmirror recover ${files.log}`);
  expect(digests(files)).toEqual(before);
});

test('--dry-run of a clean mirror ends with 0', async () => {
  const files = await createMirrorFiles(folder());
  const { exitCode, stdout } = await runCommand(['recover', files.log, '--dry-run']);
  expect(exitCode).toBe(0);
  expect(stdout).not.toMatch(/Next:/);
});

test('a mirror that is in use is refused, and the holder named', async () => {
  const files = await createMirrorFiles(folder());
  const program = `require('./dist').Mirror.open(${JSON.stringify(files.log)}).then(() => { console.log('open'); setInterval(() => {}, 1000); })`;
  const holder = spawn(process.execPath, ['--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    const result = await runCommand(['recover', files.log, '--json']);
    expect([result.exitCode, result.json().error.code]).toEqual([1, 'ERR_BLOCKMIRROR_BUSY']);
    expect(result.json().error.message).toContain(String(holder.pid));
  } finally {
    holder.kill('SIGKILL');
    await new Promise((resolve) => holder.once('close', resolve));
  }
});

describe('Ctrl-C', () => {
  /** Breaks the ring, so that recovery has to compare everything and can be met in the middle. */
  function damageRing(log: string): void {
    const file = openSync(log, 'r+');
    writeSync(file, Buffer.alloc(4 * KIB, 0xff), 0, 4 * KIB, 1024 * KIB + 128 * KIB);
    closeSync(file);
  }

  async function opened(process: number, path: string): Promise<void> {
    for (let tries = 0; tries < 500; tries += 1) {
      try {
        const descriptors = readdirSync(`/proc/${process}/fd`);
        if (descriptors.some((name) => readlinkSync(`/proc/${process}/fd/${name}`) === path)) return;
      } catch {
        // A descriptor that was closed meanwhile.
      }
      await sleep(5);
    }
    throw new Error(`${path} was not opened`);
  }

  test('stops between two steps, says that it is harmless, and the next run repairs it all', async () => {
    const files = mirrorFiles(folder());
    const { log, master, slave } = files;
    // A short ring: it is written anew when it was damaged, record by record.
    await Mirror.create({ log, master, slaves: [slave], size: '256MiB', ringRecords: 64, assumeIdentical: true });
    await breakMirror(files);
    damageRing(files.log);
    const { child, result } = startCommand(['recover', files.log, '--json']);
    await opened(child.pid ?? -1, files.slave);
    child.kill('SIGINT');
    const stopped = await result;
    expect(stopped.exitCode).toBe(130);
    expect(stopped.stderr).toMatch(/harmless/);
    expect(stopped.json().error).toMatchObject({
      code: 'ERR_BLOCKMIRROR_INTERRUPTED',
      remedy: expect.stringContaining('Run recover again'),
    });
    expect((await runCommand(['status', files.log])).exitCode).toBe(3);
    const again = await runCommand(['recover', files.log, '--json']);
    expect(again.exitCode).toBe(0);
    expect(again.json()).toMatchObject({ damaged: true, fullCompare: true });
    expect(imagesEqual(files, 256 * MIB)).toBe(true);
  });
});
