import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { runCommand, startCommand } from '../support/command_line';
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

test('verify, status and their exit codes agree about a difference, until the byte is put back', async () => {
  const { log, slave } = await createMirrorFiles(folder());
  flipByte(slave, 5 * MIB);
  const found = await runCommand(['verify', log]);
  expect(found.exitCode).toBe(3);
  expect(found.stdout).toMatch(/slave1 .*: inconsistent; 1 byte differs/);
  expect(found.stdout).toMatch(/Next: .*slave1 differs/s);
  const status = await runCommand(['status', log]);
  expect(status.exitCode).toBe(3);
  expect(status.stdout).toMatch(/slave1 +slave +inconsistent/);
  expect(status.stdout).toMatch(/a\s+verify\s+found\s+that\s+the\s+slave\s+differs/);
  expect(status.stdout).not.toMatch(/nothing to do/);
  flipByte(slave, 5 * MIB);
  const again = await runCommand(['verify', log]);
  expect(again.exitCode).toBe(0);
  expect(again.stdout).toMatch(/all images are identical\n\nNext: nothing to do/);
  expect((await runCommand(['status', log])).exitCode).toBe(0);
});

test('--repair copies what differs from the master: exit code 0, and status says so', async () => {
  const { log, slave, master } = await createMirrorFiles(folder());
  flipByte(slave, 5 * MIB);
  const found = await runCommand(['verify', log]);
  expect(found.stdout.replace(/\s+/g, ' ')).toMatch(/Next: blockmirror verify \S+ --repair copies it from the master/);
  const repaired = await runCommand(['verify', log, '--repair', '--rate', '1GiB']);
  expect(repaired.exitCode).toBe(0);
  expect(repaired.stdout).toMatch(/slave1 .*: synchronized; 1 byte differed, and was copied from the master/);
  expect(readFileSync(slave).subarray(0, SIZE).equals(readFileSync(master).subarray(0, SIZE))).toBe(true);
  expect((await runCommand(['status', log])).stdout).toMatch(/1 byte differed, repaired/);
});

test('interrupted it prints the command that goes on, and that one ends well', async () => {
  const { log } = await createMirrorFiles(folder());
  const { child, result } = startCommand(['verify', log, '--rate', '8MiB']);
  await new Promise((resolve) => setTimeout(resolve, 1200));
  child.kill('SIGINT');
  const { exitCode, stderr } = await result;
  expect(exitCode).toBe(130);
  const goesOn = /blockmirror (verify \S+ --position \d+ --rate \d+)/.exec(stderr.replace(/\s+/g, ' '))?.[1];
  expect(goesOn).toBeDefined();
  const rest = await runCommand((goesOn as string).split(' '));
  expect(rest.exitCode).toBe(0);
  expect(rest.stdout).toMatch(/it began at byte [1-9]/);
});

test('--from takes what a slave holds for all images, once it is said that it may, and verify then finds them equal', async () => {
  const { log, master, slave } = await createMirrorFiles(folder());
  flipByte(slave, 5 * MIB);
  const right = readFileSync(slave)[5 * MIB];
  const arguments_ = ['verify', log, '--from', 'slave1', '--extent', '5MiB+4KiB'];
  const refused = await runCommand(arguments_);
  expect(refused.exitCode).not.toBe(0);
  expect(refused.stderr.replace(/\s+/g, ' ')).toMatch(/would replace what the master.*--overwrite-master/);
  expect(readFileSync(master)[5 * MIB]).not.toBe(right);
  const taken = await runCommand([...arguments_, '--overwrite-master', '--json']);
  expect(taken.exitCode).toBe(0);
  expect(taken.json()).toMatchObject({ from: 'slave1', position: 5 * MIB, length: 4096, bytesChanged: 1 });
  expect(readFileSync(master)[5 * MIB]).toBe(right);
  const again = await runCommand([...arguments_, '--overwrite-master']);
  expect(again.stdout.replace(/\s+/g, ' ')).toMatch(/every image holds what slave1 held.*changed: 0 bytes.*Next: /);
  expect((await runCommand(['verify', log])).exitCode).toBe(0);
});

test.each([
  ['--extent', '5MiB'],
  ['--extent', '1+2+3'],
  ['--extent', 'x+4096'],
  ['--extent', '0+0'],
])('an extent that is none is refused: %s %s', async (...extent) => {
  const { log } = await createMirrorFiles(folder());
  expect((await runCommand(['verify', log, '--from', 'slave1', ...extent, '--overwrite-master'])).exitCode).toBe(2);
});

test('--from without an extent says what is missing', async () => {
  const { log } = await createMirrorFiles(folder());
  const result = await runCommand(['verify', log, '--from', 'slave1', '--overwrite-master']);
  expect(result.exitCode).toBe(2);
  expect(result.stderr).toMatch(/extent/);
});
