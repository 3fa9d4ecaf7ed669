import { closeSync, openSync, writeSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { MAIN, runCommand } from '../support/command_line';
import { breakMirror, createMirrorFiles } from '../support/mirror_files';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();

test('of a clean mirror: no live intents', async () => {
  const { log } = await createMirrorFiles(folder());
  const json = await runCommand(['log', log, '--json']);
  expect(json.exitCode).toBe(0);
  expect(json.json()).toMatchObject({
    log,
    clean: true,
    damaged: false,
    liveIntents: [],
    extents: [],
    bytesCovered: 0,
  });
  expect((await runCommand(['log', log])).stdout).toMatch(/^Live intents +0, which/m);
});

test('after a kill: each intent with sequence, position and length, and what they come to', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  const json = await runCommand(['log', files.log, '--json']);
  expect(json.exitCode).toBe(0);
  const { liveIntents, extents, bytesCovered } = json.json();
  expect(liveIntents[0]).toEqual({
    sequence: expect.any(Number),
    position: expect.any(Number),
    length: expect.any(Number),
  });
  expect(extents.reduce((sum: number, { length }: { length: number }) => sum + length, 0)).toBe(bytesCovered);
  const text = await runCommand(['log', files.log]);
  expect(text.stdout).toMatch(/^ *SEQUENCE +POSITION +LENGTH$/m);
  expect(text.stdout).toMatch(/^ *[\d,]+ +[\d,]+ +[\d.]+ (B|KiB|MiB)$/m);
});

test('with a damaged ring: exit code 3, where the damage is, and what it means', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  const file = openSync(files.log, 'r+');
  writeSync(file, Buffer.alloc(4096, 0xff), 0, 4096, MIB);
  closeSync(file);
  const json = await runCommand(['log', files.log, '--json']);
  expect(json.exitCode).toBe(3);
  expect(json.json()).toMatchObject({ damaged: true, extents: [{ position: 0, length: 16 * MIB }] });
  expect(json.json().damage).not.toHaveLength(0);
  const text = await runCommand(['log', files.log]);
  expect(text.stdout).toMatch(/DAMAGED.*compares everything/);
});

test('a reader that goes away is no error', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  const script = '"$0" "$1" log "$2" | head -n 1';
  const { status, stderr, stdout } = spawnSync(
    'bash',
    ['-o', 'pipefail', '-c', script, process.execPath, MAIN, files.log],
    {
      encoding: 'utf8',
    },
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^Mirror/);
});
