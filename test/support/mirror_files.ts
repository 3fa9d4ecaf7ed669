/** Mirrors over files, made and broken by the command line and by real kills. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ledger } from '../../lib/cli/demo/acknowledgements';
import { startChildWriter } from './child_writer';
import { runCommand } from './command_line';

export interface MirrorFiles {
  log: string;
  master: string;
  slave: string;
}

export function mirrorFiles(folder: string): MirrorFiles {
  return { log: join(folder, 'mirror.log'), master: join(folder, 'master.img'), slave: join(folder, 'slave.img') };
}

/** @param size as the command line takes it */
export async function createMirrorFiles(folder: string, size = '16MiB', ...more: string[]): Promise<MirrorFiles> {
  const files = mirrorFiles(folder);
  const args = [
    'create',
    '--log',
    files.log,
    '--master',
    files.master,
    '--slave',
    files.slave,
    '--size',
    size,
    ...more,
  ];
  const { exitCode, stderr } = await runCommand(args);
  if (exitCode !== 0) throw new Error(`create ended with ${exitCode}: ${stderr}`);
  return files;
}

/** Opens it in another process, writes, and kills that process in the middle. A ledger's runs have numbers that grow. */
export async function breakMirror(files: MirrorFiles, ledger = new Ledger(), writes = 200, run = 1): Promise<Ledger> {
  const writer = startChildWriter({ log: files.log, run, device: 'auto' }, ledger);
  try {
    await writer.acknowledged(writes);
  } finally {
    await writer.kill();
  }
  return ledger;
}

/** Whether the first `size` bytes of both images are the same, told by plain reads. */
export function imagesEqual(files: MirrorFiles, size: number): boolean {
  const [master, slave] = [readFileSync(files.master), readFileSync(files.slave)];
  return master.subarray(0, size).equals(slave.subarray(0, size));
}
