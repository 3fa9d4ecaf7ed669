// What tests may leave behind on a machine: loop devices, mounts and processes that use their temporary folder, and
// files in it. Looked for by folder, so that devices of others are never touched.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { findCommand } from './requirements.mjs';

const isUnder = (folder, file) => file === folder || file.startsWith(folder + path.sep);

function loopDevices(folder) {
  const losetup = findCommand('losetup');
  if (losetup === undefined) return [];
  const text = execFileSync(losetup, ['--list', '--json', '--output', 'NAME,BACK-FILE'], { encoding: 'utf8' });
  const devices = text.trim() === '' ? [] : JSON.parse(text).loopdevices;
  return devices
    .filter((device) => device['back-file'] && isUnder(folder, device['back-file']))
    .map(({ name }) => ({ what: `loop device ${name}`, remove: () => spawnSync(losetup, ['--detach', name]) }));
}

function mounts(folder) {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((place) => isUnder(folder, place))
    .map((place) => ({ what: `mount ${place}`, remove: () => spawnSync('umount', [place]) }));
}

// By the environment they were started with: it names the folder as TMPDIR.
function processes(folder) {
  const found = [];
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      if (!readFileSync(`/proc/${id}/environ`, 'utf8').split('\0').includes(`TMPDIR=${folder}`)) continue;
      const executable = readlinkSync(`/proc/${id}/exe`);
      found.push({ what: `process ${id} (${executable})`, remove: () => process.kill(Number(id), 'SIGKILL') });
    } catch {
      // Ended meanwhile, or not ours to look at.
    }
  }
  return found;
}

function files(folder) {
  return readdirSync(folder).map((name) => ({ what: `${path.join(folder, name)}`, remove: () => undefined }));
}

export function findLeftovers(folder) {
  return [...processes(folder), ...mounts(folder), ...loopDevices(folder), ...files(folder)];
}

export function removeLeftovers(leftovers) {
  for (const { remove } of leftovers) {
    try {
      remove();
    } catch {
      // It was reported; it may have gone by itself.
    }
  }
}
