// The examples run as they stand, against the built package, over a mirror made by the built command line.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { runCommand } from '../support/command_line';
import { breakMirror, createMirrorFiles } from '../support/mirror_files';
import { useTemporaryFolder } from '../support/temporary_folder';

const ROOT = join(__dirname, '..', '..');
const EXAMPLES = join(ROOT, 'examples');
const folder = useTemporaryFolder();

async function runExample(name: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(EXAMPLES, name), ...args], { cwd: ROOT });
  return stdout;
}

// 'monitoring' has its own: monitoring.test.ts.
test('every example has a test here', () => {
  const own = readFileSync(__filename, 'utf8');
  for (const name of readdirSync(EXAMPLES)) expect(own).toContain(`'${name}'`);
});

test('write-and-read', async () => {
  const { log } = await createMirrorFiles(folder());
  const output = await runExample('write-and-read.mjs', log);
  expect(output).toMatch(/^read back what was written$/m);
  expect(output).toMatch(/^1048576 bytes written without a copy; the buffer is now 0 bytes long here$/m);
  expect((await runCommand(['verify', log])).exitCode).toBe(0);
});

test('streams', async () => {
  const { log } = await createMirrorFiles(folder());
  expect(await runExample('streams.mjs', log, join(ROOT, 'package-lock.json'))).toMatch(
    /^\d+ bytes in and out: equal$/m,
  );
  expect((await runCommand(['verify', log])).exitCode).toBe(0);
});

test('recovery, of a mirror that was killed and of one that was not', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  expect(await runExample('recovery.mjs', files.log)).toMatch(
    /^[1-9]\d* live intents, [1-9]\d* bytes copied in \d+ ms$/m,
  );
  expect(await runExample('recovery.mjs', files.log)).toMatch(/^closed cleanly last time: nothing to do$/m);
});

test('status-page', async () => {
  const { log } = await createMirrorFiles(folder());
  const server = spawn(process.execPath, [join(EXAMPLES, 'status-page.mjs'), log, '0'], { cwd: ROOT });
  try {
    const [line] = (await once(server.stdout, 'data')) as [Buffer];
    const response = await fetch(line.toString().trim());
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ phase: 'running', images: [{ name: 'master' }, { name: 'slave1' }] });
    server.kill('SIGTERM');
    const [exitCode] = (await once(server, 'close')) as [number | null];
    expect(exitCode).toBe(0);
    expect((await runCommand(['status', log])).exitCode).toBe(0);
  } finally {
    server.kill('SIGKILL');
  }
});

test('await-using.ts, compiled', async () => {
  const { log } = await createMirrorFiles(folder());
  const source = readFileSync(join(EXAMPLES, 'await-using.ts'), 'utf8');
  const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 };
  const compiled = join(folder(), 'example.js');
  writeFileSync(compiled, ts.transpileModule(source, { compilerOptions }).outputText);
  mkdirSync(join(folder(), 'node_modules'));
  symlinkSync(ROOT, join(folder(), 'node_modules', 'blockmirror'));
  const { stdout } = await promisify(execFile)(process.execPath, [compiled, log]);
  expect(stdout).toBe('2 images, 1 write\n');
  expect((await runCommand(['status', log])).exitCode).toBe(0);
});
