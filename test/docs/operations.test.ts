/**
 * docs/OPERATIONS.md is followed as it stands: every command, in its order, over a mirror to which happened what the section
 * is about. A line that says `exit code N` has to end with it, every other with 0.
 */
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { overwrite, pattern } from '../api/support';
import { type MirrorFiles, breakMirror } from '../support/mirror_files';
import { operatorShell } from '../support/pasted_command';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

const PAGE = readFileSync(join(__dirname, '..', '..', 'docs', 'OPERATIONS.md'), 'utf8');
const SIZE = 16 * MIB;
const RING = MIB;

const folder = useTemporaryFolder();
const at = (name: string): string => join(folder(), name);
const { run } = operatorShell(folder);

interface Line {
  command: string;
  exitCode: number;
}

/** By its heading, the blocks of commands of each section. */
const sections = new Map(
  PAGE.split(/^## /m)
    .slice(1)
    .map((section): [string, Line[][]] => {
      const heading = section.slice(0, section.indexOf('\n'));
      return [heading, [...section.matchAll(/^```sh\n([^]*?)^```/gm)].map(([, block]) => linesOf(block as string))];
    }),
);

function linesOf(block: string): Line[] {
  return block
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [command = '', comment = ''] = line.split(/\s+# /);
      return { command, exitCode: Number(/exit code (\d)/.exec(comment)?.[1] ?? 0) };
    });
}

/** @returns what each line printed */
function follow(lines: readonly Line[]): string[] {
  return lines.map(({ command, exitCode }) => {
    const { status, output } = run(`cd '${folder()}' && ${command}`);
    expect({ command, status, output }).toEqual({ command, status: exitCode, output });
    return output.replaceAll(/\s+/g, ' ');
  });
}

function files(): MirrorFiles {
  return { log: at('m.log'), master: at('a.img'), slave: at('b.img') };
}

function imagesAreEqual(...names: string[]): void {
  const [master, ...slaves] = ['a.img', ...names].map((name) => readFileSync(at(name)).subarray(0, SIZE));
  for (const slave of slaves) expect(slave.equals(master as Buffer)).toBe(true);
}

const kill = async (): Promise<void> => void (await breakMirror(files()));

/** What happened before each block of commands, and what has to be true in the end. */
interface Story {
  before?: (() => void | Promise<void>)[];
  shows?: (string | RegExp)[];
  after: () => void;
}

const STORIES: Record<string, Story> = {
  'What is wrong?': {
    shows: ['Next: nothing to do', 'OK mirror m.log'],
    after: () => imagesAreEqual('b.img', 'c.img'),
  },
  'The application was killed, or the machine lost power': {
    before: [kill],
    shows: ['NOT closed cleanly', 'dry run: nothing was written', 'copied', 'closed cleanly'],
    after: () => imagesAreEqual('b.img', 'c.img'),
  },
  'A slave is gone, and comes back': {
    before: [
      () => {
        mkdirSync(at('elsewhere'));
        renameSync(at('b.img'), at('elsewhere/b.img'));
      },
      async () => {
        await kill(); // the application goes on meanwhile, without it
        renameSync(at('elsewhere/b.img'), at('b.img'));
      },
      async () => {
        renameSync(at('b.img'), at('elsewhere/b.img'));
        await kill();
      },
    ],
    shows: ['cannot be found', 'cannot be found', 'slave1', 'nothing to do', 'elsewhere/b.img'],
    after: () => imagesAreEqual('elsewhere/b.img', 'c.img'),
  },
  'A slave is lost, and a new disk takes its place': {
    before: [() => rmSync(at('b.img'))],
    shows: ['blockmirror create --log', 'The mirror is ready', 'all images are identical'],
    after: () => imagesAreEqual('b.img', 'c.img'),
  },
  'The log is damaged': {
    before: [
      async () => {
        await kill();
        overwrite(at('m.log'), RING, Buffer.alloc(8192, 0x5a));
      },
    ],
    shows: [/damaged/, /compared/, 'closed cleanly'],
    after: () => imagesAreEqual('b.img', 'c.img'),
  },
  'A disk is slow, or does not answer': {
    before: [() => undefined, kill],
    shows: ['one point in time', 'behind', 'synchronized'],
    after: () => imagesAreEqual('b.img', 'c.img'),
  },
  'Do the images still agree?': {
    shows: ['all images are identical', 'all images are identical', 'OK mirror m.log'],
    after: () => imagesAreEqual('b.img', 'c.img'),
  },
  'The images differ': {
    before: [() => overwrite(at('b.img'), MIB, pattern(8192, 3))],
    shows: ['slave1 stands alone there', 'inconsistent', 'copied from the master', 'all images are identical'],
    after: () => imagesAreEqual('b.img', 'c.img'),
  },
  'A backup at a point in time': {
    before: [() => copyFileSync(at('a.img'), at('then.img'))],
    shows: ['one point in time', '', 'synchronized'],
    after: () => {
      imagesAreEqual('b.img', 'c.img');
      expect(
        readFileSync(at('backup.img'))
          .subarray(0, SIZE)
          .equals(readFileSync(at('then.img')).subarray(0, SIZE)),
      ).toBe(true);
    },
  },
  'What happened last night?': {
    before: [
      async () => {
        await kill();
        run(`cd '${folder()}' && blockmirror recover m.log`);
      },
    ],
    shows: ['after a crash', 'slave1 went from synchronizing to in sync', 'certain'],
    after: () => imagesAreEqual('b.img', 'c.img'),
  },
  'How long will it take?': {
    shows: ['nothing to recover', 'Live intents', 'nothing to do'],
    after: () => imagesAreEqual('b.img', 'c.img'),
  },
  'The mirror cannot be opened': {
    shows: ['Next: nothing to do', 'slave2', /ok/],
    after: () => imagesAreEqual('b.img', 'c.img'),
  },
};

test('every section of the page has its story here, and no story is without its section', () => {
  expect(Object.keys(STORIES)).toEqual([...sections.keys()]);
});

describe('the commands do what the page says:', () => {
  test.each(Object.entries(STORIES))('%s', async (heading, { before = [], shows = [], after }) => {
    follow([
      {
        command: 'blockmirror create --log m.log --master a.img --slave b.img --slave c.img --size 16MiB',
        exitCode: 0,
      },
    ]);
    const blocks = sections.get(heading) ?? [];
    const printed: string[] = [];
    for (const [index, lines] of blocks.entries()) {
      await before[index]?.();
      printed.push(...follow(lines));
    }
    expect(printed).toHaveLength(shows.length);
    for (const [index, text] of shows.entries()) expect(printed[index]).toMatch(text);
    after();
  });
});
