// What has to be on the machine, for what, and how it is recognised. By files and commands, not by a package manager's
// word: the same list serves machines without apt. Node builtins only.
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

/** The path of a command, also from the folders that are only on root's PATH; undefined when there is none. */
export function findCommand(name) {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter).concat('/usr/local/sbin', '/usr/sbin', '/sbin');
  return findIn(folders.filter(Boolean), name);
}

/** Where what runs as root comes from, whatever PATH says. */
export const systemFolders = ['/usr/sbin', '/sbin', '/usr/bin', '/bin'];

export function findIn(folders, name) {
  for (const folder of folders) {
    const candidate = path.join(folder, name);
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // not here
    }
  }
  return undefined;
}

const command =
  (...names) =>
  () =>
    names.some((name) => findCommand(name) !== undefined);
const header = (name) => () =>
  ['/usr/include', '/usr/local/include'].some((folder) => existsSync(path.join(folder, name)));
const staticLibrary = (name) => () =>
  ['', '64', '/x86_64-linux-gnu', '/aarch64-linux-gnu'].some((suffix) =>
    ['/usr/lib', '/usr/local/lib'].some((folder) => existsSync(path.join(folder + suffix, name))),
  );

const entries = (folder) => (existsSync(folder) ? readdirSync(folder).map((name) => path.join(folder, name)) : []);
// Debian has one folder of LLVM a version, others have clang's own.
const libFuzzer = () =>
  entries('/usr/lib')
    .filter((folder) => path.basename(folder).startsWith('llvm-'))
    .map((folder) => path.join(folder, 'lib', 'clang'))
    .concat('/usr/lib/clang', '/usr/lib64/clang')
    .flatMap(entries)
    .flatMap((version) => entries(path.join(version, 'lib')))
    .flatMap(entries)
    .some((file) => /^libclang_rt\.fuzzer(-\w+)?\.a$/.test(path.basename(file)));

/** package: Debian's name. what: for those who have to find it elsewhere. */
const requirements = {
  build: [
    { package: 'g++', what: 'g++ 12 or newer', present: command('g++') },
    { package: 'make', what: 'GNU make', present: command('make') },
    { package: 'python3', what: 'Python 3.8 or newer (node-gyp)', present: command('python3') },
    { package: 'liburing-dev', what: 'liburing 2.3 or newer: headers', present: header('liburing.h') },
    { package: 'liburing-dev', what: 'liburing 2.3 or newer: static library', present: staticLibrary('liburing.a') },
    { package: 'util-linux', what: 'blkid (util-linux)', present: command('blkid') },
  ],
  test: [
    { package: 'cmake', what: 'CMake 3.20 or newer', present: command('cmake') },
    { package: 'doctest-dev', what: 'doctest 2.4 with its CMake files', present: header('doctest/doctest.h') },
    { package: 'mount', what: 'losetup, mount, swapon (util-linux)', present: command('losetup') },
    { package: 'fdisk', what: 'sfdisk (util-linux)', present: command('sfdisk') },
    { package: 'e2fsprogs', what: 'mkfs.ext4 (e2fsprogs)', present: command('mkfs.ext4') },
    { package: 'binutils', what: 'objdump and strip (binutils)', present: command('objdump') },
    { package: 'git', what: 'git', present: command('git') },
  ],
  fuzz: [
    { package: 'clang', what: 'clang 14 or newer', present: command('clang++', 'clang++-14') },
    { package: 'libclang-rt-14-dev', what: "clang's runtime with libFuzzer", present: libFuzzer },
  ],
  lint: [{ package: 'clang-format', what: 'clang-format 14', present: command('clang-format-14', 'clang-format') }],
};

const purposes = {
  build: ['build'],
  test: ['build', 'test'],
  fuzz: ['build', 'test', 'fuzz'],
  lint: ['lint'],
  all: ['build', 'test', 'fuzz', 'lint'],
};

export const purposeNames = Object.keys(purposes);

/** What is missing for a purpose: [{ package, what }]. */
export function missingFor(purpose) {
  return purposes[purpose].flatMap((group) => requirements[group]).filter((requirement) => !requirement.present());
}
