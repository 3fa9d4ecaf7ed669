// Puts the addon that was built here where the package carries it: prebuilds/linux-<arch>/blockmirror.node, without
// debugging symbols. Run on one machine of each architecture before a release; npm pack takes what is there.
import { copyFileSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { root, run } from './support.mjs';

const folder = path.join(root, 'prebuilds', `linux-${process.arch}`);
const target = path.join(folder, 'blockmirror.node');
mkdirSync(folder, { recursive: true });
copyFileSync(path.join(root, 'build', 'Release', 'blockmirror.node'), target);
run('strip', ['--strip-unneeded', target]);
// On stderr: `npm pack --json` keeps stdout for itself.
console.error(`${path.relative(root, target)}: ${Math.round(statSync(target).size / 1024)} KiB`);
