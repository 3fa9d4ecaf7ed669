/**
 * A create killed at some moment, then what must hold of what it left: the same create needs no further consent, the
 * same paths in other roles are refused, and the data of the master is there all the time.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readIdentityAt } from '../../lib/look/identify';
import { type CreateOptions, Mirror } from '../../lib/index';
import { createInChild } from './create_child';
import { MIB } from './temporary_folder';

export const KILLED_SIZE = 4 * MIB;

/** How a create finds its paths. */
export type Start = 'nothing there' | 'a master with data' | 'a mirror to be replaced';

interface Prepared {
  options: CreateOptions & { log: string; master: string; slaves: string[] };
  /** What the master holds; null: whatever create makes. */
  data: Buffer | null;
}

let prepared = 0;

async function prepare(start: Start, parent: string): Promise<Prepared> {
  const folder = join(parent, `create${(prepared += 1)}`);
  mkdirSync(folder);
  const [log, master, slave] = ['mirror.log', 'master.img', 'slave.img'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const options = { log, master, slaves: [slave], size: KILLED_SIZE, ringRecords: 64 };
  if (start === 'nothing there') return { options, data: null };
  if (start === 'a mirror to be replaced') await Mirror.create({ ...options, readBack: false });
  const data = randomBytes(KILLED_SIZE);
  const label = existsSync(master) ? readFileSync(master).subarray(KILLED_SIZE) : Buffer.alloc(MIB);
  writeFileSync(master, Buffer.concat([data, label]));
  const consent = start === 'a mirror to be replaced' ? { overwriteSignature: true } : {};
  return { options: { ...options, keepData: true, ...consent }, data };
}

/** @returns whether it was killed, and whether it left a log */
export async function killCreate(
  start: Start,
  folder: string,
  kill: { event?: number; afterMs?: number },
): Promise<{ killed: boolean; bound: boolean }> {
  const { options, data } = await prepare(start, folder);
  const { killed, message } = await createInChild(options, kill);
  if (message !== undefined) throw new Error(message);
  const bound = killed && existsSync(options.log);
  if (bound) {
    if ((await lifecycle(options.log)) === 'creating') await refuseOthers(options, folder);
  }
  const content = (path: string): Buffer => readFileSync(path).subarray(0, KILLED_SIZE);
  if (data !== null) expect(content(options.master).equals(data)).toBe(true);
  if (!killed) return { killed, bound };
  const finished = bound && (await lifecycle(options.log)) !== 'creating';
  if (finished && start !== 'a mirror to be replaced') return { killed, bound };
  await Mirror.create(options);
  if (data !== null) expect(content(options.master).equals(data)).toBe(true);
  expect(content(options.slaves[0] as string).equals(content(options.master))).toBe(true);
  expect(readdirSync(join(options.log, '..')).sort()).toEqual(['master.img', 'mirror.log', 'slave.img']);
  return { killed, bound };
}

/** A log that is there is whole at every moment: the old mirror's, until it is the plan of the new one. */
async function lifecycle(log: string): Promise<string> {
  const { superblock } = await readIdentityAt(log);
  if (superblock === null) throw new Error(`no superblock in ${log}`);
  return superblock.lifecycle;
}

async function slaveIsInSync(log: string): Promise<boolean> {
  const { superblock } = await readIdentityAt(log);
  return superblock?.images[1]?.state === 'in-sync';
}

/** The master and the slave exchanged, and another image: neither is what was begun. */
async function refuseOthers(options: Prepared['options'], folder: string): Promise<void> {
  const { log, master, slaves, size, ringRecords } = options;
  const plain = { log, size: size ?? 0, ringRecords: ringRecords ?? 0 };
  const other = join(folder, 'other.img');
  const attempts: CreateOptions[] = [
    { ...plain, master: slaves[0] as string, slaves: [master] },
    { ...plain, master: slaves[0] as string, slaves: [master], keepData: true },
    { ...plain, master: other, slaves: [master] },
    { ...plain, master, slaves: [other] },
  ];
  // With every consent but the one that names the old image: the former slave does not become master, until the log says
  // that all of it was copied, flushed and read back. Then both hold the same.
  if (existsSync(slaves[0] as string) && !(await slaveIsInSync(log))) {
    attempts.push({
      ...plain,
      master: slaves[0] as string,
      slaves: [master],
      keepData: true,
      overwriteSignature: true,
    });
  }
  for (const attempt of attempts) {
    await expect(Mirror.create(attempt)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_BLOCKMIRROR_(SIGNATURE_FOUND|STALE_MASTER|IMAGE_NOT_FOUND)$/),
    });
  }
  expect(existsSync(other)).toBe(false);
}
