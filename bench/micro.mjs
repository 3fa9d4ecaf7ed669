// npm run bench:micro: what single steps cost, by `benchmark`: a call into the addon and back, with and without a disk
// in between. Files in a temporary folder.
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const require = createRequire(import.meta.url);
const Benchmark = require('benchmark');
const { Mirror } = require('../dist/index.js');

const folder = mkdtempSync(path.join(os.tmpdir(), 'blockmirror-micro-'));
const at = (name) => path.join(folder, name);

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

try {
  await Mirror.create({
    log: at('log'),
    master: at('master'),
    slaves: [at('slave')],
    size: '64MiB',
    assumeIdentical: true,
  });
  const mirror = await Mirror.open(at('log'));
  const block = Buffer.alloc(4096, 1);
  const batch = Array.from({ length: 32 }, (_, i) => i * 4096);
  const suite = new Benchmark.Suite();
  suite.add('status()', () => mirror.status());
  suite.add(
    'write refused at the edge (misaligned)',
    deferred(() => mirror.write(block, { position: 1 }).catch(() => {})),
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
  suite.on('cycle', (event) => console.log(String(event.target)));
  await new Promise((resolve) => suite.on('complete', resolve).run({ async: true }));
  await mirror.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
