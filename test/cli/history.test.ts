/** `blockmirror history` and `blockmirror explain`: their documents, their text, and lines of narrow terminals. */
import { eventLines } from '../../lib/cli/commands/event_lines';
import { runCommand } from '../support/command_line';
import { breakMirror, createMirrorFiles } from '../support/mirror_files';
import { useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();
const flat = (text: string): string => text.replace(/\s+/g, ' ');

test('history: what happened, oldest first, in text and in JSON', async () => {
  const { log } = await createMirrorFiles(folder());
  await runCommand(['fracture', log, 'slave1']);
  const text = await runCommand(['history', log]);
  expect(text.exitCode).toBe(0);
  expect(flat(text.stdout)).toMatch(
    /the mirror was made, of 16 MiB .*closed cleanly .*opened, for the 2nd time .*slave1 went from in sync to behind: it was taken out/,
  );
  const json = await runCommand(['history', log, '--json', '--image', 'slave1', '--since', '1h']);
  expect(json.json()).toMatchObject({ log, image: 'slave1', events: [{ kind: 'fractured', image: 'slave1' }] });
});

test('history after a kill says that the opening came after a crash', async () => {
  const files = await createMirrorFiles(folder());
  await breakMirror(files);
  await runCommand(['recover', files.log]);
  expect(flat((await runCommand(['history', files.log])).stdout)).toMatch(/opened, for the 3rd time, after a crash/);
});

test('a wrong --since or --image is told in the words of the command line', async () => {
  const { log } = await createMirrorFiles(folder());
  const since = await runCommand(['history', log, '--since', 'yesterday']);
  expect(since.exitCode).not.toBe(0);
  expect(flat(since.stderr)).toContain('--since is "yesterday"');
  const image = await runCommand(['history', log, '--image', 'slave7']);
  expect(flat(image.stderr)).toContain('--image is "slave7"');
  expect(flat(image.stderr)).toContain('The images of this mirror are master, slave1');
});

test('explain: certain, and uncertain with exit code 3', async () => {
  const files = await createMirrorFiles(folder());
  const certain = await runCommand(['explain', files.log, '1MiB']);
  expect(certain.exitCode).toBe(0);
  expect(flat(certain.stdout)).toContain('certain: no image is known to differ there');
  await breakMirror(files);
  const { extents } = (await runCommand(['log', files.log, '--json'])).json();
  const uncertain = await runCommand(['explain', files.log, String(extents[0].position)]);
  expect(uncertain.exitCode).toBe(3);
  expect(flat(uncertain.stdout)).toMatch(/UNCERTAIN.*a live intent names it.*slave1 is .*it owes this block/);
  const beyond = await runCommand(['explain', files.log, '1GiB']);
  expect(beyond.exitCode).not.toBe(0);
  expect(flat(beyond.stderr)).toContain('Give a position from 0 to 16777215');
});

test.each([40, 80])('events fit a terminal of %p columns', (width) => {
  const events = [{ at: '2026-11-27T02:14:03.123Z', words: 'a word or two of what happened to it, '.repeat(4).trim() }];
  const lines = eventLines(events, width).split('\n');
  expect(lines[0]).toContain('2026-11-27 02:14:03Z');
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
});
