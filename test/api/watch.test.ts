/** Events: each is told once, whatever a listener does. In a process of its own, where an uncaught exception is real. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const watch = path.join(__dirname, '../../dist/io/watch.js');

/** A watch over an engine whose images fail at once; what was told, and what was thrown, in order. */
function run(listeners: string): string[] {
  const script = `
    const { StateWatch } = require(${JSON.stringify(watch)});
    const lines = [];
    const states = ['in-sync', 'in-sync', 'in-sync'];
    const snapshot = () => ({
      phase: 'running',
      images: states.map((state) => ({ state, bytesDiffered: 0 })),
      counters: { repairs: 0 },
      recentRepairs: [],
    });
    const engine = { afterCompletions: null, snapshot };
    process.on('uncaughtException', (error) => lines.push('uncaught ' + error.message));
    ${listeners}
    const watch = new StateWatch(engine, snapshot().images, change, degraded);
    watch.begin();
    const fail = (image) => { states[image] = 'failed'; engine.afterCompletions?.(); };
    fail(1);
    fail(2);
    setTimeout(() => {
      states[1] = 'in-sync';
      engine.afterCompletions();
      if (typeof late === 'undefined') return setTimeout(() => console.log(lines.join('\\n')), 150);
      watch.stop();
      setTimeout(() => console.log(lines.join('\\n')), 150);
    }, 150);
    setTimeout(() => undefined, 600);
  `;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout.trim().split('\n');
}

test('a listener that throws is an uncaught exception, and swallows neither the next event nor a later one', () => {
  const lines = run(`
    const change = ({ index, to }) => { lines.push(index + ' ' + to); throw new Error('of ' + index); };
    const degraded = () => { lines.push('degraded'); throw new Error('of degraded'); };
  `);
  expect(lines).toEqual([
    ...['1 failed', '2 failed', 'degraded', 'uncaught of 1', 'uncaught of 2', 'uncaught of degraded'],
    ...['1 in-sync', 'uncaught of 1'],
  ]);
});

test('what a completion has shown before the watch is stopped is told', () => {
  const lines = run(`
    const late = true;
    const change = ({ index, to }) => lines.push(index + ' ' + to);
    const degraded = () => lines.push('degraded');
  `);
  expect(lines).toEqual(['1 failed', '2 failed', 'degraded', '1 in-sync']);
});
