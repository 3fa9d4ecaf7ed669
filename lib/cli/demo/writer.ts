/**
 * The demo's load: a process of its own that opens the mirror and writes at random places until it is killed.
 *
 * Started by load.ts with the options as JSON in the first argument and the pipe of acknowledgements as descriptor 3.
 * Each of its writers has a stripe of the mirror to itself, so that the last acknowledged write of a place is known
 * without doubt; within the stripe most writes go to a hot tenth, as those of a database do.
 */
import { writeSync } from 'node:fs';
import { Mirror } from '../../index';
import { ENTRY_LENGTH, encodeAcknowledgement, type Acknowledgement } from './acknowledgements';
import { UNIT, WRITERS, fillUnits } from './pattern';

export interface WriterOptions {
  log: string;
  run: number;
  device: 'auto' | 'io_uring' | 'threads';
  /** Bytes; the mirror's default when absent. */
  recoveryBudget?: number;
}

const PIPE = 3;
const LONGEST_WRITE_UNITS = 64;
const HOT_SHARE_OF_PLACES = 0.1;
const HOT_SHARE_OF_WRITES = 0.9;

class AcknowledgementPipe {
  private waiting: Acknowledgement[] = [];
  private scheduled = false;

  add(entry: Acknowledgement): void {
    this.waiting.push(entry);
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => this.drain());
  }

  private drain(): void {
    const entries = this.waiting;
    this.waiting = [];
    this.scheduled = false;
    const bytes = Buffer.alloc(entries.length * ENTRY_LENGTH);
    entries.forEach((entry, index) => encodeAcknowledgement(entry, bytes, index * ENTRY_LENGTH));
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(PIPE, bytes, done);
    } catch {
      // Nobody listens any more: the demo is gone, and so is our purpose.
      process.exit(1);
    }
  }
}

async function main(options: WriterOptions): Promise<void> {
  const { log, device, recoveryBudget } = options;
  const mirror = await Mirror.open(log, { device, ...(recoveryBudget === undefined ? {} : { recoveryBudget }) });
  const stripe = Math.floor(mirror.status().size / WRITERS / UNIT);
  const pipe = new AcknowledgementPipe();
  let sequence = 0;

  const keepWriting = async (writer: number): Promise<never> => {
    const buffer = Buffer.alloc(LONGEST_WRITE_UNITS * UNIT);
    for (;;) {
      const units = Math.min(1 + Math.floor(Math.random() ** 4 * LONGEST_WRITE_UNITS), stripe);
      const reach = Math.random() < HOT_SHARE_OF_WRITES ? Math.ceil(stripe * HOT_SHARE_OF_PLACES) : stripe;
      const first = Math.floor(Math.random() * Math.max(1, Math.min(reach, stripe - units)));
      const position = (writer * stripe + first) * UNIT;
      const length = units * UNIT;
      const write = { run: options.run, position, length, sequence: ++sequence };
      fillUnits(buffer, length, write.run, position, write.sequence);
      await mirror.write(buffer, { position, length });
      pipe.add(write);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, writer) => keepWriting(writer)));
}

main(JSON.parse(process.argv[2] ?? '{}') as WriterOptions).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(1);
});
