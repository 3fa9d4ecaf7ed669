// What is seen of a mirror that another process has open: as that process tells it, or from outside, and which of them is said.
import { FAMILIES } from '../../lib/metrics/families';
import { ratesBetween } from '../../lib/cli/rates';
import { pictureToLines } from '../../lib/cli/watch_view';
import { type Status, connect } from '../../lib/index';
import { runCommand, startCommand } from '../support/command_line';
import { useHolders } from '../support/holder';
import { createMirrorFiles } from '../support/mirror_files';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';
import { useControlFolder } from './support';

const folder = useTemporaryFolder();
useControlFolder();
const hold = useHolders();
const CONTROL = { control: true, rejoin: 'manual' } as const;
const flat = (text: string): string => text.replace(/\s+/g, ' ');

let log: string;
beforeEach(async () => {
  ({ log } = await createMirrorFiles(folder()));
});

describe('status', () => {
  test('of a mirror with a socket is live: what only its process knows, and that it is so', async () => {
    const holder = await hold(log, CONTROL, { writes: true });
    await holder.until(({ acknowledged }) => acknowledged > 5);
    const json = await runCommand(['status', log, '--json']);
    expect(json.exitCode).toBe(0);
    expect(json.json()).toMatchObject({ live: true, notLive: null, phase: 'running', log, stalled: [] });
    expect(json.json().counters.writes).toBeGreaterThan(5);
    const { stdout } = await runCommand(['status', log]);
    expect(flat(stdout)).toContain('Seen live: its process tells it');
    expect(flat(stdout)).toContain(`in use by node (process ${holder.process})`);
    expect(flat(stdout)).toContain('Next: nothing to do');
  });

  test('says that resyncs are paused, and what to do about a slave that is out', async () => {
    await hold(log, CONTROL);
    await runCommand(['fracture', log, 'slave1']);
    await runCommand(['resync', log, '--pause']);
    const { exitCode, stdout } = await runCommand(['status', log]);
    expect(exitCode).toBe(3);
    expect(flat(stdout)).toContain('resyncs are PAUSED');
    expect(flat(stdout)).toMatch(
      /Next: the mirror works without slave1, and resyncs are paused; `?blockmirror resync \S+ --resume/,
    );
    expect((await runCommand(['status', log, '--check'])).exitCode).toBe(1);
    await runCommand(['resync', log, '--resume']);
    const after = flat((await runCommand(['status', log])).stdout);
    expect(after).toMatch(/Next: the mirror works without slave1; `?blockmirror resync \S+ takes slave1 back/);
  });

  test('of one without a socket is from outside, and says why', async () => {
    const holder = await hold(log, { rejoin: 'manual' });
    const { exitCode, stdout } = await runCommand(['status', log]);
    expect(exitCode).toBe(0);
    expect(flat(stdout)).toMatch(
      new RegExp(`Seen from outside, by log and labels: .*held by process ${holder.process} `),
    );
    const json = (await runCommand(['status', log, '--json'])).json();
    expect(json).toMatchObject({ live: false, notLive: { code: 'ERR_BLOCKMIRROR_NO_CONTROL' }, phase: 'held' });
  });

  test('of one that nobody has open has nothing to say about that', async () => {
    expect((await runCommand(['status', log])).stdout).not.toContain('Seen');
    expect((await runCommand(['status', log, '--json'])).json()).toMatchObject({ live: false, notLive: null });
  });

  test('of a frozen process is from outside, at once, with how to wake it', async () => {
    const holder = await hold(log, CONTROL);
    holder.signal('SIGSTOP');
    const began = performance.now();
    const { exitCode, stdout } = await runCommand(['status', log]);
    expect(performance.now() - began).toBeLessThan(5000);
    expect(exitCode).toBe(3);
    expect(flat(stdout)).toContain('Seen from outside');
    expect(flat(stdout)).toContain(`kill -CONT ${holder.process}`);
    expect((await runCommand(['status', log, '--check'])).exitCode).toBe(2);
  });

  test('--metrics has what only its process knows, in the format of node_exporter', async () => {
    const holder = await hold(log, CONTROL, { writes: true });
    await holder.until(({ acknowledged }) => acknowledged > 5);
    const { exitCode, stdout } = await runCommand(['status', log, '--metrics']);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('blockmirror_phase{');
    const ofHolder = FAMILIES.filter(({ knownFrom }) => knownFrom === 'holder').map(({ name }) => name);
    expect(ofHolder.filter((name) => stdout.includes(`\n${name}`)).length).toBeGreaterThan(5);
    expect(stdout).not.toContain('# EOF');
    holder.signal('SIGSTOP');
    const frozen = await runCommand(['status', log, '--metrics']);
    expect(frozen.stdout).toMatch(/blockmirror_holder_frozen\{[^}]*\} 1/);
  });
});

test('history of a living mirror has what happened just now; of a frozen one what the log says', async () => {
  const holder = await hold(log, CONTROL);
  await runCommand(['fracture', log, 'slave1']);
  const { exitCode, stdout } = await runCommand(['history', log, '--json', '--image', 'slave1', '--since', '1h']);
  expect(exitCode).toBe(0);
  const { events, log: named } = JSON.parse(stdout) as { events: { kind: string }[]; log: string };
  expect(events.at(-1)).toMatchObject({ kind: 'fractured', image: 'slave1' });
  expect(named).toBe(log);
  expect((await runCommand(['history', log, '--image', 'nobody'])).exitCode).toBe(2);
  holder.signal('SIGSTOP');
  expect((await runCommand(['history', log, '--json'])).exitCode).toBe(0);
});

/** Documents of `status --follow --json`, as they come. */
function follow(): {
  events: Record<string, unknown>[];
  until: (fits: () => boolean) => Promise<void>;
  end: () => Promise<number | null>;
} {
  const { child, result } = startCommand(['status', log, '--json', '--follow']);
  const events: Record<string, unknown>[] = [];
  let rest = '';
  child.stdout?.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    events.push(...lines.map((line) => JSON.parse(line) as Record<string, unknown>));
  });
  const until = async (fits: () => boolean): Promise<void> => {
    for (let tries = 0; !fits(); tries += 1) {
      if (tries > 400) throw new Error(`what was awaited is not among ${JSON.stringify(events.slice(1))}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const end = async (): Promise<number | null> => {
    child.kill('SIGINT');
    return (await result).exitCode;
  };
  return { events, until, end };
}

test('status --follow tells what a living mirror tells, and goes on from outside when its process is gone', async () => {
  const holder = await hold(log, CONTROL, { writes: true });
  const followed = follow();
  const { events, until, end } = followed;
  const has = (wanted: Record<string, unknown>) => (): boolean =>
    events.some((event) => Object.entries(wanted).every(([name, value]) => event[name] === value));
  await until(has({ event: 'status', live: true }));
  await runCommand(['fracture', log, 'slave1']);
  await until(has({ event: 'state', image: 'slave1', to: 'behind' }));
  await runCommand(['resync', log, '--full']);
  await until(has({ event: 'resync', step: 'begun' }));
  await until(has({ event: 'resync', step: 'ended', reason: 'in-sync' }));
  await holder.kill();
  await until(has({ event: 'live', live: false }));
  await until(has({ event: 'phase', to: 'unclean' }));
  const again = await hold(log, CONTROL);
  await until(has({ event: 'live', live: true }));
  again.signal('SIGSTOP');
  await until(has({ event: 'holder', state: 'frozen' }));
  again.signal('SIGCONT');
  expect(await end()).toBe(0);
}, 60_000);

describe('the picture of watch', () => {
  async function statuses(): Promise<[Status, Status]> {
    const holder = await hold(log, CONTROL, { writes: true });
    const client = await connect(log);
    try {
      const before = await client.status();
      const { acknowledged } = holder.told();
      await holder.until((told) => told.acknowledged > acknowledged + 20);
      return [before, await client.status()];
    } finally {
      client.close();
    }
  }
  const still = { events: [], mostOwed: new Map<string, number>(), paint: (_: unknown, text: string) => text };

  test.each([80, 40])('at %d columns has rates and latencies of a mirror that tells them', async (columns) => {
    const [before, status] = await statuses();
    const rates = ratesBetween(before, status, 500);
    expect(rates?.writesPerSecond).toBeGreaterThan(30);
    expect(rates?.writtenBytesPerSecond).toBe((rates?.writesPerSecond ?? 0) * 65536);
    const picture = { ...still, status, live: true, rates, resync: null, columns, rows: 24 };
    const text = pictureToLines(picture).join('\n');
    expect(text).toMatch(/writes [\d.]+ MiB\/s \(\d+\/s\)/);
    expect(text).toMatch(/reads [\d.]+ \w+\/s \(\d+\/s\)/);
    expect(text).toMatch(/slave1 +\w+(, owes [\d.]+ \w+)?(, |\n +)write p50 [\d.]+ ms p99 [\d.]+ ms/);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(columns);
    const outside = pictureToLines({ ...picture, live: false, rates: null }).join('\n');
    expect(outside).not.toContain('/s');
  });

  test('of a resync has its rate, and how long it takes', async () => {
    const [, status] = await statuses();
    const images = status.images.map((image) =>
      image.role === 'master' ? image : { ...image, state: 'synchronizing' as const, bytesOwed: MIB, latency: null },
    );
    const resync = { images: ['slave1'], bytesPerSecond: 2 * MIB, timeLeftMs: 500 };
    const mostOwed = new Map([['slave1', 4 * MIB]]);
    const picture = { ...still, mostOwed, status: { ...status, images }, live: true, rates: null, resync };
    for (const columns of [80, 40]) {
      const text = pictureToLines({ ...picture, columns, rows: 24 }).join('\n');
      expect(text).toMatch(/█ *░*░ 75% 2 MiB\/s, 500 ms left/);
    }
  });

  test('rates of two openings are none', async () => {
    const [before, after] = await statuses();
    expect(ratesBetween(after, before, 500)).toBeNull();
  });
});
