/**
 * The one place that starts other processes: the tools that say what is on a device, and this very Node.js.
 *
 * Invariants:
 *  - A tool comes from TOOL_FOLDERS, never from the caller's PATH; and, for root, only where nobody but root can put
 *    another in its place: its real path and all folders above belong to root and are writable by nobody else.
 *  - Nothing of the caller's environment reaches a child, nor the caller's folder, standard input or open files.
 *  - No path reaches a tool: it gets the opened file as descriptor 3, so that no name can be taken for an option, and what
 *    it reads is what we opened.
 *  - It ends: bounded time, bounded output. A child that cannot be killed, since its device hangs, is left behind.
 *  - A tool that is missing, not trusted or killed is an answer, never "nothing found".
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { lstat, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { shellPath } from '../base/shell';
import { actsAsRoot } from './folders';

export type { ChildProcess };

export const TOOL_FOLDERS: readonly string[] = ['/usr/sbin', '/sbin', '/usr/bin', '/bin'];
export const TOOLS = ['blkid', 'partx', 'dumpe2fs'] as const;
export type Tool = (typeof TOOLS)[number];

/** All that a child sees of an environment. */
export const CHILD_ENVIRONMENT: Readonly<Record<string, string>> = { PATH: TOOL_FOLDERS.join(':'), LC_ALL: 'C' };

const TIMEOUT_MS = 20_000;
/** Of standard output and standard error, each. */
const OUTPUT_LIMIT = 1024 * 1024;
const GROUP_OR_OTHERS_WRITE = 0o022;

export interface ToolResult {
  /** null: it did not run to its end, for the reason in `problem`. */
  exitCode: number | null;
  stdout: string;
  stderr: string;
  problem: string | null;
}

export interface ToolLimits {
  timeoutMs: number;
  outputLimit: number;
  folders: readonly string[];
}
export const TOOL_LIMITS: ToolLimits = { timeoutMs: TIMEOUT_MS, outputLimit: OUTPUT_LIMIT, folders: TOOL_FOLDERS };

/**
 * Runs a tool over an open file or device, which it may open again for reading as /proc/self/fd/3.
 * @param descriptor of an open that holds no lock: the child may outlive us
 */
export async function runTool(
  tool: Tool,
  options: readonly string[],
  descriptor: number,
  limits: ToolLimits = TOOL_LIMITS,
): Promise<ToolResult> {
  const found = await findTool(tool, limits.folders);
  if (found.path === null) return notRun(found.problem);
  // blkid says of what it does not find the same as of an empty device.
  const reached = await stat(`/proc/self/fd/${descriptor}`).catch(() => null);
  if (reached === null) return notRun(`/proc is not there, by which ${tool} is given what to look at`);
  const args = [...options, '/proc/self/fd/3'];
  return collect(tool, limits, () => start(found.path, args, ['ignore', 'pipe', 'pipe', descriptor], tool));
}

/** This Node.js with one of our own programs. @param script absolute */
export function startOwnProgram(script: string, args: readonly string[], stdio: StdioOptions): ChildProcess {
  return start(process.execPath, [script, ...args], stdio, process.execPath);
}

function start(file: string, args: readonly string[], stdio: StdioOptions, argv0: string): ChildProcess {
  return spawn(file, args, { stdio, argv0, cwd: '/', env: { ...CHILD_ENVIRONMENT } });
}

type FoundTool = { path: string } | { path: null; problem: string };

/** The real path of a tool, or why there is none that may be run. */
export async function findTool(tool: string, folders: readonly string[] = TOOL_FOLDERS): Promise<FoundTool> {
  let refused: string | null = null;
  for (const folder of folders) {
    const path = await realpath(join(folder, tool)).catch(() => null);
    if (path === null) continue;
    const objection = (await actsAsRoot()) ? await whoElseMayReplace(path) : null;
    if (objection === null) return { path };
    refused ??= `${path} is not run as root: ${objection}`;
  }
  return { path: null, problem: refused ?? `there is no ${tool} in ${folders.join(', ')}` };
}

/** null when only root can. @param path real */
async function whoElseMayReplace(path: string): Promise<string | null> {
  for (let part = path; ; part = dirname(part)) {
    const status = await lstat(part).catch(() => null);
    if (status === null) return `${part} cannot be looked at`;
    if (status.uid !== 0) return `${part} belongs to user ${status.uid} (\`chown root ${shellPath(part)}\`)`;
    if ((status.mode & GROUP_OR_OTHERS_WRITE) !== 0) {
      return `others than root may write ${part} (\`chmod go-w ${shellPath(part)}\`)`;
    }
    if (part === dirname(part)) return null;
  }
}

function notRun(problem: string): ToolResult {
  return { exitCode: null, stdout: '', stderr: '', problem };
}

function collect(tool: Tool, limits: ToolLimits, begin: () => ChildProcess): Promise<ToolResult> {
  return new Promise((resolve) => {
    let child: ChildProcess;
    try {
      child = begin();
    } catch (error) {
      return resolve(notRun(`${tool} cannot be run: ${(error as Error).message}`));
    }
    const texts = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    const end = (exitCode: number | null, problem: string | null): void => {
      clearTimeout(timer);
      const text = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString('utf8');
      resolve({ exitCode, stdout: text(texts.stdout), stderr: text(texts.stderr), problem });
    };
    // Not waited for: it does not end before its device answers.
    const giveUp = (problem: string): void => {
      child.kill('SIGKILL');
      child.stdout?.destroy();
      child.stderr?.destroy();
      child.unref();
      end(null, problem);
    };
    const timer = setTimeout(() => giveUp(`${tool} did not end within ${limits.timeoutMs / 1000} s`), limits.timeoutMs);
    for (const name of ['stdout', 'stderr'] as const) {
      let length = 0;
      child[name]?.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > limits.outputLimit) giveUp(`${tool} wrote more than ${limits.outputLimit} bytes`);
        else texts[name].push(chunk);
      });
    }
    child.once('error', (error) => end(null, `${tool} cannot be run: ${error.message}`));
    child.once('close', (code, signal) => end(code, code === null ? `${tool} was ended by ${signal}` : null));
  });
}
