// Makes a checkout ready, and does nothing when it is: Debian packages, node_modules, the addon, dist/.
// `npm run demo`, `npm test` and the others run it first, so that nothing has to be installed or built before them.
//
//   node scripts/setup.mjs build | test | fuzz | lint | all
//
// Every step is skipped by content: the packages by the files they bring, node_modules by the lock file, the builds by
// a hash over their inputs. Node builtins only; node_modules may not exist yet.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { findIn, missingFor, purposeNames, systemFolders } from './requirements.mjs';
import { filesUnder, hashOf, isStamped, root, run, stamp } from './support.mjs';

const oldestNode = 20;
// Where apt-get is looked for. Tests name a folder of theirs: by an argument, since root believes no variable here.
const aptFolders = process.argv.length > 3 ? process.argv.slice(3) : systemFolders;

function fail(...lines) {
  console.error(lines.join('\n'));
  process.exit(1);
}

function checkPlatform() {
  if (process.platform !== 'linux') fail(`blockmirror runs on Linux only; this is ${process.platform}.`);
  const major = Number(process.versions.node.split('.')[0]);
  if (major < oldestNode) fail(`blockmirror needs Node.js ${oldestNode} or newer; this is ${process.versions.node}.`);
}

// What apt-get may see of the caller's environment.
const proxies = ['http_proxy', 'https_proxy', 'ftp_proxy', 'no_proxy'].flatMap((name) => [name, name.toUpperCase()]);
const aptEnvironment = () => ({
  ...Object.fromEntries(proxies.filter((name) => process.env[name]).map((name) => [name, process.env[name]])),
  PATH: systemFolders.join(':'),
  LC_ALL: 'C',
  DEBIAN_FRONTEND: 'noninteractive',
});

// Nothing is installed before this was said; with BLOCKMIRROR_SETUP=off nothing is installed at all.
function announce(lines, byHand) {
  console.error(lines.join('\n'));
  if (process.env['BLOCKMIRROR_SETUP'] === 'off') {
    fail('Nothing was installed (BLOCKMIRROR_SETUP=off). By hand, then the same command again:', `  ${byHand}`);
  }
  console.error('To do without: Ctrl-C now, and next time BLOCKMIRROR_SETUP=off. By hand it is:');
  console.error(`  ${byHand}`);
}

function installPackages(purpose) {
  const missing = missingFor(purpose);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((requirement) => requirement.package))];
  const aptGet = findIn(aptFolders, 'apt-get');
  if (aptGet === undefined) {
    fail('Missing here, and there is no apt-get to install it. Needed:', ...missing.map(({ what }) => `  ${what}`));
  }
  const install = `apt-get install --yes --no-install-recommends ${packages.join(' ')}`;
  if (process.getuid?.() !== 0) {
    fail(
      'Some Debian packages are missing and this is not root. Run this, then the same command again:',
      `  sudo apt-get update && sudo ${install}`,
    );
  }
  announce(
    [
      'Debian packages are missing; they are installed now, on this machine, as root:',
      ...missing.map((requirement) => `  ${requirement.package}, for ${requirement.what}`),
    ],
    `apt-get update && ${install}`,
  );
  const options = { env: aptEnvironment(), stdio: ['ignore', 2, 2] };
  run(aptGet, ['update', '--quiet'], options);
  run(aptGet, ['install', '--yes', '--quiet', '--no-install-recommends', ...packages], options);
  const still = missingFor(purpose);
  if (still.length > 0) fail('Still missing after apt-get:', ...still.map(({ what }) => `  ${what}`));
}

function installNodeModules() {
  if (nodeModulesMatch()) return;
  const { packages } = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8'));
  const user = process.getuid?.() === 0 ? 'root' : `user ${process.getuid?.()}`;
  announce(
    [
      `node_modules is missing or differs from package-lock.json; \`npm ci\` makes it anew, as ${user}:`,
      `  at most ${Object.keys(packages).length - 1} packages of package-lock.json, into ${path.join(root, 'node_modules')} alone`,
    ],
    `npm ci --prefix ${JSON.stringify(root)}`,
  );
  npm(['ci']);
}

// npm keeps what it installed in node_modules/.package-lock.json: the same versions as the lock, without those that
// are optional and for other platforms.
function nodeModulesMatch() {
  const installed = path.join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return false;
  const want = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')).packages;
  const have = JSON.parse(readFileSync(installed, 'utf8')).packages;
  const wanted = Object.entries(want).filter(([name]) => name !== '');
  return (
    wanted.every(([name, { version, optional, peer }]) =>
      have[name] ? have[name].version === version : optional || peer,
    ) && Object.keys(have).every((name) => name in want)
  );
}

function npm(args) {
  const cli = process.env['npm_execpath'];
  // npm's chatter goes to stderr: stdout belongs to the command that this is the preparation of.
  const options = { stdio: ['ignore', 2, 2] };
  if (cli?.endsWith('.js')) run(process.execPath, [cli, ...args], options);
  else run('npm', args, options);
}

function buildWhenChanged(name, output, hash, script) {
  if (isStamped(name, hash) && existsSync(path.join(root, output))) return;
  npm(['run', '--silent', script]);
  stamp(name, hash);
}

function buildNative() {
  const inputs = filesUnder('native').filter((file) => !file.startsWith('native/test/'));
  const hash = hashOf([...inputs, 'binding.gyp', 'scripts/build-native.mjs', 'package-lock.json'], process.arch);
  buildWhenChanged('addon', 'build/Release/blockmirror.node', hash, 'build:native');
}

function buildTypeScript() {
  const inputs = ['tsconfig.json', 'tsconfig.build.json', 'scripts/build-ts.mjs', 'package.json', 'package-lock.json'];
  buildWhenChanged('typescript', 'dist/index.js', hashOf([...filesUnder('lib'), ...inputs]), 'build:ts');
}

const purpose = process.argv[2] ?? 'all';
if (!purposeNames.includes(purpose)) fail(`usage: node scripts/setup.mjs ${purposeNames.join(' | ')}`);
checkPlatform();
installPackages(purpose);
installNodeModules();
if (purpose !== 'lint') {
  buildNative();
  buildTypeScript();
}
