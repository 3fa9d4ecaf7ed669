// What is published: the built package as another program sees it. Needs the builds that scripts/setup.mjs makes.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { read, root } from './support';

const addonFile = path.join(root, 'build', 'Release', 'blockmirror.node');

function inNode(kind: 'commonjs' | 'module', program: string): unknown {
  const output = execFileSync(process.execPath, [`--input-type=${kind}`, '--eval', program], {
    cwd: root,
    encoding: 'utf8',
  });
  return JSON.parse(output);
}

describe('npm pack', () => {
  interface Packed {
    files: { path: string; mode: number }[];
    size: number;
  }
  let packed: Packed;
  const has = (name: string): boolean => packed.files.some((file) => file.path === name);

  beforeAll(() => {
    const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const parsed = JSON.parse(output) as Packed[] | Record<string, Packed>;
    packed = Object.values(parsed)[0] as Packed;
  });

  test.each([
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'dist/index.js',
    'dist/index.mjs',
    'dist/index.d.ts',
    'dist/index.d.mts',
    'dist/base/load.js',
    'dist/cli/main.js',
  ])('holds %s', (name) => {
    expect(has(name)).toBe(true);
  });

  test('holds everything that the build from source reads', () => {
    const gypi = JSON.parse(read('native/sources.gypi')) as { variables: Record<string, string[]> };
    const lists = ['core_sources', 'device_sources', 'host_sources', 'addon_sources'];
    const needed = lists.flatMap((list) => gypi.variables[list] ?? []);
    expect(needed).not.toHaveLength(0);
    const all = [...needed, 'binding.gyp', 'native/sources.gypi', 'scripts/build-native.mjs', 'scripts/support.mjs'];
    expect(all.filter((name) => !has(name))).toEqual([]);
  });

  test('holds no tests, no objects, no sources of TypeScript', () => {
    const strange = packed.files
      .map((file) => file.path)
      .filter((name) =>
        /^(test|native\/test|native\/devices\/simulated|build|bench|lib|node_modules|\.ci)\/|\.o$|(?<!\.d)\.ts$/.test(
          name,
        ),
      );
    expect(strange).toEqual([]);
  });

  test('the command line is executable', () => {
    expect((packed.files.find((file) => file.path === 'dist/cli/main.js')?.mode ?? 0) & 0o111).toBe(0o111);
  });

  test('runs no script when it is installed', () => {
    const manifest = inNode('commonjs', "console.log(JSON.stringify(require('./package.json')))") as {
      scripts: Record<string, string>;
      gypfile: boolean;
    };
    expect(manifest.gypfile).toBe(false);
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(manifest.scripts).not.toHaveProperty(name);
  });
});

describe('entry points', () => {
  test('require and import give the same names', () => {
    const required = inNode('commonjs', "console.log(JSON.stringify(Object.keys(require('blockmirror')).sort()))");
    const imported = inNode(
      'module',
      "import * as all from 'blockmirror'; console.log(JSON.stringify(Object.keys(all).sort()))",
    ) as string[];
    expect(required).toContain('Mirror');
    expect(imported.filter((name) => !['default', '__esModule', 'module.exports'].includes(name))).toEqual(required);
  });

  test('require and import give the same classes', () => {
    const same = inNode(
      'module',
      `import { createRequire } from 'node:module';
       import { Mirror } from 'blockmirror';
       const required = createRequire(process.cwd() + '/x.js')('blockmirror');
       console.log(JSON.stringify(Mirror === required.Mirror));`,
    );
    expect(same).toBe(true);
  });

  test.each([
    ['CommonJS', 'use.cts'],
    ['an ES module', 'use.mts'],
  ])('types serve %s', (_kind, name) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'blockmirror-types-'));
    try {
      mkdirSync(path.join(folder, 'node_modules'));
      symlinkSync(root, path.join(folder, 'node_modules', 'blockmirror'));
      const program =
        "import { Mirror } from 'blockmirror';\nexport const open: Promise<Mirror> = Mirror.open('log');\n";
      writeFileSync(path.join(folder, name), program);
      const options = ['--noEmit', '--strict', '--module', 'node16', '--target', 'es2022', '--typeRoots'];
      const compiler = path.join(root, 'node_modules', 'typescript', 'lib', 'tsc.js');
      const types = path.join(root, 'node_modules', '@types');
      execFileSync(process.execPath, [compiler, ...options, types, '--types', 'node', path.join(folder, name)], {
        cwd: folder,
        encoding: 'utf8',
      });
    } catch (error) {
      throw new Error(`tsc: ${(error as { stdout?: string }).stdout ?? String(error)}`, { cause: error });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('the addon', () => {
  /** Highest version that is needed of a versioned library, as objdump lists it: GLIBC_2.34 and so on. */
  function highestNeeded(prefix: string): number[] {
    const table = execFileSync('objdump', ['-T', addonFile], { encoding: 'utf8' });
    const versions = [...table.matchAll(new RegExp(`\\b${prefix}_(\\d+(?:\\.\\d+)*)`, 'g'))].map((match) =>
      (match[1] ?? '').split('.').map(Number),
    );
    expect(versions).not.toHaveLength(0);
    const compare = (a: number[], b: number[]): number => {
      for (let i = 0; i < Math.max(a.length, b.length); i += 1) {
        if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) - (b[i] ?? 0);
      }
      return 0;
    };
    return versions.sort(compare).at(-1) ?? [];
  }

  test('needs no newer C library than docs/HACKING.md says', () => {
    const [major, minor] = highestNeeded('GLIBC');
    expect(major).toBe(2);
    expect(minor).toBeLessThanOrEqual(34);
  });

  test('needs no newer C++ library than that of GCC 11', () => {
    const [, , patch] = highestNeeded('GLIBCXX');
    expect(patch).toBeLessThanOrEqual(29);
  });

  test('brings liburing along: the only libraries it asks for are the C and C++ ones', () => {
    const headers = execFileSync('objdump', ['-p', addonFile], { encoding: 'utf8' });
    const needed = [...headers.matchAll(/NEEDED\s+(\S+)/g)].map((match) => match[1]);
    const system = /^(libc|libm|libstdc\+\+|libgcc_s|libpthread|ld-linux[-\w]*)\.so/;
    expect(needed.filter((name) => !system.test(name ?? ''))).toEqual([]);
  });

  test('stays loaded when a worker that used it ends: its threads may still be on their way out', () => {
    expect(execFileSync('readelf', ['-d', addonFile], { encoding: 'utf8' })).toMatch(/NODELETE/);
  });

  test('shows the outside nothing but what Node looks for', () => {
    const table = execFileSync('objdump', ['-T', addonFile], { encoding: 'utf8' });
    const shown = table
      .split('\n')
      .filter((line) => /\bg\s+DF?O?\s+\.text\b/.test(line))
      .map((line) => line.trim().split(/\s+/).at(-1) ?? '');
    expect(
      shown.filter((name) => !/^(napi_register_module_v\d+|node_api_module_get_api_version_v\d+)$/.test(name)),
    ).toEqual([]);
  });
});
