/** The dashboard and the alert rules name metrics that exist, and Prometheus takes the rules and finds what they are to notice. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FAMILIES } from '../../lib/metrics/families';
import { noPromtool, promtool } from '../support/prometheus_tools';
import { testUnless } from '../support/skip';
import { useTemporaryFolder } from '../support/temporary_folder';

const FOLDER = join(__dirname, '..', '..', 'examples', 'monitoring');
const folder = useTemporaryFolder();
const read = (name: string): string => readFileSync(join(FOLDER, name), 'utf8');

const LABELS = new Set(FAMILIES.flatMap(({ name, type }) => (type === 'stateset' ? [name] : [])));
/** As they are exposed. */
const SERIES = new Set(
  FAMILIES.flatMap(({ name, type }) => {
    if (type === 'histogram') return ['_bucket', '_sum', '_count'].map((part) => name + part);
    return [name + (type === 'counter' ? '_total' : type === 'info' ? '_info' : '')];
  }),
);
const named = (text: string): string[] => [...new Set(text.match(/\bblockmirror_\w+/g) ?? [])];

interface Dashboard {
  panels: { id: number; title: string; targets: { expr: string }[]; gridPos: Record<'x' | 'y' | 'w' | 'h', number> }[];
  templating: { list: { query: string | { query: string } }[] };
}

test.each(['alerts.yml', 'alerts_test.yml', 'grafana-dashboard.json'])('%s names metrics that exist', (name) => {
  const found = named(read(name));
  expect(found.length).toBeGreaterThan(9);
  expect(found.filter((metric) => !SERIES.has(metric) && !LABELS.has(metric))).toEqual([]);
});

test('every rule has a test that makes it fire', () => {
  const rules = [...read('alerts.yml').matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name);
  const fired = [...read('alerts_test.yml').matchAll(/alertname: (\w+)\n +exp_alerts:/g)].map(([, name]) => name);
  expect(rules.length).toBeGreaterThan(10);
  expect([...new Set(fired)].sort()).toEqual([...rules].sort());
});

test('every panel of the dashboard asks for the mirrors that were chosen, and lies on the grid by itself', () => {
  const { panels } = JSON.parse(read('grafana-dashboard.json')) as Dashboard;
  const cells = new Set<string>();
  for (const { title, targets, gridPos } of panels) {
    for (const { expr } of targets) {
      const selectors = expr.match(/blockmirror_\w+(\{[^}]*\})?/g) ?? [];
      expect([title, selectors.filter((selector) => !selector.includes('mirror=~"$mirror"'))]).toEqual([title, []]);
    }
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(x).toBeLessThan(24);
        expect([title, cells.has(`${x},${y}`)]).toEqual([title, false]);
        cells.add(`${x},${y}`);
      }
    }
  }
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
});

testUnless(noPromtool, 'promtool takes the rules, and each fires when it has to and not before', async () => {
  expect(promtool(['check', 'rules', join(FOLDER, 'alerts.yml')])).toBe('');
  expect(promtool(['test', 'rules', join(FOLDER, 'alerts_test.yml')])).toBe('');
});

testUnless(noPromtool, 'every question of the dashboard is PromQL', async () => {
  const { panels } = JSON.parse(read('grafana-dashboard.json')) as Dashboard;
  const rules = panels.flatMap(({ id, targets }) =>
    targets.map(({ expr }, index) => ({
      record: `panel:${id}:${index}`,
      expr: expr.replaceAll('$__rate_interval', '5m'),
    })),
  );
  // JSON is YAML.
  const file = JSON.stringify({ groups: [{ name: 'dashboard', rules }] });
  const path = join(folder(), 'dashboard.yml');
  writeFileSync(path, file);
  expect(promtool(['check', 'rules', path])).toBe('');
});
