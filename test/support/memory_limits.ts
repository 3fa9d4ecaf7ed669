/**
 * The life of a mirror, each step in a process whose memory is limited (RLIMIT_AS) to little more than Node has taken:
 * how a step ends, and what the mirror holds after it, judged without the limit.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type DeviceKind, Mirror, recover, verify } from '../../lib/index';
import { bytesOf } from '../api/support';
import { MIB } from './temporary_folder';

const CHILD = join(__dirname, 'limited_child.cjs');
const SIZE = 64 * MIB;
const TIME_LIMIT_MS = 120_000;

/** A MiB apart, so that each is an intent of its own. */
const WRITES = Array.from({ length: 48 }, (_, index) => ({
  position: index * MIB,
  length: [4096, 65536, MIB][index % 3] as number,
  fill: index + 1,
}));

type Step = 'create' | 'open and write' | 'write' | 'recover' | 'inspect';

/** 'node': it ended as Node or the C++ library end where memory runs out. */
export type Ending = 'done' | 'refused' | 'node' | 'SIGSEGV';

interface Line {
  acknowledged?: number;
  misread?: number;
  refused?: number;
  ended?: 'done' | 'error';
  code?: string;
  message?: string;
}

interface Outcome {
  ending: Ending;
  acknowledged: number[];
}

const NODES_OWN_END = /out of memory|bad_alloc/i;
/** Of Node.js: no memory for a Buffer, for a child process, for the addon's own code. */
const NODES_OWN_ERROR = /Array buffer allocation failed|ENOMEM|ERR_MEMORY_ALLOCATION_FAILED|ADDON_MISSING/;

function isAllowed({ code, message }: Line): boolean {
  return code === 'ERR_BLOCKMIRROR_NO_MEMORY' || NODES_OWN_ERROR.test(`${code}: ${message}`);
}

function runOnce(step: Step, options: object, moreBytes: number): Outcome {
  const request = JSON.stringify({ step, options, writes: WRITES, moreBytes });
  const { stdout, stderr, signal } = spawnSync(process.execPath, [CHILD, request], {
    encoding: 'utf8',
    timeout: TIME_LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  const lines = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
  const told = { step, moreBytes, signal, stderr: stderr.slice(0, 2000) };
  expect({ ...told, misread: lines.filter(({ misread }) => misread !== undefined) }).toEqual({ ...told, misread: [] });
  const failed = lines.filter((line) => line.code !== undefined || line.ended === 'error');
  expect({ ...told, errors: failed.filter((line) => !isAllowed(line)) }).toEqual({ ...told, errors: [] });
  const acknowledged = lines.flatMap(({ acknowledged: number }) => (number === undefined ? [] : [number]));
  if (signal === 'SIGSEGV') return { ending: signal, acknowledged };
  const ended = lines.find((line) => line.ended !== undefined)?.ended;
  if (ended !== undefined) return { ending: ended === 'done' ? 'done' : 'refused', acknowledged };
  // Nothing else may end it: no assertion of ours, which says so, no other signal, and no time limit.
  expect(told).toMatchObject({
    signal: expect.stringMatching(/^SIG(ABRT|TRAP|ILL)$/) as string,
    stderr: expect.stringMatching(NODES_OWN_END) as string,
  });
  expect(stderr).not.toContain('blockmirror: invariant broken');
  return { ending: 'node', acknowledged };
}

/**
 * V8's collector writes through what malloc gave it without a look. That needs the last bytes to be gone in the middle of
 * a collection, so it is not met a little higher again and again; memory of ours that nobody looked at would be.
 */
function run(step: Step, options: object, moreBytes: number): Outcome {
  const acknowledged: number[] = [];
  for (let attempt = 0; attempt < 4; attempt += 1) {
    const outcome = runOnce(step, options, moreBytes + attempt * 700 * 1024);
    acknowledged.push(...outcome.acknowledged);
    if (outcome.ending !== 'SIGSEGV') return { ending: outcome.ending, acknowledged };
  }
  throw new Error(`${step} with ${moreBytes} bytes more than Node has ends by SIGSEGV`);
}

interface MirrorOptions {
  log: string;
  master: string;
  slaves: string[];
  size: number;
  ringRecords: number;
  readBack: boolean;
  device: DeviceKind;
}

function mirrorIn(folder: string, device: DeviceKind): MirrorOptions {
  mkdirSync(folder);
  const [log, master, slave] = ['log', 'master', 'slave'].map((name) => join(folder, name)) as [string, string, string];
  return { log, master, slaves: [slave], size: SIZE, ringRecords: 64, readBack: false, device };
}

async function expectIdentical({ log, master, slaves }: MirrorOptions, acknowledged: Iterable<number>): Promise<void> {
  const report = await verify(log);
  expect(report.slaves.map(({ bytesDiffered }) => bytesDiffered)).toEqual([0]);
  for (const image of [master, ...slaves]) {
    for (const number of acknowledged) {
      const { position, length, fill } = WRITES[number] as (typeof WRITES)[number];
      expect({ image, number, kept: bytesOf(image, position, length).equals(Buffer.alloc(length, fill)) }).toEqual({
        image,
        number,
        kept: true,
      });
    }
  }
}

/** @param moreBytes what each step may take beyond what Node has taken when it begins */
export async function liveWithin(moreBytes: number, folder: string, device: DeviceKind): Promise<Record<Step, Ending>> {
  const made = mirrorIn(join(folder, `made${moreBytes}`), device);
  const { ending: create } = run('create', made, moreBytes);
  // A create that was refused has left nothing in the way.
  if (create === 'refused') await Mirror.create(made);
  if (create !== 'node') await expectIdentical(made, []);

  const mirror = mirrorIn(join(folder, `used${moreBytes}`), device);
  await Mirror.create(mirror);
  const opened = run('open and write', mirror, moreBytes);
  const written = run('write', mirror, moreBytes);
  const { ending: recovered } = run('recover', mirror, moreBytes);
  const { ending: inspected } = run('inspect', mirror, moreBytes);
  await recover(mirror.log, { device });
  await expectIdentical(mirror, new Set([...opened.acknowledged, ...written.acknowledged]));
  return {
    create,
    'open and write': opened.ending,
    write: written.ending,
    recover: recovered,
    inspect: inspected,
  };
}
