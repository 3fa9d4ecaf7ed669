/**
 * What is on a device or in a file, asked of blkid (and, for how far it reaches, of partx and dumpe2fs): we write no
 * prober of our own. Parsers are pure; a tool that is missing is an answer, not an error.
 */
import type { Signature } from '../base/types';
import { runTool } from './child_processes';
import { openToRead } from './files';

export interface Probe {
  signature: Signature | null;
  probed: boolean;
  problem: string | null;
}

/** What is on the device or file that the path leads to now. @throws OPEN_FAILED */
export async function probe(path: string): Promise<Probe> {
  const file = await openToRead(path);
  try {
    return await probeDescriptor(file.fd);
  } finally {
    await file.close();
  }
}

async function probeDescriptor(descriptor: number): Promise<Probe> {
  const { exitCode, stdout, stderr, problem } = await runTool('blkid', ['-p', '-o', 'export'], descriptor);
  // 2: nothing found, 8: several that contradict each other.
  if (exitCode === 2 && stderr.trim() === '') return { signature: null, probed: true, problem: null };
  if (exitCode === 8) {
    return { signature: signature('several signatures', 'other', null, null), probed: true, problem: null };
  }
  const values = parseExport(stdout);
  if (exitCode !== 0 || values.size === 0) {
    const ended = `blkid ended with ${exitCode} and says ${stderr.trim() === '' ? 'nothing' : stderr.trim()}`;
    return { signature: null, probed: false, problem: problem ?? ended };
  }
  const found = signatureOf(values);
  if (found !== null && found.reaches === null) found.reaches = await reachOf(found, descriptor);
  return { signature: found, probed: true, problem: null };
}

/** NAME=value lines; blkid escapes blanks and the like with a backslash. */
export function parseExport(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) values.set(line.slice(0, equals), line.slice(equals + 1).replace(/\\(.)/g, '$1'));
  }
  return values;
}

export function signatureOf(values: ReadonlyMap<string, string>): Signature | null {
  const label = values.get('LABEL') ?? values.get('PTUUID') ?? values.get('UUID') ?? null;
  const type = values.get('TYPE');
  if (type !== undefined) {
    const size = Number(values.get('FSSIZE'));
    const usage = values.get('USAGE');
    const kind = usage === 'filesystem' ? 'filesystem' : usage === 'raid' ? 'raid' : 'other';
    return signature(type, kind, label, Number.isSafeInteger(size) && size > 0 ? size : null);
  }
  const table = values.get('PTTYPE');
  return table === undefined ? null : signature(table, 'partition-table', label, null);
}

function signature(type: string, kind: Signature['kind'], label: string | null, reaches: number | null): Signature {
  return { type, kind, label, reaches };
}

async function reachOf(found: Signature, descriptor: number): Promise<number | null> {
  if (found.kind === 'partition-table') {
    const table = await runTool('partx', ['-b', '-r', '-g', '-o', 'START,SIZE'], descriptor);
    return table.exitCode === 0 ? parsePartitionsEnd(table.stdout) : null;
  }
  if (/^ext[234]$/.test(found.type)) {
    const header = await runTool('dumpe2fs', ['-h'], descriptor);
    return header.exitCode === 0 ? parseExtSize(header.stdout) : null;
  }
  return null;
}

const SECTOR = 512;

/** End of the last partition, in bytes, from lines of 'start in sectors, size in bytes'. */
export function parsePartitionsEnd(text: string): number | null {
  const ends = text
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s*$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => Number(match[1]) * SECTOR + Number(match[2]));
  return ends.length === 0 ? null : Math.max(...ends);
}

export function parseExtSize(text: string): number | null {
  const count = /^Block count:\s+(\d+)$/m.exec(text)?.[1];
  const size = /^Block size:\s+(\d+)$/m.exec(text)?.[1];
  return count === undefined || size === undefined ? null : Number(count) * Number(size);
}
