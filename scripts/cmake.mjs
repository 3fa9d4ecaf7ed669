// The development builds: `node scripts/cmake.mjs <flavour>` builds into build/<flavour> by cmake-js.
//
//   debug   the addon and the native tests at -O0, and compile_commands.json at the top for editors
//   native  the native tests as they ship, for ctest
//   asan    the native tests under AddressSanitizer and UndefinedBehaviorSanitizer
//   tsan    the native tests under ThreadSanitizer
//   asan-share, tsan-share  of them the tests of host and devices alone
//   certify the simulator's programs, beside the native tests
//   replay  what records the writes of a real mirror, beside them too
import { availableParallelism } from 'node:os';
import { existsSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { root, run } from './support.mjs';

const share = '--CDBLOCKMIRROR_TESTS_SHARE=ON';
const flavours = {
  debug: { arguments: ['--debug'] },
  native: { arguments: [], target: 'blockmirror_tests' },
  asan: { arguments: ['--CDBLOCKMIRROR_SANITIZE=address,undefined'], target: 'blockmirror_tests' },
  tsan: { arguments: ['--CDBLOCKMIRROR_SANITIZE=thread'], target: 'blockmirror_tests' },
  'asan-share': { arguments: ['--CDBLOCKMIRROR_SANITIZE=address,undefined', share], target: 'blockmirror_tests' },
  'tsan-share': { arguments: ['--CDBLOCKMIRROR_SANITIZE=thread', share], target: 'blockmirror_tests' },
  certify: { arguments: [], target: 'certificate', folder: 'native' },
  replay: { arguments: [], target: 'record_writes', folder: 'native' },
};

const flavourNames = Object.keys(flavours);

export function buildFolder(flavour) {
  return path.join(root, 'build', flavours[flavour].folder ?? flavour);
}

function buildFlavour(flavour) {
  const { arguments: extra, target } = flavours[flavour];
  const require = createRequire(import.meta.url);
  const cmakeJs = path.join(path.dirname(require.resolve('cmake-js/package.json')), 'bin', 'cmake-js');
  const common = ['--out', buildFolder(flavour), '--prefer-make', '--log-level=error', ...extra];
  // Configure and build apart: cmake-js' own "compile" answers a compile error by building everything once more.
  const parallel = ['--parallel', String(availableParallelism()), ...(target ? ['--target', target] : [])];
  run(process.execPath, [cmakeJs, 'configure', ...common]);
  run(process.execPath, [cmakeJs, 'build', ...common, ...parallel]);
  if (flavour === 'debug') linkCompileCommands();
}

function linkCompileCommands() {
  const link = path.join(root, 'compile_commands.json');
  rmSync(link, { force: true });
  symlinkSync(path.join('build', 'debug', 'compile_commands.json'), link);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const flavour = process.argv[2];
  if (!flavourNames.includes(flavour) || !existsSync(path.join(root, 'node_modules'))) {
    console.error(`usage: npm run build:debug, or node scripts/cmake.mjs <${flavourNames.join('|')}> after npm ci`);
    process.exit(2);
  }
  buildFlavour(flavour);
}
