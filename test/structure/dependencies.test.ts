// The arrows of docs/HACKING.md: lib -> addon -> host -> devices -> core, downward only, and what each layer may know of
// the world outside.
import path from 'node:path';
import { filesUnder, read, withoutComments } from './support';

interface Layer {
  folder: string;
  /** Layers it may include from, besides itself. */
  below: string[];
  /** Which headers of the system it may include. */
  mayInclude: (header: string, file: string) => boolean;
}

const isStandardCpp = (header: string): boolean => /^[a-z_]+$/.test(header);
const isNode = (header: string): boolean => /napi|node_api|^node|^v8|^uv\b|^uv\.h/.test(header);
const isUring = (header: string): boolean => /uring/.test(header);
const isNbd = (header: string): boolean => /nbd/.test(header);

// How a processor is asked for its CRC instruction is no operating system's business, and no other file's.
const processorHeaders = ['nmmintrin.h', 'immintrin.h', 'arm_acle.h', 'sys/auxv.h', 'asm/hwcap.h'];

const mappingFiles = ['data_buffer.h', 'huge_buffer.h', 'spare_memory.h'].map((name) => `native/core/base/${name}`);
const core: Layer = {
  folder: 'native/core',
  below: [],
  mayInclude: (header, file) =>
    isStandardCpp(header) ||
    (file === 'native/core/base/crc32c.cc' && processorHeaders.includes(header)) ||
    // Nor can huge pages, pages that no core dump has, or an answer whether there is memory, be had of the standard library.
    (mappingFiles.includes(file) && header === 'sys/mman.h'),
};
const devices: Layer = {
  folder: 'native/devices',
  below: ['native/core'],
  mayInclude: (header, file) =>
    !isNode(header) &&
    (!isUring(header) || file.startsWith('native/devices/io_uring/')) &&
    (!isNbd(header) || file.startsWith('native/devices/nbd/')),
};
const host: Layer = {
  folder: 'native/host',
  below: ['native/core', 'native/devices'],
  mayInclude: (header) => !isNode(header) && !isUring(header) && !isNbd(header),
};
const addon: Layer = {
  folder: 'native/addon',
  below: ['native/core', 'native/devices', 'native/host'],
  mayInclude: (header) => !isUring(header) && !isNbd(header),
};

const nativeFiles = (folder: string): string[] => filesUnder(folder, /\.(h|cc)$/);

function includesOf(file: string): { quoted: string[]; system: string[] } {
  const source = withoutComments(read(file));
  const all = (pattern: RegExp): string[] => [...source.matchAll(pattern)].map((match) => match[1] ?? '');
  return {
    quoted: all(/^\s*#\s*include\s*"([^"]+)"/gm).map((name) => path.normalize(path.join(path.dirname(file), name))),
    system: all(/^\s*#\s*include\s*<([^>]+)>/gm),
  };
}

// The rooms inside of the core and of lib/, lowest first; each may use its own files and those of the rooms listed.
const coreRooms: Record<string, string[]> = {
  base: [],
  format: ['base'],
  log: ['base', 'format'],
  images: ['base', 'format', 'log'],
  mirror: ['base', 'format', 'log', 'images'],
  session: ['base', 'format', 'log', 'images', 'mirror'],
};

const libraryRooms: Record<string, string[]> = {
  base: [],
  system: ['base'],
  io: ['base'],
  look: ['base', 'system'],
  metrics: ['base', 'look'],
  life: ['base', 'system', 'io', 'look'],
  control: ['base', 'system', 'io', 'look', 'metrics', 'life'],
};

const roomOf = (file: string, house: string): string =>
  path.relative(house, path.dirname(file)).split(path.sep)[0] ?? '';

describe('the rooms of native/core', () => {
  const files = nativeFiles('native/core');

  test('every file lies in a room', () => {
    expect([...new Set(files.map((file) => path.dirname(file)))]).toEqual(
      Object.keys(coreRooms)
        .map((room) => path.join('native/core', room))
        .sort(),
    );
  });

  test('a room includes only itself and rooms below', () => {
    const wrong = files.flatMap((file) => {
      const room = roomOf(file, 'native/core');
      const allowed = [room, ...(coreRooms[room] ?? [])];
      return includesOf(file)
        .quoted.filter((target) => !allowed.includes(roomOf(target, 'native/core')))
        .map((target) => `${file} includes ${target}`);
    });
    expect(wrong).toEqual([]);
  });
});

describe.each([core, devices, host, addon])('$folder', ({ folder, below, mayInclude }) => {
  const files = nativeFiles(folder);

  test('has files', () => {
    expect(files).not.toHaveLength(0);
  });

  test('includes our headers of its own layer and of those below, and they are there', () => {
    const known = new Set(['native/core', 'native/devices', 'native/host', 'native/addon'].flatMap(nativeFiles));
    const allowed = [folder, ...below].map((name) => name + path.sep);
    const wrong = files.flatMap((file) =>
      includesOf(file)
        .quoted.filter((target) => !known.has(target) || !allowed.some((prefix) => target.startsWith(prefix)))
        .map((target) => `${file} includes ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  test('includes no header of the outside world that is not its business', () => {
    const wrong = files.flatMap((file) =>
      includesOf(file)
        .system.filter((header) => !mayInclude(header, file))
        .map((header) => `${file} includes <${header}>`),
    );
    expect(wrong).toEqual([]);
  });
});

test('the simulated device is built on the core alone', () => {
  const wrong = nativeFiles('native/devices/simulated').flatMap((file) =>
    includesOf(file)
      .quoted.filter((target) => !/^native\/(core|devices\/simulated)\//.test(target))
      .map((target) => `${file} includes ${target}`),
  );
  expect(wrong).toEqual([]);
});

const libraryFiles = filesUnder('lib', /\.ts$/);

function importsOf(file: string): string[] {
  const source = withoutComments(read(file));
  const pattern = /(?:from\s+|^\s*import\s+|\bimport\(\s*|\brequire\(\s*)['"]([^'"]+)['"]/gm;
  return [...source.matchAll(pattern)].map((match) => match[1] ?? '');
}

describe('the rooms of lib/', () => {
  test('every file lies in a room, in the command line, or is the mirror itself', () => {
    const above = libraryFiles.filter((file) => path.dirname(file) === 'lib');
    expect(above).toEqual(['lib/index.ts', 'lib/mirror.ts', 'lib/offline.ts']);
    const rooms = new Set(libraryFiles.filter((file) => !above.includes(file)).map((file) => roomOf(file, 'lib')));
    expect([...rooms].sort()).toEqual([...Object.keys(libraryRooms), 'cli'].sort());
  });

  test('a room imports only itself and rooms below', () => {
    const wrong = libraryFiles.flatMap((file) => {
      const room = roomOf(file, 'lib');
      const below = libraryRooms[room];
      if (below === undefined) return [];
      return importsOf(file)
        .filter((name) => name.startsWith('.'))
        .map((name) => path.normalize(path.join(path.dirname(file), name)))
        .filter((target) => ![room, ...below].includes(roomOf(target, 'lib')))
        .map((target) => `${file} imports ${target}`);
    });
    expect(wrong).toEqual([]);
  });
});

test('only lib/base/load.ts loads the addon', () => {
  const loads = /\.node['"`]|\bdlopen\b|\bcreateRequire\b|\brequire\(/;
  expect(libraryFiles.filter((file) => loads.test(withoutComments(read(file))))).toEqual(['lib/base/load.ts']);
});

test('only lib/system/child_processes.ts starts processes', () => {
  const starts = /child_process['"]|\bprocess\.(binding|execve)\b/;
  expect(libraryFiles.filter((file) => starts.test(withoutComments(read(file))))).toEqual([
    'lib/system/child_processes.ts',
  ]);
});

test('of the environment lib/ reads what docs/SECURITY.md names, and nothing else', () => {
  const found = libraryFiles.flatMap(
    (file) => withoutComments(read(file)).match(/process\.env(\['\w+'\]|\.\w+)?|\b(tmpdir|homedir)\(/g) ?? [],
  );
  expect([...new Set(found)].sort()).toEqual(["process.env['NO_COLOR']", "process.env['XDG_RUNTIME_DIR']", 'tmpdir(']);
});

test('the addon asks the environment nothing', () => {
  const files = [core, devices, host, addon].flatMap(({ folder }) => nativeFiles(folder));
  expect(files.filter((file) => /\b(secure_)?getenv\b|\benviron\b/.test(withoutComments(read(file))))).toEqual([]);
});

test('the library imports nothing of the command line, and no package: an application loads only what it uses', () => {
  const wrong = libraryFiles
    .filter((file) => !file.startsWith('lib/cli/'))
    .flatMap((file) =>
      importsOf(file)
        .filter((name) => !name.startsWith('node:') && (!name.startsWith('.') || name.includes('/cli/')))
        .map((name) => `${file} imports ${name}`),
    );
  expect(wrong).toEqual([]);
});

test('lib/ imports only itself, builtins of Node by their node: names, and declared dependencies', () => {
  const declared = Object.keys((JSON.parse(read('package.json')) as { dependencies: object }).dependencies);
  const isOwn = (file: string, name: string): boolean =>
    name.startsWith('.') && path.normalize(path.join(path.dirname(file), name)).startsWith(`lib${path.sep}`);
  const wrong = libraryFiles.flatMap((file) =>
    importsOf(file)
      .filter((name) => !name.startsWith('node:') && !declared.includes(name) && !isOwn(file, name))
      .map((name) => `${file} imports ${name}`),
  );
  expect(wrong).toEqual([]);
});
