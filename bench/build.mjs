// Builds the raw pair writer, the baseline of every ratio: build/bench/raw_pair, when it is older than its source.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));

export function buildRawPair() {
  const source = path.join(here, 'native', 'raw_pair.cc');
  const program = path.join(here, '..', 'build', 'bench', 'raw_pair');
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return program;
  mkdirSync(path.dirname(program), { recursive: true });
  const compiler = process.env['CXX'] ?? 'g++';
  const flags = ['-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror'];
  execFileSync(compiler, [...flags, source, '-o', program, '-l:liburing.a'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return program;
}
