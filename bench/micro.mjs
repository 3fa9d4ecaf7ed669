// npm run bench:micro: what single steps cost: those of the core alone (bench/native/core_steps.cc), then by `benchmark` a
// call into the addon and back, with and without a disk in between. Files in a temporary folder.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { buildCoreSteps } from './build.mjs';
import { makeFolder } from './places.mjs';

const require = createRequire(import.meta.url);
const Benchmark = require('benchmark');
const { Mirror } = require('../dist/index.js');
const { loadBinding } = require('../dist/base/load.js');

function inWords(nanoseconds) {
  if (nanoseconds < 1000) return `${nanoseconds.toFixed(1)} ns`;
  return nanoseconds < 1e6 ? `${(nanoseconds / 1000).toFixed(2)} us` : `${(nanoseconds / 1e6).toFixed(2)} ms`;
}

const show = (name, time, range) => console.log(`${name.padEnd(60)} ${time.padStart(10)}  ${range}`);

function coreSteps() {
  for (const { name, minimum, median, maximum } of JSON.parse(execFileSync(buildCoreSteps(), { encoding: 'utf8' }))) {
    show(name, inWords(median), `(${inWords(minimum)} to ${inWords(maximum)})`);
  }
}

// The callback style of `benchmark` around a promise.
const deferred = (run) => ({
  defer: true,
  fn: (deferral) => {
    run().then(
      () => deferral.resolve(),
      (error) => deferral.benchmark.abort(error),
    );
  },
});

/** An engine without a mirror: it answers every command with a refusal, from its own thread. */
class IdleEngine {
  #resolve = null;
  #native = new (loadBinding().Engine)({ device: 'auto', polling: false }, () => this.#resolve());

  constructor() {
    this.#native.ref();
  }

  roundTrip() {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#native.command(0, 'readDebts', {});
    });
  }

  destroy() {
    this.#native.destroy();
  }
}

async function calls() {
  const folder = makeFolder(os.tmpdir());
  const at = (name) => path.join(folder, name);
  const choice = { log: at('log'), master: at('master'), slaves: [at('slave')], size: '64MiB', assumeIdentical: true };
  await Mirror.create(choice);
  const mirror = await Mirror.open(at('log'));
  const block = Buffer.alloc(4096, 1);
  const batch = Array.from({ length: 32 }, (_, i) => i * 4096);
  const suite = new Benchmark.Suite();
  suite.add('a call into the addon: logLength()', () => loadBinding().logLength(4096, 1024 ** 3, 4));
  suite.add('status()', () => mirror.status());
  suite.add(
    'write refused at the edge (misaligned)',
    deferred(() => mirror.write(block, { position: 1 }).catch(() => {})),
  );
  const engine = new IdleEngine();
  suite.add(
    'a round trip to the engine thread and back, no disk',
    deferred(() => engine.roundTrip()),
  );
  suite.add(
    'write 4 KiB, covered',
    deferred(() => mirror.write(block, { position: 0 })),
  );
  suite.add(
    '32 writes of 4 KiB, covered',
    deferred(() => Promise.all(batch.map((position) => mirror.write(block, { position })))),
  );
  suite.add(
    'read 4 KiB',
    deferred(() => mirror.read(block, { position: 0 })),
  );
  suite.add(
    'datasync()',
    deferred(() => mirror.datasync()),
  );
  suite.on('cycle', ({ target }) => {
    if (target.error) throw target.error;
    show(
      target.name,
      inWords(target.stats.mean * 1e9),
      `+-${target.stats.rme.toFixed(1)} %, ${target.stats.sample.length} samples`,
    );
  });
  await new Promise((resolve) => suite.on('complete', resolve).run({ async: true }));
  engine.destroy();
  await mirror.close();
}

coreSteps();
await calls();
