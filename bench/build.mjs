// Builds the native programs of the benchmark into build/bench, those that are older than what they are made of.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const inRoot = (name) => path.join(root, name);
const FLAGS = ['-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror', '-pthread'];

function headersIn(folder) {
  return readdirSync(inRoot(folder))
    .filter((name) => name.endsWith('.h'))
    .map((name) => path.join(folder, name));
}

function build(name, sources, headers, flags, libraries) {
  const program = inRoot(path.join('build', 'bench', name));
  const newest = Math.max(...[...sources, ...headers].map((file) => statSync(inRoot(file)).mtimeMs));
  if (existsSync(program) && statSync(program).mtimeMs > newest) return program;
  mkdirSync(path.dirname(program), { recursive: true });
  const compiler = process.env['CXX'] ?? 'g++';
  execFileSync(compiler, [...FLAGS, ...flags, ...sources.map(inRoot), '-o', program, ...libraries], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return program;
}

const native = (name) => path.join('bench', 'native', name);

/** The baseline of every ratio. */
export function buildRawPair() {
  const sources = [native('raw_pair.cc'), native('load.cc')];
  return build('raw_pair', sources, headersIn('bench/native'), [], ['-l:liburing.a']);
}

/** The baseline of a recovery's rate. */
export function buildRawCopy() {
  return build('raw_copy', [native('raw_copy.cc')], [], [], ['-l:liburing.a']);
}

/** The core's own steps, over the sources that ship. */
export function buildCoreSteps() {
  const { core_sources, compile_flags, release_flags } = JSON.parse(
    readFileSync(inRoot('native/sources.gypi'), 'utf8'),
  ).variables;
  const headers = headersIn('native/core');
  return build(
    'core_steps',
    [native('core_steps.cc'), ...core_sources],
    headers,
    [...compile_flags, ...release_flags],
    [],
  );
}
