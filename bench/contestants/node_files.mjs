// What an application would do without us: fs.promises writing both files and a log of its own that is fdatasynced before
// the write begins. One JSON object as the others.
//
// Besides a load: images, log, direct (O_DIRECT with aligned buffers, so that the bytes reach the device as the mirror's
// do; else the page cache takes them), library (null, or the path of @ronomon/direct-io, used over fs with callbacks),
// logging: 'each' (a record before every write) or 'region' (a record before the first write of each MiB and none ever
// after: less than any mirror could do, since such a log never forgets), records shared by all writes that wait.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { fillOf, loadFromArguments, runLoad } from './load.mjs';

const require = createRequire(import.meta.url);
const load = loadFromArguments();
const RECORD = 4096;
const LOG_RECORDS = 1024;
const REGION = 1024 * 1024;

function files() {
  if (load.library) return directFiles(require(load.library));
  const direct = load.direct ? fs.constants.O_DIRECT : 0;
  const { Mirror } = require('../../dist/index.js');
  return {
    open: async (path) => {
      const file = await fs.promises.open(path, fs.constants.O_RDWR | direct);
      return {
        write: (bytes, position) => file.write(bytes, 0, bytes.length, position),
        read: (bytes, position) => file.read(bytes, 0, bytes.length, position),
        close: () => file.close(),
      };
    },
    buffer: (length) => (load.direct ? Mirror.alignedBuffer(length) : Buffer.alloc(length)),
  };
}

/** Its documentation's way: O_DIRECT by its constants, its aligned buffers, and fs with callbacks. */
function directFiles({ getAlignedBuffer, O_DIRECT }) {
  const { O_RDWR } = fs.constants;
  const done = (resolve, reject) => (error, count) => (error ? reject(error) : resolve(count));
  return {
    open: async (path) => {
      const file = fs.openSync(path, O_RDWR | O_DIRECT);
      return {
        write: (bytes, position) =>
          new Promise((resolve, reject) => fs.write(file, bytes, 0, bytes.length, position, done(resolve, reject))),
        read: (bytes, position) =>
          new Promise((resolve, reject) => fs.read(file, bytes, 0, bytes.length, position, done(resolve, reject))),
        close: async () => fs.closeSync(file),
      };
    },
    buffer: (length) => getAlignedBuffer(length, 4096),
  };
}

/** Group commit, since a fair opponent would have it: a record serves all writes that wait when it is begun. */
class Log {
  #file;
  #running = null;
  #next = null;
  #record = 0;
  #covered = new Map();
  records = 0;

  constructor(file) {
    this.#file = file;
  }

  covers(position) {
    if (load.logging === 'each') return this.#write();
    const region = Math.floor(position / REGION);
    let covered = this.#covered.get(region);
    if (covered === undefined) this.#covered.set(region, (covered = this.#write()));
    return covered;
  }

  #write() {
    if (this.#running === null) return (this.#running = this.#one());
    return (this.#next ??= this.#running.then(() => {
      this.#next = null;
      return (this.#running = this.#one());
    }));
  }

  async #one() {
    const slot = this.#record++ % LOG_RECORDS;
    this.records += 1;
    await this.#file.write(Buffer.alloc(RECORD, slot), 0, RECORD, (load.logPosition ?? 0) + slot * RECORD);
    await this.#file.datasync();
    if (this.#next === null) this.#running = null;
  }
}

const { open, buffer } = files();
const images = await Promise.all(load.images.map(open));
const logFile = await fs.promises.open(load.log, 'r+');
const log = new Log(logFile);
const result = await runLoad(load, () => {
  const bytes = fillOf(load, buffer(load.block));
  const into = buffer(load.block);
  return {
    write: async (position) => {
      await log.covers(position);
      await Promise.all(images.map((image) => image.write(bytes, position)));
    },
    read: (position) => images[0].read(into, position),
  };
});
await Promise.all([...images, logFile].map((file) => file.close()));
process.stdout.write(`${JSON.stringify({ ...result, logRecords: log.records })}\n`);
