/**
 * The one place that loads the addon.
 *
 * A build of this very folder goes first (a checkout, or a build from source after npm install), then the binary that
 * the package carries for this platform. Nothing is searched for elsewhere, downloaded or built behind anyone's back:
 * npm 11 runs no install scripts unasked, so where there is no binary the error gives the exact command.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { NativeBinding } from './binding';
import { BlockmirrorError } from './errors';

/** The package's folder, from lib/ as from dist/. */
const root = path.join(__dirname, '..', '..');

const candidates = [
  path.join(root, 'build', 'Release', 'blockmirror.node'),
  path.join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'blockmirror.node'),
];

let loaded: NativeBinding | undefined;

/** @throws ADDON_MISSING with the command that builds it */
export function loadBinding(): NativeBinding {
  return (loaded ??= load());
}

function load(): NativeBinding {
  let refused: { file: string; cause: unknown } | undefined;
  for (const file of candidates) {
    if (!existsSync(file)) continue;
    try {
      return require(file) as NativeBinding;
    } catch (cause) {
      // Built for another Node.js, processor or C library: the next one may fit.
      refused ??= { file, cause };
    }
  }
  throw missing(refused);
}

function missing(refused: { file: string; cause: unknown } | undefined): BlockmirrorError {
  if (process.platform !== 'linux') {
    return new BlockmirrorError('ADDON_MISSING', {
      detail: `blockmirror runs on Linux only; this is ${process.platform}`,
      remedy: 'Use it on Linux, on x64 or arm64',
    });
  }
  const detail =
    refused === undefined
      ? `no binary for ${process.platform}-${process.arch}; looked for ${candidates.join(' and ')}`
      : `${refused.file} does not load: ${(refused.cause as Error).message}`;
  return new BlockmirrorError('ADDON_MISSING', {
    detail,
    remedy:
      `Build it: \`npm run build:native --prefix ${JSON.stringify(root)}\`. That needs g++ 12 or newer, make, python3 ` +
      'and liburing 2.3 or newer with its static library; on Debian and Ubuntu: ' +
      '`apt-get install g++ make python3 liburing-dev`',
    cause: refused?.cause,
  });
}
