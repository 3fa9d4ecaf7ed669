// The end of an environment at every step of a mirror's life: the process ends by itself, soon, with the code it should,
// without a crash; a worker takes nothing with it and leaves nothing behind. To the mirror it is an unclean shutdown.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { describeDeviceKinds } from '../support/device_kinds';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';
import { type Files, RawEngine, expectNoEngineLeft, makeFiles, openFiles, ringRecords } from './raw_engine';

const CHILD = path.join(__dirname, 'teardown_child.cjs');
const ADDON = path.join(__dirname, '..', '..', 'build', 'Release', 'blockmirror.node');
/** Far above what an end takes, below what a hang takes. */
const PATIENCE_MS = 120_000;

const TERMINATED = path.join(__dirname, 'terminated_child.cjs');

interface End {
  code: number | null;
  signal: string | null;
  errors: string;
}

function runChild(options: Record<string, unknown>, program = CHILD): Promise<End> {
  const child = spawn(process.execPath, [program, JSON.stringify(options)], {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  });
  let errors = '';
  child.stderr.on('data', (piece: Buffer) => (errors += piece.toString()));
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, errors })));
}

async function isClean(files: Files): Promise<boolean> {
  const engine = new RawEngine('auto');
  await openFiles(engine, files);
  await engine.command('loadSuperblock', {});
  const { clean, damaged } = await engine.command('assess', {});
  expect(damaged).toBe(false);
  await engine.close();
  return clean;
}

expectNoEngineLeft();

describeDeviceKinds('with', (device) => {
  const folder = useTemporaryFolder();

  const steps = ['made', 'log', 'images', 'formatted', 'idle', 'load', 'closing', 'closed', 'destroyed'];
  const ends = {
    natural: steps,
    exit: steps,
    'worker-terminate': steps,
    'worker-natural': ['idle', 'load', 'closing'],
    'worker-exit': ['idle', 'load', 'closing'],
  };
  describe.each(Object.entries(ends))('%s end', (end, stepsOfEnd) => {
    test.each(stepsOfEnd)(
      'of an environment whose mirror is: %s',
      async (step) => {
        const files = makeFiles(folder(), 16 * MIB);
        const ended = await runChild({ addon: ADDON, device, files, ringRecords, step, end });
        expect(ended).toEqual({ code: 0, signal: null, errors: '' });
        // `closing` may have been finished by what was under way, or not.
        const clean = new Map([
          ['idle', false],
          ['load', false],
          ['closed', true],
          ['destroyed', true],
        ]).get(step);
        if (clean !== undefined) expect(await isClean(files)).toBe(clean);
      },
      PATIENCE_MS + 5000,
    );
  });

  test('an uncaught exception ends the process as it would without a mirror', async () => {
    const files = makeFiles(folder(), 16 * MIB);
    const ended = await runChild({ addon: ADDON, device, files, ringRecords, step: 'load', end: 'throw' });
    expect(ended).toMatchObject({ code: 7, signal: null });
    expect(await isClean(files)).toBe(false);
  });

  test('what the callback throws is an uncaught exception, and later completions still come', async () => {
    const files = makeFiles(folder(), 16 * MIB);
    const ended = await runChild({ addon: ADDON, device, files, ringRecords, step: 'idle', end: 'callback' });
    expect(ended).toEqual({ code: 0, signal: null, errors: '' });
  });
});

test('a worker that is terminated while the addon makes an object for it ends alone', async () => {
  expect(await runChild({ addon: ADDON, rounds: 25 }, TERMINATED)).toEqual({ code: 0, signal: null, errors: '' });
}, 180_000);
