// The report, from figures that are given.
import { ask } from './support';

const spreadOf = (median: number): object => ({ minimum: median - 0.1, median, maximum: median + 0.1 });
const contestant = (throughput: number): object => ({
  ...Object.fromEntries(['p50', 'p99', 'p999', 'cpu', 'cpuUser', 'cpuSystem'].map((name) => [name, spreadOf(50)])),
  throughput: spreadOf(throughput),
  counted: 100_000,
  coveredShare: null,
  curve: [
    { share: 0.5, us: 100 },
    { share: 0.999, us: 900 },
    { share: 0.99999, us: 5000 },
  ],
  rounds: [],
});
const rowOf = (id: string, title: string): object => ({
  kind: 'row',
  id,
  title,
  baseline: 'raw_pair',
  figures: [
    { what: 'throughput vs. raw pair', unit: 'ratio', value: spreadOf(0.8), atLeast: 0.95 },
    { what: 'median latency vs. raw pair', unit: 'ratio', value: spreadOf(1.1), atMost: 1.18 },
  ],
  ratios: { mirror: spreadOf(0.8) },
  contestants: { mirror: contestant(800), raw_pair: contestant(1000) },
  absent: { md_raid1: 'this kernel has no md' },
});
const report = {
  machine: {
    processor: 'A processor',
    cores: 2,
    memoryBytes: 8 * 2 ** 30,
    kernel: '6.1',
    node: 'v20',
    virtualization: 'kvm',
    files: {
      fileSystem: 'ext4',
      disk: {
        name: 'vda',
        known: true,
        virtual: true,
        volatileCache: true,
        forceUnitAccess: false,
        physicalBlockSize: 4096,
      },
    },
    disks: [],
    commit: null,
    date: '2026-01-02T03:04:05Z',
  },
  settings: { rounds: 5, seconds: 1, warmUp: 1, recoveryBudget: 64 * 2 ** 20, device: 'io_uring' },
  absent: [{ title: 'somebody else', why: 'not installed' }],
  results: [
    rowOf('hot-1', 'hot, depth 1 </script><b>'),
    rowOf('hot-32', 'hot, depth 32'),
    {
      kind: 'pareto',
      id: 'pareto',
      title: 'both axes',
      figures: [],
      points: [{ recoveryBudget: 2 ** 20, throughput: spreadOf(0.7), bytes: spreadOf(500_000) }],
      peers: [{ name: 'somebody', bytes: 10 ** 9, throughput: null, source: 'measured elsewhere' }],
    },
    { kind: 'skipped', id: 'z', title: 'on zram', why: 'it needs root' },
    { kind: 'failed', id: 'y', title: 'the broken one', why: 'it broke' },
  ],
};

describe('on the terminal', () => {
  const text = ask<string>({ terminal: 'report/terminal.mjs' }, 'terminal.textReport(given)', report);

  test('a figure stands with its range, what was wanted and whether it was reached', () => {
    expect(text).toMatch(/throughput vs\. raw pair +0\.80 \(0\.70 to 0\.90\) +at least 0\.95 +MISSED/);
    expect(text).toMatch(/median latency vs\. raw pair +1\.10 \(1\.00 to 1\.20\) +at most 1\.18 +reached/);
  });

  test('the machine stands first, and that its disk is virtual', () => {
    expect(text).toMatch(/^A processor, 2 cores, 8 GiB, virtual machine \(kvm\)\n/);
    expect(text).toMatch(/^The disk is virtual/m);
  });

  test('who was not there, what was left out and what failed is said', () => {
    expect(text).toMatch(/md RAID1.*not here, this kernel has no md/);
    expect(text).toMatch(/Left out: on zram: it needs root/);
    expect(text).toMatch(/FAILED: the broken one: it broke/);
    expect(text).toMatch(/Not here: somebody else: not installed/);
  });
});

describe('the page', () => {
  const { page, charts } = ask<{ page: string; charts: Record<string, never> }>(
    { html: 'report/html.mjs', charts: 'report/charts.mjs' },
    '({ page: html.htmlReport(given), charts: charts.chartsOf(given) })',
    report,
  );

  test('fetches nothing', () => {
    expect(page).not.toMatch(/<(script|img|link|iframe)[^>]+(src|href)=/i);
    expect(page).not.toMatch(/@import|url\(/);
  });

  test('a title is text, in the tables as in the data of the charts', () => {
    expect(page).toContain('hot, depth 1 &lt;/script&gt;&lt;b&gt;');
    expect(page).not.toContain('</script><b>');
    const data = /<script type="application\/json" id="charts">(.*?)<\/script>/s.exec(page)?.[1] ?? '';
    expect(JSON.parse(data)).toEqual(charts);
  });

  test('names the machine and that its disk is virtual', () => {
    expect(page).toContain('vda: a virtual disk, volatile cache, no FUA');
    expect(page).toContain('The disk is virtual');
  });

  test('a load measured at two depths has a line over depth', () => {
    expect(charts).toMatchObject({ depth: [{ depths: [1, 32], series: [{ who: 'mirror' }, { who: 'raw_pair' }] }] });
  });

  test('a latency curve ends where hardly a request is behind it', () => {
    const [first] = charts['latency'] as unknown as { series: { points: { y: number }[] }[] }[];
    expect(first?.series[0]?.points.map(({ y }) => y)).toEqual([100, 900]);
  });

  test('others are cited with their source', () => {
    expect(page).toContain('<b>somebody</b> measured elsewhere');
  });
});

test('a figure shows its unit once where it is the same', () => {
  const MIB = 2 ** 20;
  const given = [
    { value: { minimum: 40 * MIB, median: 42.5 * MIB, maximum: 60 * MIB }, unit: 'bytes' },
    { value: { minimum: 512 * 1024, median: MIB, maximum: 2 * MIB }, unit: 'bytes' },
    { value: { minimum: 3, median: 3, maximum: 3 }, unit: 'ms' },
    { value: null, unit: 'ratio' },
    { value: { minimum: 0.041, median: 0.0421, maximum: 0.05 }, unit: 'ratio' },
  ];
  expect(ask({ units: 'report/units.mjs' }, 'given.map(units.inWords)', given)).toEqual([
    '42.5 MiB (40 to 60)',
    '1 MiB (512 KiB to 2 MiB)',
    '3.0 ms',
    '-',
    '0.042 (0.041 to 0.050)',
  ]);
});
