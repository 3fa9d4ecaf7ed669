// The kernel's own mirrors over the images of a place: md RAID1 with an internal bitmap, dm-mirror with a disk log, both
// at their defaults. Made before each of their runs and taken apart after it. They leave the labels of the images alone:
// what they use ends where the mirror's size ends.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import process from 'node:process';
import { findCommand } from '../scripts/requirements.mjs';
import { onExit, retrySync } from './cleanup.mjs';
import { attachLoop, loopsMissing } from './loop.mjs';

const MiB = 1024 * 1024;
const KiB = 1024;
const SECTOR = 512;
const MD_RESERVED = 16 * MiB; // superblock and bitmap of md, before its data
const DM_NAME = 'blockmirror-bench';
const DM_REGION_SECTORS = (2 * MiB) / SECTOR; // what LVM takes

function succeeds(program, args) {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function loadModules(names) {
  const modprobe = findCommand('modprobe');
  if (modprobe) for (const name of names) succeeds(modprobe, ['--quiet', name]);
}

function toolMissing(command, packageName, place) {
  if (process.getuid?.() !== 0) return 'it needs root';
  if (place.images.length !== 2) return 'measured with one slave';
  if (place.kind === 'files' && loopsMissing()) return loopsMissing();
  return findCommand(command) ? null : `${command} is not installed (package ${packageName})`;
}

/** @param {{ mayLoad?: boolean }} how whether the kernel's modules may be loaded to find out */
export function mdMissing(place, { mayLoad = true } = {}) {
  if (mayLoad) loadModules(['md_mod', 'raid1']);
  if (!existsSync('/proc/mdstat')) return 'this kernel has no md';
  return toolMissing('mdadm', 'mdadm', place);
}

export function dmMissing(place, { mayLoad = true } = {}) {
  if (mayLoad) loadModules(['dm_mod', 'dm_mirror']);
  if (!/device-mapper/.test(readFileSync('/proc/devices', 'utf8'))) return 'this kernel has no device mapper';
  const why = toolMissing('dmsetup', 'dmsetup', place);
  if (why) return why;
  if (!place.rawLog) return 'the log device has no room for a second log';
  const targets = execFileSync('dmsetup', ['targets'], { encoding: 'utf8' });
  return /^mirror\s/m.test(targets) ? null : "this kernel's device mapper has no mirror target";
}

/** Images as block devices: files by loop devices. */
function asDevices(images) {
  const loops = [];
  const devices = images.map((image) => {
    if (statSync(image).isBlockDevice()) return image;
    const loop = attachLoop(image);
    loops.push(loop);
    return loop.device;
  });
  return { devices, detach: () => loops.forEach((loop) => loop.detach()) };
}

/** Pure. */
export function mdCreateArguments(node, devices, size) {
  return [
    ...['--create', node, '--run', '--quiet', '--assume-clean', '--level=1', '--metadata=1.2', '--bitmap=internal'],
    ...[`--data-offset=${MD_RESERVED / KiB}`, `--size=${(size - MD_RESERVED) / KiB}`],
    ...[`--raid-devices=${devices.length}`, ...devices],
  ];
}

/** Pure. */
export function dmMirrorTable(devices, log, size) {
  const legs = devices.map((device) => `${device} 0`).join(' ');
  return `0 ${size / SECTOR} mirror disk 3 ${log} ${DM_REGION_SECTORS} nosync ${devices.length} ${legs}`;
}

function freeMdNode() {
  for (let number = 127; number >= 0; --number) {
    if (!existsSync(`/sys/block/md${number}`)) return `/dev/md${number}`;
  }
  throw new Error('no free md device');
}

const single = (place, device, size) => ({ ...place, images: [device], size });

/** What was made is undone last first, also when making the rest of it fails. */
function staged(make) {
  const steps = [];
  const undo = () => {
    while (steps.length > 0) steps.pop()();
  };
  try {
    return { place: make((step) => steps.push(step)), undo };
  } catch (error) {
    undo();
    throw error;
  }
}

/** @returns {{ place: object, undo: () => void }} the place with the kernel's mirror as its one image */
export function stageMd(place) {
  return staged((later) => {
    const { devices, detach } = asDevices(place.images);
    later(detach);
    const node = freeMdNode();
    const stop = () => {
      // When making it failed half way there is nothing to stop, but perhaps something to wipe.
      if (existsSync(`/sys/block/${node.slice('/dev/'.length)}/md`)) {
        retrySync(() => execFileSync('mdadm', ['--quiet', '--stop', node], { stdio: 'pipe' }));
      }
      succeeds('mdadm', ['--quiet', '--zero-superblock', ...devices]);
    };
    later(onExit(`stop ${node}`, stop));
    execFileSync('mdadm', mdCreateArguments(node, devices, place.size), { stdio: 'pipe' });
    return single(place, node, place.size - MD_RESERVED);
  });
}

export function stageDm(place) {
  return staged((later) => {
    const { devices, detach } = asDevices(place.images);
    later(detach);
    const { path, position: offset, length } = place.rawLog;
    const log = attachLoop(path, { offset, length });
    later(log.detach);
    const remove = () => {
      if (!succeeds('dmsetup', ['info', DM_NAME])) return;
      retrySync(() => execFileSync('dmsetup', ['remove', '--retry', DM_NAME], { stdio: 'pipe' }));
    };
    later(onExit(`remove ${DM_NAME}`, remove));
    const table = dmMirrorTable(devices, log.device, place.size);
    execFileSync('dmsetup', ['create', DM_NAME, '--table', table], { stdio: 'pipe' });
    // Where no udev runs, nobody else makes the node.
    execFileSync('dmsetup', ['mknodes', DM_NAME], { stdio: 'pipe' });
    return single(place, `/dev/mapper/${DM_NAME}`, place.size);
  });
}
