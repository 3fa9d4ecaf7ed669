// Compiles lib/ to dist/: CommonJS by tsc, and a small ES module that re-exports it, so that both share one copy of
// every class. Built aside and swapped in whole: a process that starts meanwhile finds the old one or the new one.
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { root, run } from './support.mjs';

const fresh = path.join(root, 'build', 'dist.new');
const stale = path.join(root, 'build', 'dist.old');
const dist = path.join(root, 'dist');

mkdirSync(path.join(root, 'build'), { recursive: true });
rmSync(fresh, { recursive: true, force: true });
const compiler = createRequire(import.meta.url).resolve('typescript/lib/tsc.js');
run(process.execPath, [compiler, '--project', 'tsconfig.build.json', '--outDir', fresh]);

const reExport = "export * from './index.js';\n";
writeFileSync(path.join(fresh, 'index.mjs'), reExport);
writeFileSync(path.join(fresh, 'index.d.mts'), reExport);
const command = path.join(fresh, 'cli', 'main.js');
if (existsSync(command)) chmodSync(command, 0o755);

rmSync(stale, { recursive: true, force: true });
if (existsSync(dist)) renameSync(dist, stale);
renameSync(fresh, dist);
rmSync(stale, { recursive: true, force: true });
