import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { runCommand } from '../support/command_line';
import { createMirrorFiles } from '../support/mirror_files';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();
const SIZE = 16 * MIB;

function flipByte(path: string, position: number): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, position);
  writeSync(file, Buffer.from([~(byte[0] as number) & 0xff]), 0, 1, position);
  closeSync(file);
}

test('identical images: exit code 0, and how much was compared', async () => {
  const { log } = await createMirrorFiles(folder());
  const result = await runCommand(['verify', log, '--json']);
  expect(result.exitCode).toBe(0);
  expect(result.json()).toMatchObject({ identical: true, clean: true, bytesCompared: SIZE, differences: [] });
});

test.each([0, 5 * MIB + 17, SIZE - 1])(
  'a byte that was changed behind our back at %d: exit code 3, and where',
  async (position) => {
    const { log, slave } = await createMirrorFiles(folder());
    flipByte(slave, position);
    const json = await runCommand(['verify', log, '--json']);
    expect(json.exitCode).toBe(3);
    expect(json.json()).toMatchObject({ identical: false, slaves: [{ name: 'slave1', bytesDiffered: 1 }] });
    const [difference] = json.json().differences;
    expect(difference.slave).toBe('slave1');
    expect(difference.position).toBeLessThanOrEqual(position);
    expect(difference.position + difference.length).toBeGreaterThan(position);
    const text = await runCommand(['verify', log]);
    expect(text.exitCode).toBe(3);
    expect(text.stdout).toMatch(/slave1/);
  },
);

test('images that were only said to be identical are proven so', async () => {
  const { log } = await createMirrorFiles(folder(), '16MiB', '--assume-identical');
  const before = await runCommand(['status', log, '--json']);
  expect(before.json().images[1].state).toBe('assumed');
  expect((await runCommand(['verify', log])).exitCode).toBe(0);
  const after = await runCommand(['status', log, '--json']);
  expect(after.json().images[1].state).toBe('synchronized');
});
