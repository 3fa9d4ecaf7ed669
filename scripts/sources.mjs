// Checks that native/sources.gypi lists exactly the files that are there: `node scripts/sources.mjs`, or with --fix
// writes them in. Both builds read that list; a file missing from it would be tested and never shipped, or not built at all.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { filesUnder, root } from './support.mjs';

const listFile = path.join(root, 'native', 'sources.gypi');

/** Which list a source belongs to, by its folder; the first that fits. Tests are found by CMake itself. */
const folders = [
  ['native/core/', 'core_sources'],
  ['native/devices/simulated/', 'simulated_sources'],
  ['native/devices/', 'device_sources'],
  ['native/host/', 'host_sources'],
  ['native/addon/', 'addon_sources'],
];

const listed = JSON.parse(readFileSync(listFile, 'utf8'));
const present = Object.fromEntries(folders.map(([, list]) => [list, []]));
const problems = [];
for (const file of filesUnder('native').filter((name) => name.endsWith('.cc') && !name.startsWith('native/test/'))) {
  const entry = folders.find(([folder]) => file.startsWith(folder));
  if (entry) present[entry[1]].push(file);
  else problems.push(`${file} is in no layer: ${folders.map(([folder]) => folder).join(', ')}`);
}

for (const [, list] of folders) {
  const has = listed.variables[list];
  for (const file of present[list]) if (!has.includes(file)) problems.push(`${file} is not in ${list}`);
  for (const file of has) if (!present[list].includes(file)) problems.push(`${list} names ${file}, which is not there`);
  listed.variables[list] = present[list];
}

if (process.argv.includes('--fix')) {
  writeFileSync(listFile, `${JSON.stringify(listed, null, 2)}\n`);
} else if (problems.length > 0) {
  console.error(`native/sources.gypi: ${problems.join('\n  ')}\nRun: node scripts/sources.mjs --fix`);
  process.exit(1);
}
