// What a path from outside leads to may wait for ever when it is opened: lib/system/files.ts knows how, and nobody else.
import { filesUnder, read, withoutComments } from './support';

/** Who opens a path by itself, and why that is safe. */
const OPEN_THEMSELVES: Record<string, string> = {
  'lib/system/files.ts': 'the one way to open what comes from outside',
  'lib/life/create_checks.ts': 'a nameless file in a folder (O_TMPFILE | O_DIRECTORY): nothing but a folder is opened',
  'lib/cli/doctor/path_checks.ts': 'the same',
  'lib/cli/demo/comparison.ts': 'images that the demonstration made in a folder of its own',
};

const files = filesUnder('lib', /\.ts$/).map((file) => ({ file, source: withoutComments(read(file)) }));

/** Names imported from node:fs and node:fs/promises. */
function importedOf(source: string): string[] {
  const imports = [...source.matchAll(/import\s*(?:type\s*)?\{([^}]*)\}\s*from\s*'node:fs(?:\/promises)?'/g)];
  return imports.flatMap((match) => (match[1] ?? '').split(',').map((name) => name.trim()));
}

test('nobody imports the whole of node:fs, whose calls could then not be told', () => {
  const whole = /import\s+(?:\*\s+as\s+)?\w+\s*from\s*'node:fs(?:\/promises)?'|require\(\s*'node:fs/;
  expect(files.filter(({ source }) => whole.test(source)).map(({ file }) => file)).toEqual([]);
});

test('only those that are named here open paths', () => {
  const opening = /^(?:open|opendir|openSync|opendirSync|openAsBlob|createReadStream|createWriteStream)(?:\s|$)/;
  const found = files.filter(({ source }) => importedOf(source).some((name) => opening.test(name)));
  expect(found.map(({ file }) => file).sort()).toEqual(Object.keys(OPEN_THEMSELVES).sort());
});

test('whole files are read of the kernel, of /etc and of this package alone', () => {
  const reads = /\breadFile(?:Sync)?\(\s*(?!['"`]\/(?:proc|sys|etc)\/)([^,)]*)/g;
  const found = files.flatMap(({ file, source }) =>
    [...source.matchAll(reads)].map((match) => `${file}: ${(match[1] ?? '').trim()}`),
  );
  expect(found).toEqual(READ_WHOLE);
});

/** Each is a path below /sys or /proc made of a device's number, or a file of this package. */
const READ_WHOLE = [
  'lib/cli/doctor/system_checks.ts: path',
  'lib/cli/version.ts: join(__dirname',
  'lib/look/holders.ts: `${folder}/loop/backing_file`',
  'lib/system/block_devices.ts: path',
];
