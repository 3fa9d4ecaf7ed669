// Builds the addon from source with node-gyp: build/Release/blockmirror.node. Also what a user runs on a platform for
// which the package holds no binary: npm run build:native --prefix node_modules/blockmirror
//
// Node's headers are those that came with this node when they are there; node-gyp fetches them only where they are not.
import { existsSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { root, run } from './support.mjs';

function nodeGyp() {
  try {
    return createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
  } catch {
    // npm hands its own node-gyp to the scripts it runs.
    const bundled = process.env['npm_config_node_gyp'];
    if (bundled && existsSync(bundled)) return bundled;
  }
  console.error('node-gyp was not found. Run this through npm, which brings it: npm run build:native');
  process.exit(1);
}

function headerArguments() {
  if (process.env['npm_config_nodedir']) return [];
  const prefix = path.dirname(path.dirname(realpathSync(process.execPath)));
  return existsSync(path.join(prefix, 'include', 'node', 'common.gypi')) ? [`--nodedir=${prefix}`] : [];
}

process.on('exit', (code) => {
  if (code !== 0) {
    console.error(
      'Building the addon needs g++ 12 or newer, make, python3 and liburing 2.3 or newer with its static library;',
    );
    console.error('on Debian and Ubuntu: apt-get install g++ make python3 liburing-dev');
  }
});
run(
  process.execPath,
  [
    nodeGyp(),
    'configure',
    'build',
    `--jobs=${availableParallelism()}`,
    '--loglevel=warn',
    '--silent',
    ...headerArguments(),
  ],
  { cwd: root },
);
