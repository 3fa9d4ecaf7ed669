/**
 * What one device, file or folder offers to a mirror. Reads and asks; writes nothing (into a folder, a file without a
 * name that is gone when it is closed).
 */
import { constants } from 'node:fs';
import { access, open, stat, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { findSignatures, findUses, formatSize, type DeviceFacts, type DeviceUse, type Signatures } from '../../index';
import { shellPath } from '../../base/shell';
import { shown } from '../../base/shown';
import { diskGroup } from '../../system/accounts';
import { partsOfPath, unsafeBecause } from '../../system/folders';
import { type Ownership, writersOf } from '../../look/trust';
import { failureOf } from '../failure';
import { type Check, type PathReport, ok, problem, warn, worst } from './checks';

const LABEL_AREA = 1024 * 1024;
const STAT_BLOCK = 512;

export async function checkPath(path: string, deviceFacts: (path: string) => DeviceFacts): Promise<PathReport> {
  const gathered = await gather(path, deviceFacts);
  return { path, verdict: worst(gathered.checks.map(({ verdict }) => verdict)), ...gathered };
}

interface Gathered {
  facts: DeviceFacts | null;
  checks: Check[];
}

async function gather(path: string, deviceFacts: (path: string) => DeviceFacts): Promise<Gathered> {
  let status;
  try {
    status = await stat(path);
  } catch (error) {
    return { facts: null, checks: [await judgeMissing(path, error as NodeJS.ErrnoException)] };
  }
  if (status.isDirectory()) return { facts: null, checks: await checkFolder(path) };
  if (!status.isFile() && !status.isBlockDevice())
    return {
      facts: null,
      checks: [problem('kind', 'neither a block device nor a file', 'Name a block device or a file')],
    };
  const checks = [ok('kind', status.isBlockDevice() ? 'block device' : 'file'), await checkPermissions(path)];
  if (!(await mayRead(path))) return { facts: null, checks };
  const { gid, mode } = status;
  checks.push(judgeAccess(path, { gid, mode, blockDevice: status.isBlockDevice() }, await diskGroup()));
  checks.push(...(await checkFolders(path)));
  const facts = addFacts(path, deviceFacts, checks);
  if (status.isFile()) checks.push(judgeAllocation(status.size, status.blocks * STAT_BLOCK));
  checks.push(...(await askAround(path)));
  return { facts, checks };
}

async function askAround(path: string): Promise<Check[]> {
  try {
    return [...judgeUses(await findUses(path)), ...judgeSignatures(await findSignatures(path))];
  } catch (error) {
    return [failedCheck('content', error)];
  }
}

/** The library's remedy, except where that would be to ask the doctor. */
function failedCheck(name: string, error: unknown): Check {
  const { code, message, remedy } = failureOf(error);
  const elsewhere = 'Look whether a security policy forbids it, and at the kernel log (dmesg)';
  return problem(name, message.replace(/\.$/, ''), code === 'ERR_BLOCKMIRROR_OPEN_FAILED' ? elsewhere : remedy);
}

function addFacts(path: string, deviceFacts: (path: string) => DeviceFacts, checks: Check[]): DeviceFacts | null {
  let facts;
  try {
    facts = deviceFacts(path);
  } catch (error) {
    checks.push(failedCheck('direct I/O', error));
    return null;
  }
  checks.push(ok('direct I/O', 'O_DIRECT works'), ...judgeFacts(facts));
  return facts;
}

async function judgeMissing(path: string, error: NodeJS.ErrnoException): Promise<Check> {
  if (error.code !== 'ENOENT')
    return problem('exists', error.message, 'Check the path and the permissions of its folders');
  const folder = await stat(dirname(resolve(path))).catch(() => null);
  if (folder?.isDirectory() === true)
    return warn('exists', 'no', 'create makes it as a file when --size is given; otherwise check the path');
  return problem('exists', 'no, nor does its folder', 'Check the path');
}

function mayRead(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}

async function checkPermissions(path: string): Promise<Check> {
  try {
    await access(path, constants.R_OK | constants.W_OK);
    return ok('permissions', 'may be read and written');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EROFS')
      return problem('permissions', 'it is read-only', 'Make it writable (blockdev --setrw, mount -o remount,rw)');
    return problem(
      'permissions',
      'may not be read and written',
      'Run it as root, or join the group that owns it (often disk)',
    );
  }
}

/** Of the bits of a mode. */
const GROUP_READS = 0o040;
const OTHERS_READ = 0o004;

/**
 * Who else may read or write it: what is on an image is as private as its mode, and whoever may read it can lock it, and so
 * keep the mirror from opening. Pure.
 * @param disk number of the group `disk`, which is root's equal where devices are concerned
 */
export function judgeAccess(path: string, file: Omit<Ownership, 'uid'>, disk: number | null): Check {
  const { gid, mode, blockDevice } = file;
  const equal = gid === 0 || (blockDevice && gid === disk);
  const writers = writersOf({ ...file, uid: 0 }, disk);
  const readers = (mode & OTHERS_READ) !== 0 ? 'every user' : (mode & GROUP_READS) !== 0 && !equal ? 'its group' : null;
  if (writers === 'nobody else' && readers === null) return ok('access', 'its owner and root alone');
  const who =
    writers === 'nobody else'
      ? `${readers} may read it`
      : `${writers === 'everybody' ? 'every user' : writers} may write it`;
  const so =
    writers === 'nobody else'
      ? 'and keep the mirror from opening by a lock'
      : 'so that nothing it says can be believed';
  const bits = blockDevice ? 'o-rwx' : 'go-rwx';
  return warn('access', `${who}, ${so}`, `Take that right from them: \`chmod ${bits} ${shellPath(path)}\``);
}

/** Of root alone: others can do no more than whoever may write the folder lets them. */
async function checkFolders(path: string): Promise<Check[]> {
  if (process.geteuid?.() !== 0) return [];
  const steps = await partsOfPath(path).catch(() => []);
  const unsafe = steps.find((step) => unsafeBecause(step) !== null);
  if (unsafe === undefined) return [ok('folders', 'root alone may write those that lead to it')];
  return [
    warn(
      'folders',
      `${shown(unsafe.folder)}: ${unsafeBecause(unsafe) ?? ''}, and could put another file in its place`,
      'Keep it in a folder that root alone may write; as root, blockmirror takes it only with --trust-folders',
    ),
  ];
}

/** Pure. */
export function judgeFacts(facts: DeviceFacts): Check[] {
  return [judgeSize(facts), ...(facts.readOnly ? [READ_ONLY] : []), judgeAlignment(facts), judgeCache(facts)];
}

const READ_ONLY = problem('writable', 'the device is read-only', 'Make it writable: blockdev --setrw');

function judgeSize(facts: DeviceFacts): Check {
  if (facts.size > 2 * LABEL_AREA) return ok('size', formatSize(facts.size));
  return problem('size', formatSize(facts.size), 'An image needs the size of the mirror and 1 MiB for its label');
}

function judgeAlignment(facts: DeviceFacts): Check {
  const { logicalBlockSize, physicalBlockSize, memoryAlignment, offsetAlignment } = facts;
  return ok(
    'alignment',
    `logical block ${formatSize(logicalBlockSize)}, physical ${formatSize(physicalBlockSize)}; ` +
      `direct I/O in multiples of ${formatSize(offsetAlignment)}, from memory at multiples of ${formatSize(memoryAlignment)}`,
  );
}

function judgeCache(facts: DeviceFacts): Check {
  if (!facts.volatileCache) return ok('write cache', 'none that loses data with the power: flushes cost nothing');
  if (facts.forceUnitAccess === 'native') return ok('write cache', 'volatile; single writes can be made durable (FUA)');
  return warn(
    'write cache',
    'volatile, without FUA: each durable write costs a flush of the whole device',
    'It is safe as an image. For the log prefer a device with FUA, or with a cache that survives power loss',
  );
}

/** Pure. */
export function judgeAllocation(size: number, allocated: number): Check {
  if (allocated >= size) return ok('allocation', 'in full');
  return problem(
    'allocation',
    `${formatSize(size - allocated)} of ${formatSize(size)} are holes, which would be filled or refused in the middle of a write`,
    'Allocate it in full: fallocate -l SIZE FILE',
  );
}

/** Pure. */
export function judgeUses(uses: readonly DeviceUse[]): Check[] {
  if (uses.length === 0) return [ok('in use', 'not mounted, no swap, no holders')];
  return uses.map(({ kind, detail, release }) =>
    problem(
      'in use',
      detail,
      release === null
        ? RELEASE[kind]
        : `Take it out of use first: \`${release}\`; there is no option to override this`,
    ),
  );
}

const RELEASE: Record<DeviceUse['kind'], string> = {
  mounted: 'Unmount it first; there is no option to override this',
  swap: 'swapoff it first; there is no option to override this',
  holder: 'Take it out of use first (vgchange -an, mdadm --stop, cryptsetup close)',
};

/** Pure. */
export function judgeSignatures({ signatures, probed, problem: reason }: Signatures): Check[] {
  const found = signatures.map(({ type, kind, label }) => {
    const what = label === null ? shown(type) : `${shown(type)} (${shown(label)})`;
    if (kind === 'blockmirror') return ok('content', what);
    return warn(
      'content',
      `it holds ${what}`,
      'create wants --keep-data for a master that holds data, --overwrite-signature for a slave or log',
    );
  });
  if (!probed)
    return [
      ...found,
      warn(
        'content',
        `not looked at: ${reason ?? 'blkid failed'}`,
        'Install blkid (package util-linux), which create asks too',
      ),
    ];
  return found.length > 0 ? found : [ok('content', 'no file system, partition table or RAID found')];
}

/** O_TMPFILE, which node:fs does not name: __O_TMPFILE | O_DIRECTORY. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

async function checkFolder(path: string): Promise<Check[]> {
  const checks = [ok('kind', 'folder')];
  const system = await statfs(path);
  const free = system.bavail * system.bsize;
  checks.push(ok('free space', `${formatSize(free)} free of ${formatSize(system.blocks * system.bsize)}`));
  checks.push(await checkFolderDirectIo(path));
  return checks;
}

/** Whether files in this folder take O_DIRECT. */
export async function checkFolderDirectIo(path: string): Promise<Check> {
  try {
    const file = await open(path, O_TMPFILE | constants.O_RDWR | constants.O_DIRECT, 0o600);
    await file.close();
    return ok('direct I/O', 'files here take O_DIRECT');
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code === 'EINVAL' || code === 'EOPNOTSUPP')
      return problem(
        'direct I/O',
        'files here do not take O_DIRECT',
        'Use a folder on ext4, xfs or btrfs (not tmpfs or a network file system)',
      );
    return problem('permissions', message, 'Name a folder in which you may make files');
  }
}
