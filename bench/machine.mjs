// The machine, honestly named: figures mean nothing without it. What cannot be found out is `null`, never guessed.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';

function textOf(file) {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return null;
  }
}

function output(program, args) {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch (error) {
    // systemd-detect-virt says 'none' with exit code 1.
    return error.stdout ? String(error.stdout).trim() : null;
  }
}

/** The disk that holds a block device: of a partition its parent. By sysfs, and so by kernel name. */
function diskNameOf(device) {
  const name = path.basename(realpathSync(device));
  const folder = realpathSync(`/sys/class/block/${name}`);
  return existsSync(path.join(folder, 'partition')) ? path.basename(path.dirname(folder)) : name;
}

/** What the kernel says of a disk in sysfs. */
export function diskFacts(device) {
  let name;
  try {
    name = diskNameOf(device);
  } catch {
    return { name: device, known: false };
  }
  const queue = (file) => textOf(`/sys/block/${name}/queue/${file}`);
  const driver = name.replace(/\d.*$/, '');
  const model = textOf(`/sys/block/${name}/device/model`);
  return {
    name,
    known: true,
    model,
    bytes: Number(textOf(`/sys/block/${name}/size`) ?? 0) * 512,
    volatileCache: queue('write_cache') === null ? null : queue('write_cache') === 'write back',
    forceUnitAccess: queue('fua') === null ? null : queue('fua') === '1',
    rotational: queue('rotational') === null ? null : queue('rotational') === '1',
    logicalBlockSize: Number(queue('logical_block_size')),
    physicalBlockSize: Number(queue('physical_block_size')),
    scheduler: /\[(.*)\]/.exec(queue('scheduler') ?? '')?.[1] ?? null,
    virtual: /^(vd|xvd)/.test(name) || /virtual|qemu|vbox/i.test(model ?? '') || null,
    inMemory: ['zram', 'ram', 'pmem'].includes(driver) || null,
    backingFile: textOf(`/sys/block/${name}/loop/backing_file`),
  };
}

function directoryFacts(directory) {
  const [source, type, options] = (output('findmnt', ['-no', 'SOURCE,FSTYPE,OPTIONS', '-T', directory]) ?? '').split(
    /\s+/,
  );
  const disk = source?.startsWith('/dev/')
    ? diskFacts(source.replace(/\[.*$/, ''))
    : { name: source ?? null, known: false };
  return { fileSystem: type ?? null, mountOptions: options ?? null, disk };
}

function virtualizationOf(cpuFlags) {
  const said = output('systemd-detect-virt', ['--vm']);
  if (said && said !== 'none') return said;
  return /\bhypervisor\b/.test(cpuFlags) ? 'a hypervisor' : null;
}

export function describeMachine(settings) {
  const cpuInfo = textOf('/proc/cpuinfo') ?? '';
  const { directory, devices } = settings;
  return {
    processor: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.cpus().length,
    memoryBytes: os.totalmem(),
    kernel: os.release(),
    node: process.version,
    virtualization: virtualizationOf(cpuInfo),
    loadAverage: os.loadavg()[0],
    files: devices ? null : directoryFacts(directory),
    disks: devices
      ? [devices.master, ...devices.slaves, devices.log].map((device) => ({ device, ...diskFacts(device) }))
      : [],
    commit: output('git', ['-C', path.dirname(new URL(import.meta.url).pathname), 'rev-parse', '--short=12', 'HEAD']),
    date: new Date().toISOString(),
  };
}

const yesNo = (value, yes, no, unknown) => (value === null || value === undefined ? unknown : value ? yes : no);

/** One line in plain words. Pure. */
export function diskInWords(disk) {
  if (!disk.known) return `${disk.name ?? 'an unknown disk'} (the kernel says nothing about it)`;
  const kind = disk.backingFile
    ? `a loop device over ${disk.backingFile}`
    : disk.virtual
      ? 'a virtual disk'
      : disk.inMemory
        ? 'memory'
        : yesNo(disk.rotational, 'rotating', 'not rotating', 'unknown kind');
  return [
    `${disk.name}${disk.model ? ` (${disk.model})` : ''}: ${kind}`,
    yesNo(disk.volatileCache, 'volatile cache', 'no volatile cache', 'cache unknown'),
    yesNo(disk.forceUnitAccess, 'FUA', 'no FUA (a durable write is a write and a flush)', 'FUA unknown'),
    `${disk.physicalBlockSize}-byte blocks`,
  ].join(', ');
}

/** Lines in plain words. Pure. */
export function machineInWords(machine) {
  const where = machine.files
    ? [`Files on ${machine.files.fileSystem ?? 'an unknown file system'}, ${diskInWords(machine.files.disk)}`]
    : machine.disks.map((disk) => `${disk.device}: ${diskInWords(disk)}`);
  const disks = machine.files ? [machine.files.disk] : machine.disks;
  const virtual = disks.some((disk) => disk.virtual);
  return [
    `${machine.processor}, ${machine.cores} cores, ${Math.round(machine.memoryBytes / 2 ** 30)} GiB` +
      `${machine.virtualization ? `, virtual machine (${machine.virtualization})` : ''}`,
    `Linux ${machine.kernel}, Node.js ${machine.node}`,
    ...where,
    ...(virtual ? ['The disk is virtual: take the ratios, not the absolute figures, and try it on yours.'] : []),
  ];
}

export function isBlockDevice(file) {
  return statSync(file, { throwIfNoEntry: false })?.isBlockDevice() === true;
}
