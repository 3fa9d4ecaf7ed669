/** Real block devices for tests: loop devices over files, with direct I/O to the file below. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { mkdtempSync } from 'node:fs';
import { basename, join } from 'node:path';
import { notRoot } from './skip';
import { writeFileInFull } from './temporary_folder';

export const noLoopDevices: string | null =
  notRoot ??
  (existsSync('/dev/loop-control')
    ? spawnSync('losetup', ['--version']).status === 0
      ? null
      : 'needs losetup (package mount)'
    : 'needs loop devices (/dev/loop-control)');

export interface LoopDeviceOptions {
  /** Logical block size in bytes; default 512. */
  sectorSize?: number;
  readOnly?: boolean;
  /** Past the page cache of the file below; default true. */
  directIo?: boolean;
}

export interface LoopDevice {
  path: string;
  backingFile: string;
}

export type MakeLoopDevice = (length: number, options?: LoopDeviceOptions) => LoopDevice;

/** To be called in a describe block; the devices that a test made are detached after it, and their files removed. */
export function useLoopDevices(): MakeLoopDevice {
  let devices: LoopDevice[] = [];
  let folder: string | null = null;
  afterEach(() => {
    for (const { path } of devices) execFileSync('losetup', ['--detach', path]);
    devices = [];
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
    folder = null;
  });
  return (length, options = {}) => {
    folder ??= mkdtempSync(join(tmpdir(), 'blockmirror-loop-'));
    const backingFile = writeFileInFull(join(folder, `device${devices.length}.img`), length);
    const device = { path: attachLoopDevice(backingFile, options), backingFile };
    devices.push(device);
    return device;
  };
}

/** The same file under another name, as a device that was unplugged comes back: the old one goes when nobody holds it any more. */
export function comesBackElsewhere(device: LoopDevice): void {
  const old = device.path;
  execFileSync('losetup', ['--detach', old]);
  device.path = attachLoopDevice(device.backingFile, {});
  if (device.path === old) throw new Error(`${old} was not held, and is itself again`);
}

/** Throws where somebody holds it: it would only go when it is let go. */
export function pull(device: LoopDevice): void {
  execFileSync('losetup', ['--detach', device.path]);
  if (existsSync(`/sys/block/${basename(device.path)}/loop`)) throw new Error(`${device.path} is still held`);
}

/** The same bytes again, after pull(). */
export function putBack(device: LoopDevice): void {
  device.path = attachLoopDevice(device.backingFile, {});
}

/** Writes to it fail with EPERM, whoever holds it. */
export function setReadOnly(path: string, readOnly: boolean): void {
  execFileSync('blockdev', [readOnly ? '--setro' : '--setrw', path]);
}

function attachLoopDevice(backingFile: string, options: LoopDeviceOptions): string {
  const { sectorSize = 512, readOnly = false, directIo = true } = options;
  const flags = [
    `--direct-io=${directIo ? 'on' : 'off'}`,
    `--sector-size=${sectorSize}`,
    ...(readOnly ? ['--read-only'] : []),
  ];
  return execFileSync('losetup', ['--find', '--show', ...flags, backingFile], { encoding: 'utf8' }).trim();
}
