// What a child process gets of its caller: nothing. From where a tool is taken, and what counts when it cannot be had.
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { probe } from '../../lib/system/blkid';
import {
  CHILD_ENVIRONMENT,
  TOOL_FOLDERS,
  type ToolLimits,
  type ToolResult,
  findTool,
  runTool,
} from '../../lib/system/child_processes';
import { runCommand } from '../support/command_line';
import { notRoot, testUnless } from '../support/skip';
import { MIB, useTemporaryFolder, writeFileInFull } from '../support/temporary_folder';

const folder = useTemporaryFolder();
/** Where root may take tools from, which is no place below the temporary folder: everybody may write that. */
let trusted = '';
beforeEach(() => {
  trusted = mkdtempSync(path.join(notRoot === null ? '/run' : tmpdir(), 'blockmirror-tools-'));
  chmodSync(trusted, 0o755);
});
afterEach(() => rmSync(trusted, { recursive: true, force: true }));

function place(script: string, at = trusted): string {
  const tool = path.join(at, 'blkid');
  writeFileSync(tool, `#!/bin/sh\n${script}\n`);
  chmodSync(tool, 0o755);
  return tool;
}

async function run(options: string[] = [], limits: Partial<ToolLimits> = {}): Promise<ToolResult> {
  const file = openSync(writeFileInFull(path.join(folder(), 'data'), 4096), 'r');
  try {
    return await runTool('blkid', options, file, {
      timeoutMs: 20_000,
      outputLimit: MIB,
      folders: [trusted],
      ...limits,
    });
  } finally {
    closeSync(file);
  }
}

describe('a tool', () => {
  test('sees nothing of the environment of the caller', async () => {
    process.env['BLKID_FILE'] = '/somewhere';
    process.env['LD_LIBRARY_PATH'] = '/somewhere';
    try {
      place('exec env');
      const seen = (await run()).stdout.split('\n').filter((line) => !/^(PWD|OLDPWD|SHLVL|_)=|^$/.test(line));
      expect(seen.sort()).toEqual(
        Object.entries(CHILD_ENVIRONMENT)
          .map(([name, value]) => `${name}=${value}`)
          .sort(),
      );
    } finally {
      delete process.env['BLKID_FILE'];
      delete process.env['LD_LIBRARY_PATH'];
    }
  });

  test('runs in the top folder, without standard input, and with no other file of ours', async () => {
    place('pwd; readlink /proc/$$/fd/0; ls /proc/$$/fd');
    const [workingFolder, input, ...descriptors] = (await run()).stdout.trim().split('\n');
    expect([workingFolder, input]).toEqual(['/', '/dev/null']);
    // 10 and above are the shell's own, which reads its script there.
    expect(descriptors.filter((number) => Number(number) < 10)).toEqual(['0', '1', '2', '3']);
  });

  test('is given the open file, and no path', async () => {
    place('echo "$@"; readlink /proc/self/fd/3');
    expect((await run(['-p'])).stdout).toBe(`-p /proc/self/fd/3\n${path.join(folder(), 'data')}\n`);
  });

  test('that does not end is killed after its time, and that is said', async () => {
    place('echo begun; exec sleep 1000');
    const result = await run([], { timeoutMs: 300 });
    expect(result).toMatchObject({ exitCode: null, problem: 'blkid did not end within 0.3 s' });
  });

  test('that writes without end is stopped, and that is said', async () => {
    place('while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done');
    const result = await run([], { outputLimit: 4096 });
    expect(result).toMatchObject({ exitCode: null, problem: 'blkid wrote more than 4096 bytes' });
    expect(result.stdout.length).toBeLessThanOrEqual(4096);
  });

  test('that is not there, or cannot be run, is an answer with its reason', async () => {
    expect(await run()).toMatchObject({ exitCode: null, problem: `there is no blkid in ${trusted}` });
    chmodSync(place('exit 0'), 0o644);
    expect(await run()).toMatchObject({ exitCode: null, problem: expect.stringContaining('blkid cannot be run') });
  });
});

describe('root runs no tool', () => {
  testUnless(notRoot, 'in a folder that others may write', async () => {
    place('exit 0');
    chmodSync(trusted, 0o777);
    expect(await findTool('blkid', [trusted])).toMatchObject({
      path: null,
      problem: expect.stringContaining(`others than root may write ${trusted} (\`chmod go-w ${trusted}\`)`),
    });
  });

  testUnless(notRoot, 'of another user', async () => {
    chownSync(place('exit 0'), 65534, 65534);
    const found = await findTool('blkid', [trusted]);
    expect(found).toMatchObject({ path: null, problem: expect.stringContaining('belongs to user 65534') });
  });

  testUnless(notRoot, 'that a link leads to, out of such a place', async () => {
    place('exit 0', folder());
    chmodSync(folder(), 0o777);
    symlinkSync(path.join(folder(), 'blkid'), path.join(trusted, 'blkid'));
    expect(await findTool('blkid', [trusted])).toMatchObject({
      path: null,
      problem: expect.stringContaining(folder()),
    });
  });

  testUnless(notRoot, 'and takes the next one that nobody else can replace', async () => {
    mkdirSync(path.join(folder(), 'first'));
    place('exit 0', path.join(folder(), 'first'));
    const tool = place('exit 0');
    expect(await findTool('blkid', [path.join(folder(), 'first'), trusted])).toEqual({ path: tool });
  });
});

describe('blkid', () => {
  test('is found in a fixed place whatever PATH says', async () => {
    expect(TOOL_FOLDERS.every((name) => path.isAbsolute(name))).toBe(true);
    const probed = await probe(writeFileInFull(path.join(folder(), 'zeros'), MIB));
    expect(probed).toEqual({ signature: null, probed: true, problem: null });
  });

  test.each([
    ['PATH begins with a hostile folder', (evil: string) => ({ PATH: `${evil}:${process.env['PATH'] ?? ''}` })],
    ['PATH is empty and the working folder is hostile', () => ({ PATH: '' })],
  ])('of the caller is not run where %s', async (_, environmentOf) => {
    const evil = path.join(folder(), 'evil');
    mkdirSync(evil);
    place(`echo ran >> ${evil}/ran; exit 2`, evil);
    const slave = writeFileInFull(path.join(folder(), 'slave.img'), 2 * MIB);
    // A partition table, which the blkid of the attacker keeps quiet about.
    const bytes = readFileSync(slave);
    bytes.write('blockmirror: precious', 4096);
    Buffer.from([0x55, 0xaa]).copy(bytes, 510);
    bytes.set([0x80, 0, 2, 0, 0x83, 0, 3, 0, 1, 0, 0, 0, 8, 0, 0, 0], 446);
    writeFileSync(slave, bytes);
    const create = ['create', '--log', path.join(folder(), 'log'), '--master', path.join(folder(), 'master.img')];
    const result = await runCommand([...create, '--slave', slave, '--size', '1MiB'], {
      cwd: evil,
      env: environmentOf(evil),
    });
    expect(readdirSync(evil)).toEqual(['blkid']);
    expect(result.stderr).toContain('dos partition table');
    expect(readFileSync(slave).equals(bytes)).toBe(true);
  });
});
