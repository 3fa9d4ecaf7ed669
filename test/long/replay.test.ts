/**
 * The method of dm-log-writes on the real kernel: what a mirror wrote to loop devices was recorded at the boundary of the
 * devices, with every flush; the devices are put into the state of each flush, each is recovered, and compared.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { noLoopDevices, useLoopDevices, type LoopDevice } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

const root = path.join(__dirname, '..', '..');
const POINTS = 60; // recoveries; each rewrites all devices

interface Entry {
  disk: number;
  kind: 'write' | 'flush' | 'acknowledged';
  durable: boolean;
  position: number;
  bytes: Buffer;
}

function parse(recording: Buffer): Entry[] {
  const kinds = ['', 'write', 'flush', 'acknowledged'] as const;
  const entries: Entry[] = [];
  for (let at = 0; at < recording.length;) {
    const length = Number(recording.readBigUInt64LE(at + 24));
    const kind = kinds[recording.readUInt32LE(at + 4)];
    if (kind === undefined || kind === '') throw new Error('a recording of another program');
    entries.push({
      disk: recording.readUInt32LE(at),
      kind,
      durable: recording.readUInt32LE(at + 8) === 1,
      position: Number(recording.readBigUInt64LE(at + 16)),
      bytes: recording.subarray(at + 32, at + 32 + length),
    });
    at += 32 + length;
  }
  return entries;
}

function put(device: string, content: Buffer): void {
  const file = openSync(device, 'r+');
  for (let at = 0; at < content.length; at += MIB) writeSync(file, content, at, Math.min(MIB, content.length - at), at);
  fsyncSync(file);
  closeSync(file);
  execFileSync('blockdev', ['--flushbufs', device]);
}

function blockmirror(...args: string[]): unknown {
  const main = path.join(root, 'dist', 'cli', 'main.js');
  return JSON.parse(execFileSync(process.execPath, [main, ...args, '--json'], { encoding: 'utf8' }));
}

describeUnless(noLoopDevices, 'the write stream of a real mirror, replayed to its flushes', () => {
  const loop = useLoopDevices();
  const folder = useTemporaryFolder();

  test.each([1, 2])('recovers to equal images that hold every acknowledged durable write (seed %i)', (seed) => {
    const [log, master, slave] = [loop(40 * MIB), loop(6 * MIB), loop(6 * MIB)] as [LoopDevice, LoopDevice, LoopDevice];
    const devices = [log, master, slave].map((device) => device.path);
    blockmirror('create', '--log', log.path, '--master', master.path, '--slave', slave.path, '--overwrite-signature');
    const states = devices.map((device) => readFileSync(device));
    spawnSync(process.execPath, ['scripts/cmake.mjs', 'replay'], { cwd: root, stdio: 'inherit' });
    const file = path.join(folder(), 'recording');
    execFileSync(path.join(root, 'build', 'native', 'record_writes'), [file, String(seed), ...devices]);
    const entries = parse(readFileSync(file));
    const flushes = entries.filter((entry) => entry.kind === 'flush' || entry.durable).length;
    const stride = Math.max(1, Math.floor(flushes / POINTS));
    const size = (blockmirror('status', log.path) as { size: number }).size;

    let seen = 0;
    let recovered = 0;
    // What must be there at least: bytes that a durable write was acknowledged with, until another write may be on its way.
    let certain = new Map<number, Buffer>();
    for (const [index, entry] of entries.entries()) {
      if (entry.kind === 'acknowledged') {
        certain.set(entry.position, entry.bytes);
        continue;
      }
      if (entry.kind === 'write') {
        entry.bytes.copy(states[entry.disk] as Buffer, entry.position);
        if (entry.disk > 0) {
          const end = entry.position + entry.bytes.length;
          certain = new Map(
            [...certain].filter(([position, bytes]) => position >= end || position + bytes.length <= entry.position),
          );
        }
        if (!entry.durable) continue;
      }
      if (seen++ % stride !== 0) continue;
      devices.forEach((device, disk) => put(device, states[disk] as Buffer));
      blockmirror('recover', log.path);
      recovered += 1;
      const [one, other] = [master, slave].map((device) => readFileSync(device.path).subarray(0, size)) as [
        Buffer,
        Buffer,
      ];
      if (!one.equals(other)) throw new Error(`the images differ after entry ${index} of seed ${seed}`);
      for (const [position, bytes] of certain) {
        if (!one.subarray(position, position + bytes.length).equals(bytes))
          throw new Error(`an acknowledged durable write at ${position} is gone after entry ${index} of seed ${seed}`);
      }
    }
    expect(recovered).toBeGreaterThanOrEqual(POINTS / 2);
    expect(entries.some((entry) => entry.kind === 'acknowledged')).toBe(true);
  });
});
