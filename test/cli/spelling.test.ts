/** Errors that the command line shows name its flags. */
import { BlockmirrorError, ERRORS, type ErrorName } from '../../lib/base/errors';
import { failureOf } from '../../lib/cli/failure';
import { inFlags } from '../../lib/cli/spelling';

test.each([
  ['If its content may go, say overwriteSignature', 'If its content may go, say --overwrite-signature'],
  ['say keepData (--keep-data), or size', 'say --keep-data, or size'],
  ['say keepData (`--keep-data`); if', 'say `--keep-data`; if'],
  ["by its name: acceptStale: 'b' (`--accept-stale b`)", 'by its name: `--accept-stale b`'],
  ['with keepData: true, and takeOver', 'with --keep-data, and --take-over'],
  ['where it is, by the option images (--image slave1=PATH); or not', 'where it is, by --image slave1=PATH; or not'],
  ["a thing: images names 'x'", "a thing: --image names 'x'"],
  ['it is empty. Give size', 'it is empty. Give --size'],
  ['a thing: size is 17 bytes', 'a thing: --size is 17 bytes'],
])('%s', (api, commandLine) => {
  expect(inFlags(api)).toBe(commandLine);
});

test('paths and commands stay as they are', () => {
  for (const text of ['/srv/keepData', './keepData/x', 'takeOver.img', '`create --log keepData`', "'dryRun'"]) {
    expect(inFlags(text)).toBe(text);
  }
});

test('no error of the table names an option of the API on the command line', () => {
  for (const name of Object.keys(ERRORS) as ErrorName[]) {
    const { message, remedy } = failureOf(new BlockmirrorError(name));
    expect(`${message} ${remedy}`).not.toMatch(/\b(keepData|overwriteSignature|takeOver|acceptStale|option images)\b/);
  }
});
