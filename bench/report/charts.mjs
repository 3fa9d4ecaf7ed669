// What the page draws, as data: series of points with names and words. Pure.
import { titleOf } from '../contestants.mjs';
import { inUnit } from './units.mjs';

const MiB = 1024 * 1024;
// A curve ends where fewer requests than these are behind a point.
const LEAST_BEHIND_A_POINT = 5;

const rowsOf = (results) => results.filter(({ kind }) => kind === 'row');

/** Throughput over depth: one chart for each load that was measured at several depths. */
export function depthCharts(results) {
  return ['hot', 'cold'].flatMap((name) => {
    const rows = rowsOf(results)
      .map((row) => ({ row, match: new RegExp(`^${name}-(\\d+)(-threads)?$`).exec(row.id) }))
      .filter(({ match }) => match !== null)
      .sort((a, b) => Number(a.match[1]) - Number(b.match[1]));
    const depths = [...new Set(rows.map(({ match }) => Number(match[1])))];
    if (depths.length < 2) return [];
    const series = new Map();
    for (const { row, match } of rows) {
      for (const [who, { throughput }] of Object.entries(row.contestants)) {
        if (match[2] && who !== 'mirror') continue;
        const label = `${titleOf(who)}${match[2] ? ' on threads' : ''}`;
        const points = series.get(label) ?? { who: match[2] ? 'threads' : who, label, points: [] };
        points.points.push({
          x: Number(match[1]),
          y: throughput.median,
          low: throughput.minimum,
          high: throughput.maximum,
        });
        series.set(label, points);
      }
    }
    const lines = [...series.values()].filter(({ points }) => points.length > 0);
    return [{ title: `Random write 4 KiB, ${name}: writes per second over depth`, depths, series: lines }];
  });
}

/** Latency percentiles as curves: one chart for each row. x is 1 / (1 - share), so that every nine is as wide as the last. */
export function latencyCharts(results) {
  return rowsOf(results)
    .filter(({ id }) => !id.endsWith('-threads'))
    .map(({ id, title, contestants }) => ({
      id,
      title,
      series: Object.entries(contestants).map(([who, { curve, counted }]) => ({
        who,
        label: titleOf(who),
        points: curve
          .filter(({ share, us }) => us !== null && (1 - share) * counted >= LEAST_BEHIND_A_POINT)
          .map(({ share, us }) => ({ x: 1 / (1 - share), y: us })),
      })),
    }));
}

/** Throughput over bytes copied again; others as lines where nobody published the one of the two. */
export function paretoChart(results) {
  const found = results.find(({ kind }) => kind === 'pareto');
  if (!found) return null;
  return {
    title: found.title,
    points: found.points
      .filter(({ throughput, bytes }) => throughput && bytes)
      .map(({ recoveryBudget, throughput, bytes }) => ({
        x: bytes.median,
        y: throughput.median,
        low: throughput.minimum,
        high: throughput.maximum,
        label: `budget ${inUnit(recoveryBudget, 'bytes')}`,
        words: `${inUnit(bytes.median, 'bytes')} copied again, ${throughput.median.toFixed(2)} of the raw pair`,
      })),
    peers: found.peers.map(({ name, bytes, throughput, source }) => ({
      label: name,
      x: bytes,
      range: throughput,
      source,
    })),
  };
}

export function memoryChart(results) {
  const found = results.find(({ kind }) => kind === 'memory');
  if (!found) return null;
  return { title: found.title, points: found.samples.map(({ seconds, bytes }) => ({ x: seconds, y: bytes / MiB })) };
}

export function chartsOf({ results }) {
  return {
    depth: depthCharts(results),
    latency: latencyCharts(results),
    pareto: paretoChart(results),
    memory: memoryChart(results),
  };
}
