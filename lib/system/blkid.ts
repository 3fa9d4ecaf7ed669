/**
 * What is on a device or in a file, asked of blkid (and, for how far it reaches, of partx and dumpe2fs): we write no
 * prober of our own. Parsers are pure; a tool that is missing is an answer, not an error.
 */
import { execFile } from 'node:child_process';
import type { Signature } from '../types';

const TIMEOUT_MS = 20_000;
/** blkid lives in sbin, which the PATH of an ordinary user may not name. */
const SEARCH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`;

interface ToolResult {
  /** null: the tool is not there, or was killed. */
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

function run(tool: string, args: readonly string[]): Promise<ToolResult> {
  return new Promise((resolve) => {
    const options = { timeout: TIMEOUT_MS, env: { ...process.env, PATH: SEARCH, LC_ALL: 'C' }, maxBuffer: 1 << 20 };
    execFile(tool, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      const exitCode = typeof code === 'number' ? code : null;
      resolve({ exitCode, stdout, stderr: exitCode === null ? (error?.message ?? '') : stderr });
    });
  });
}

export interface Probe {
  signature: Signature | null;
  probed: boolean;
  problem: string | null;
}

export async function probe(path: string): Promise<Probe> {
  const result = await run('blkid', ['-p', '-o', 'export', path]);
  // 2: nothing found, 8: several that contradict each other.
  if (result.exitCode === 2 && result.stderr.trim() === '') return { signature: null, probed: true, problem: null };
  if (result.exitCode === 8) {
    return { signature: signature('several signatures', 'other', null, null), probed: true, problem: null };
  }
  if (result.exitCode !== 0) {
    const reason = result.exitCode === null ? 'blkid cannot be run' : `blkid ended with ${result.exitCode}`;
    return { signature: null, probed: false, problem: `${reason}: ${result.stderr.trim()}` };
  }
  const found = signatureOf(parseExport(result.stdout));
  if (found !== null && found.reaches === null) found.reaches = await reachOf(found, path);
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

async function reachOf(found: Signature, path: string): Promise<number | null> {
  if (found.kind === 'partition-table') {
    const table = await run('partx', ['-b', '-r', '-g', '-o', 'START,SIZE', path]);
    return table.exitCode === 0 ? parsePartitionsEnd(table.stdout) : null;
  }
  if (/^ext[234]$/.test(found.type)) {
    const header = await run('dumpe2fs', ['-h', path]);
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
