// The live view: its picture at 80 and 40 columns, the events on a pipe, and how it ends.
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { inspect, type Status } from '../../lib/index';
import { Ledger } from '../../lib/cli/demo/acknowledgements';
import { columnsOf } from '../../lib/cli/colours';
import { type Picture, pictureToLines } from '../../lib/cli/watch_view';
import { changesBetween } from '../../lib/look/changes';
import { startChildWriter } from '../support/child_writer';
import { MAIN, startCommand } from '../support/command_line';
import { createMirrorFiles } from '../support/mirror_files';
import { describeUnless } from '../support/skip';
import { useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();
const noScript = existsSync('/usr/bin/script') ? null : 'needs script (package bsdutils)';
const MIB = 1024 * 1024;

async function statusOf(): Promise<Status> {
  const { log } = await createMirrorFiles(folder());
  return (await inspect(log)).status;
}

const picture = (status: Status, more: Partial<Picture> = {}): Picture => ({
  status,
  live: false,
  rates: null,
  resync: null,
  events: [],
  columns: 80,
  rows: 24,
  mostOwed: new Map(),
  paint: (_, text) => text,
  ...more,
});

const resyncing = (status: Status): Status => ({
  ...status,
  images: status.images.map((image) =>
    image.role === 'master' ? image : { ...image, state: 'synchronizing', bytesOwed: 3 * MIB },
  ),
});

describe.each([80, 40, 12])('at %d columns', (columns) => {
  test('no line is too long, nor are there too many, whatever the names', async () => {
    const status = resyncing(await statusOf());
    const at = '2026-11-27T10:00:00.000Z';
    const long = {
      ...status,
      log: `/${'一'.repeat(100)}`,
      images: status.images.map((image) => ({ ...image, name: 'n'.repeat(31) })),
    };
    const events = Array.from({ length: 50 }, () => ({
      at,
      event: { event: 'state', image: 'n'.repeat(31), from: 'consistent', to: 'failed', error: null } as const,
    }));
    for (const rows of [24, 5, 1]) {
      const lines = pictureToLines(
        picture(long, { columns, rows, events, mostOwed: new Map([['n'.repeat(31), 4 * MIB]]) }),
      );
      expect(lines.length).toBeLessThanOrEqual(rows);
      for (const line of lines) expect(columnsOf(line)).toBeLessThanOrEqual(columns);
    }
  });
});

test('a resync has a bar of what is paid; one whose debt nobody knows has none', async () => {
  const status = resyncing(await statusOf());
  const lines = pictureToLines(picture(status, { mostOwed: new Map([['slave1', 4 * MIB]]) }));
  expect(lines.join('\n')).toMatch(/slave1 +synchronizing, owes 3 MiB\n +█{7}░{23} 25%/);
  expect(pictureToLines(picture(status)).join('\n')).not.toContain('█');
});

test('the newest events are shown, and colours only where they are painted', async () => {
  const status = await statusOf();
  const events = Array.from({ length: 40 }, (_, index) => ({
    at: `2026-11-27T10:00:${String(index % 60).padStart(2, '0')}.000Z`,
    event: { event: 'generation', from: index, to: index + 1 } as const,
  }));
  const text = pictureToLines(picture(status, { events, rows: 14 })).join('\n');
  expect(text).toContain('10:00:39 generation 40');
  expect(text).not.toContain('generation 2\n');
  const painted = pictureToLines(picture(status, { paint: (colour, words) => `<${colour}>${words}</>` })).join('\n');
  expect(painted).toContain('<green>synchronized</>');
});

test('a change from one status to the next is an event; in sync with and without writes in flight is none', async () => {
  const before = await statusOf();
  const image = (state: 'failed' | 'consistent'): Status => ({
    ...before,
    images: before.images.map((one) => (one.role === 'slave' ? { ...one, state } : one)),
  });
  expect(changesBetween(before, before)).toEqual([]);
  expect(changesBetween(before, image('consistent'))).toEqual([]);
  expect(changesBetween(image('consistent'), image('failed'))).toEqual([
    { event: 'state', image: 'slave1', from: 'consistent', to: 'failed', error: null },
  ]);
  const verified = {
    finishedAt: 'now',
    bytesCompared: 1,
    bytesDiffered: 0,
    bytesRepaired: 0,
    result: 'identical',
  } as const;
  expect(changesBetween(before, { ...before, phase: 'unclean', lastVerify: verified })).toEqual([
    { event: 'phase', from: 'closed', to: 'unclean', stopped: null },
    { event: 'verified', finishedAt: 'now', result: 'identical' },
  ]);
});

/** Lines of stdout, as they come, until one fits. */
async function lineLike(child: ReturnType<typeof spawn>, pattern: RegExp, seen: string[]): Promise<void> {
  if (seen.some((line) => pattern.test(line))) return;
  await new Promise<void>((resolve, reject) => {
    const look = (): void => {
      if (seen.some((line) => pattern.test(line))) resolve();
    };
    child.stdout?.on('data', look);
    child.once('close', () => reject(new Error(`it ended without ${pattern}: ${seen.join('\n')}`)));
  });
}

function follow(...args: string[]): {
  child: ReturnType<typeof spawn>;
  lines: string[];
  ended: Promise<number | null>;
} {
  const { child, result } = startCommand(args);
  const lines: string[] = [];
  let rest = '';
  child.stdout?.on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
  });
  return { child, lines, ended: result.then(({ exitCode }) => exitCode) };
}

test.each(['SIGINT', 'SIGTERM'] as const)(
  'status --json --follow: the status, then a document a line for what happens; %s ends it with 0',
  async (signal) => {
    const { log } = await createMirrorFiles(folder());
    const { child, lines, ended } = follow('status', log, '--json', '--follow');
    await lineLike(child, /"event":"status"/, lines);
    const writer = startChildWriter({ log, run: 1, device: 'auto' }, new Ledger());
    try {
      await writer.acknowledged(10);
      await lineLike(child, /"event":"phase".*"to":"held"/, lines);
    } finally {
      await writer.kill();
    }
    await lineLike(child, /"event":"phase".*"to":"unclean"/, lines);
    child.kill(signal);
    expect(await ended).toBe(0);
    const documents = lines.map((line) => JSON.parse(line));
    expect(documents[0]).toMatchObject({ event: 'status', status: { log, phase: 'closed' } });
    for (const { at } of documents) expect(Date.parse(at)).not.toBeNaN();
  },
);

test('watch on a pipe: plain lines; it ends when nobody reads them any more', async () => {
  const { log } = await createMirrorFiles(folder());
  const { child, lines, ended } = follow('watch', log);
  await lineLike(child, /closed: master synchronized, slave1 synchronized/, lines);
  child.stdout?.destroy();
  const writer = startChildWriter({ log, run: 1, device: 'auto' }, new Ledger());
  try {
    expect(await ended).toBe(0);
  } finally {
    await writer.kill();
  }
  expect(lines.join('')).not.toContain(String.fromCharCode(27));
});

test('a log that is not there: an error, at once', async () => {
  const { result } = startCommand(['watch', join(folder(), 'nowhere.log')]);
  expect((await result).exitCode).toBe(1);
});

describeUnless(noScript, 'on a terminal', () => {
  test('a picture; after Ctrl-C the screen and the cursor are back', async () => {
    const { log } = await createMirrorFiles(folder());
    const command = `stty cols 40 rows 20; exec ${process.execPath} ${MAIN} watch ${log}`;
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, TERM: 'xterm' },
    });
    let screen = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (screen += text));
    try {
      while (!screen.includes('Ctrl-C')) await once(child.stdout, 'data', { signal: AbortSignal.timeout(20_000) });
      child.stdin.write('\u0003');
      const [exitCode] = (await once(child, 'close', { signal: AbortSignal.timeout(20_000) })) as [number | null];
      expect(exitCode).toBe(0);
    } finally {
      child.kill();
    }
    const escape = String.fromCharCode(27);
    expect(screen).toContain(`${escape}[32msynchronized`);
    expect(screen.lastIndexOf(`${escape}[?1049l`)).toBeGreaterThan(screen.lastIndexOf(`${escape}[H`));
    expect(screen.lastIndexOf(`${escape}[?25h`)).toBeGreaterThan(screen.lastIndexOf(`${escape}[?25l`));
  });
});

test('watch and --json, or --follow and --check, are a mistake', () => {
  for (const args of [
    ['watch', 'x', '--json'],
    ['status', 'x', '--follow', '--metrics'],
  ]) {
    expect(spawnSync(process.execPath, [MAIN, ...args]).status).toBe(2);
  }
});
