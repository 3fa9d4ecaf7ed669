/* global Chart, document -- runs in the page, after the chart library */
// Draws the charts of the page from its data (charts.mjs).
(() => {
  const data = JSON.parse(document.getElementById('charts').textContent);
  const INK = '#1c2530';
  const SOFT = '#5d6b7a';
  const LINE = '#e3e8ed';
  const COLORS = {
    mirror: '#0b62c4',
    threads: '#7a4bb8',
    raw_pair: '#4a5560',
    raw_pair_flushing: '#c77700',
    raw_pair_logging: '#c77700',
    raw_master: '#4a5560',
    fio_pair: '#0f8a6d',
    md_raid1: '#a3324f',
    dm_mirror: '#8a6d1f',
  };
  const OTHERS = ['#a3324f', '#d07fa0', '#8a6d1f', '#3f9c35'];

  Chart.defaults.font.family = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  Chart.defaults.font.size = 12;
  Chart.defaults.color = SOFT;
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  Chart.defaults.plugins.legend.labels.boxHeight = 2;
  Chart.defaults.plugins.legend.labels.boxWidth = 22;
  Chart.defaults.plugins.legend.position = 'bottom';

  const colorOf = (who, i) => COLORS[who] ?? OTHERS[i % OTHERS.length];
  const axis = (title, more) => ({ title: { display: true, text: title }, grid: { color: LINE }, ...more });
  const lineOf = ({ who, label, points }, i, more) => ({
    label,
    data: points,
    borderColor: colorOf(who, i),
    backgroundColor: colorOf(who, i),
    borderWidth: who === 'mirror' ? 2.5 : 1.75,
    borderDash: who === 'mirror' ? [] : [5, 3],
    ...more,
  });

  const draw = (id, config) => new Chart(document.getElementById(id), config);
  const thousands = (value) => value.toLocaleString('en-US');

  data.depth.forEach(({ depths, series }, n) => {
    draw(`depth-${n}`, {
      type: 'line',
      data: { datasets: series.map((one, i) => lineOf(one, i, { pointRadius: 4 })) },
      options: {
        scales: {
          x: axis('requests in flight', {
            type: 'logarithmic',
            min: depths[0],
            max: depths.at(-1),
            afterBuildTicks: (scale) => (scale.ticks = depths.map((value) => ({ value }))),
            ticks: { callback: String },
          }),
          y: axis('writes per second', { beginAtZero: true, ticks: { callback: thousands } }),
        },
        plugins: { tooltip: { callbacks: { title: ([{ parsed }]) => `depth ${parsed.x}` } } },
      },
    });
  });

  const NINES = [1, 2, 10, 100, 1000, 10000, 100000];
  const percent = (x) => (x === 1 ? '0 %' : `${Number(((1 - 1 / x) * 100).toFixed(4))} %`);
  // Axis ticks of 1, 2 and 5 in each decade.
  const plain = (value) => (/^[125]0*$/.test(String(Math.round(value))) || value < 1 ? thousands(value) : '');

  data.latency.forEach(({ series }, n) => {
    const most = Math.max(2, ...series.flatMap(({ points }) => points.map(({ x }) => x)));
    draw(`latency-${n}`, {
      type: 'line',
      data: { datasets: series.map((one, i) => lineOf(one, i, { pointRadius: 0, tension: 0.2 })) },
      options: {
        interaction: { mode: 'nearest', axis: 'x', intersect: false },
        scales: {
          x: axis('share of requests that were faster', {
            type: 'logarithmic',
            min: 1,
            max: most,
            afterBuildTicks: (scale) =>
              (scale.ticks = NINES.filter((value) => value <= most).map((value) => ({ value }))),
            ticks: { callback: percent },
          }),
          y: axis('microseconds', { type: 'logarithmic', ticks: { callback: plain } }),
        },
        plugins: {
          tooltip: {
            callbacks: {
              title: ([{ parsed }]) => percent(parsed.x),
              label: ({ dataset, parsed }) => `${dataset.label}: ${thousands(Math.round(parsed.y))} us`,
            },
          },
        },
      },
    });
  });

  const size = (bytes) => {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let power = 0;
    for (; bytes >= 1024 && power < units.length - 1; power += 1) bytes /= 1024;
    return `${Number(bytes.toPrecision(3))} ${units[power]}`;
  };

  // Labels beside our points, and the others: a line over the whole height, or over the range that was published.
  const annotations = {
    id: 'annotations',
    afterDatasetsDraw(chart) {
      const { ctx, scales, chartArea } = chart;
      const { points, peers } = data.pareto;
      ctx.save();
      ctx.font = `12px ${Chart.defaults.font.family}`;
      peers.forEach(({ label, x, range }, i) => {
        const at = scales.x.getPixelForValue(x);
        const [low, high] = range ?? [scales.y.min, scales.y.max];
        ctx.strokeStyle = OTHERS[i % OTHERS.length];
        ctx.fillStyle = ctx.strokeStyle;
        ctx.lineWidth = range ? 6 : 1.5;
        ctx.setLineDash(range ? [] : [4, 4]);
        ctx.beginPath();
        ctx.moveTo(at, scales.y.getPixelForValue(low));
        ctx.lineTo(at, scales.y.getPixelForValue(high));
        ctx.stroke();
        if (range) {
          ctx.textAlign = 'center';
          ctx.fillText(label, at, scales.y.getPixelForValue(low) + 18);
        } else {
          ctx.textAlign = 'right';
          ctx.fillText(label, at - 6, chartArea.bottom - 10 - 18 * i);
        }
      });
      ctx.setLineDash([]);
      const written = [];
      points.forEach(({ x, y, low, high, label }) => {
        const at = scales.x.getPixelForValue(x);
        ctx.strokeStyle = COLORS.mirror;
        ctx.lineWidth = 1.5;
        ctx.beginPath();
        ctx.moveTo(at, scales.y.getPixelForValue(low));
        ctx.lineTo(at, scales.y.getPixelForValue(high));
        ctx.stroke();
        ctx.fillStyle = INK;
        ctx.textAlign = 'center';
        // Points that stand close to each other have their labels one above the other.
        let above = Math.min(scales.y.getPixelForValue(high) - 6, scales.y.getPixelForValue(y) - 12);
        while (written.some((one) => Math.abs(one.at - at) < 90 && Math.abs(one.above - above) < 14)) above -= 14;
        written.push({ at, above });
        ctx.fillText(label, at, above);
      });
      ctx.restore();
    },
  };

  if (data.pareto) {
    const { points, peers } = data.pareto;
    const all = [...points, ...peers].map(({ x }) => x);
    const powersOf4 = Array.from({ length: 24 }, (_, i) => 4 ** i);
    draw('pareto', {
      type: 'scatter',
      data: {
        datasets: [
          {
            label: 'blockmirror',
            data: points,
            showLine: true,
            borderColor: COLORS.mirror,
            backgroundColor: COLORS.mirror,
            pointRadius: 5,
          },
        ],
      },
      options: {
        layout: { padding: { top: 8, right: 16 } },
        scales: {
          x: axis('bytes copied again after a kill', {
            type: 'logarithmic',
            min: Math.min(...all) / 2,
            max: Math.max(...all) * 2,
            afterBuildTicks: (scale) =>
              (scale.ticks = powersOf4.filter((v) => v >= scale.min && v <= scale.max).map((value) => ({ value }))),
            ticks: { callback: size },
          }),
          y: axis('throughput, of the raw pair', { min: 0, suggestedMax: 1.1 }),
        },
        plugins: {
          legend: { display: false },
          tooltip: { callbacks: { label: ({ raw }) => `${raw.label}: ${raw.words}` } },
        },
      },
      plugins: [annotations],
    });
  }

  if (data.memory) {
    draw('memory', {
      type: 'line',
      data: {
        datasets: [
          lineOf({ who: 'mirror', label: 'resident memory', points: data.memory.points }, 0, { pointRadius: 0 }),
        ],
      },
      options: {
        scales: {
          x: axis('seconds', { type: 'linear' }),
          y: axis('MiB', { beginAtZero: true }),
        },
        plugins: { legend: { display: false } },
      },
    });
  }
})();
