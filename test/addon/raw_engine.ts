/**
 * The raw binding with promises, as thin as it can be: what lib/ does with tickets, and none of its checks.
 * Plain outcomes (a completion's status), never errors, so that a test says what it expects.
 */
import path from 'node:path';
import {
  COMPLETION_STRIDE,
  type NativeBinding,
  type NativeCommands,
  type NativeEngine,
  type NativeOutcome,
  type NativeSuperblock,
} from '../../lib/base/binding';
import { loadBinding } from '../../lib/base/load';
import { MIB, writeFileInFull } from '../support/temporary_folder';

export const binding: NativeBinding = loadBinding();

export type Device = 'io_uring' | 'threads';
export const ringRecords = 64;

export interface Outcome extends NativeOutcome {
  /** Name of the code. */
  name: string;
  ticket: number;
  /** Of a command that succeeded. */
  result?: unknown;
}

const engines: NativeEngine[] = [];

/** To be called at the top of a test file: no test leaves an engine behind, and none that failed spoils the next. */
export function expectNoEngineLeft(): void {
  afterEach(() => {
    const left = binding.openEngines();
    for (const engine of engines.splice(0)) engine.destroy();
    expect(left).toBe(0);
  });
}

export class RawEngine {
  readonly native: NativeEngine;
  /** Sizes of the batches in which completions came. */
  readonly batches: number[] = [];
  private readonly waiting = new Map<number, { resolve: (outcome: Outcome) => void; keepsTicket: boolean }>();
  private nextTicket = 0;
  private readonly free: number[] = [];

  constructor(device: 'auto' | Device) {
    this.native = new binding.Engine({ device, polling: false }, (count) => this.complete(count));
    engines.push(this.native);
  }

  /**
   * Starts something in a free ticket; resolves with its outcome, or with the code that was answered at once.
   * @param keepsTicket a read: when it succeeded the ticket is the caller's, to be finished and given to release
   */
  start(submit: (ticket: number) => number, keepsTicket = false): Promise<Outcome> {
    const ticket = this.free.pop() ?? this.nextTicket++;
    const code = submit(ticket);
    if (code !== 0) {
      this.free.push(ticket);
      return Promise.resolve(outcomeOf(ticket, { code, systemError: 0, image: -1, position: 0 }));
    }
    return new Promise((resolve) => {
      if (this.waiting.size === 0) this.native.ref();
      this.waiting.set(ticket, { resolve, keepsTicket });
    });
  }

  release(ticket: number): void {
    this.free.push(ticket);
  }

  get pending(): number {
    return this.waiting.size;
  }

  async command<Name extends keyof NativeCommands>(
    name: Name,
    args: NativeCommands[Name]['arguments'],
  ): Promise<NativeCommands[Name]['result']> {
    const outcome = await this.start((ticket) => this.native.command(ticket, name, args));
    if (outcome.code !== 0) throw Object.assign(new Error(`${name}: ${outcome.name}`), { outcome });
    return outcome.result as NativeCommands[Name]['result'];
  }

  /** The outcome of a command that may fail. */
  attempt<Name extends keyof NativeCommands>(name: Name, args: NativeCommands[Name]['arguments']): Promise<Outcome> {
    return this.start((ticket) => this.native.command(ticket, name, args));
  }

  write(bytes: NodeJS.ArrayBufferView, position: number, dsync = false): Promise<Outcome> {
    return this.start((ticket) => this.native.submitWrite(ticket, bytes, 0, bytes.byteLength, position, dsync));
  }

  /** The ticket is the reader's until it calls finish. */
  async read(
    length: number,
    position: number,
    buffers: readonly NodeJS.ArrayBufferView[],
    offset = 0,
  ): Promise<boolean> {
    const outcome = await this.start((ticket) => this.native.submitRead(ticket, length, position), true);
    if (outcome.code !== 0) throw new Error(`read: ${outcome.name}`);
    const finished = this.native.finishRead(outcome.ticket, buffers, offset, length);
    this.release(outcome.ticket);
    return finished;
  }

  async readBytes(length: number, position: number): Promise<Buffer> {
    const into = Buffer.alloc(length);
    if (!(await this.read(length, position, [into]))) throw new Error('the read could not be finished');
    return into;
  }

  async close(): Promise<void> {
    await this.command('close', {});
    this.native.destroy();
  }

  private complete(count: number): void {
    this.batches.push(count);
    const settled: { resolve: (outcome: Outcome) => void; outcome: Outcome }[] = [];
    for (let at = 0; at < count * COMPLETION_STRIDE; at += COMPLETION_STRIDE) {
      const [ticket, code, systemError, image, position] = this.native.completions.subarray(at, at + 5) as unknown as [
        number,
        number,
        number,
        number,
        number,
      ];
      const outcome = outcomeOf(ticket, { code, systemError, image, position });
      if (code === 0) {
        const result = this.native.result(ticket);
        if (result !== null) outcome.result = result;
      }
      const entry = this.waiting.get(ticket);
      if (entry === undefined) throw new Error(`a completion of ticket ${ticket}, which waits for none`);
      this.waiting.delete(ticket);
      if (code !== 0 || !entry.keepsTicket) this.release(ticket);
      settled.push({ resolve: entry.resolve, outcome });
    }
    for (const { resolve, outcome } of settled) resolve(outcome);
    if (this.waiting.size === 0) this.native.unref();
  }
}

function outcomeOf(ticket: number, status: NativeOutcome): Outcome {
  return { ...status, ticket, name: binding.codes[status.code] ?? `unknown ${status.code}` };
}

export interface Files {
  log: string;
  /** The master first. */
  images: string[];
}

/** A log and images of `size` usable bytes, written in full. */
export function makeFiles(folder: string, size = 16 * MIB, slaves = 1, folderOfImages = folder): Files {
  const log = writeFileInFull(path.join(folder, 'log'), binding.logLength(ringRecords, size, slaves + 1));
  const images = Array.from({ length: slaves + 1 }, (_, index) =>
    writeFileInFull(path.join(folderOfImages, `image${index}`), size + binding.limits.labelAreaLength),
  );
  return { log, images };
}

export async function openFiles(engine: RawEngine, files: Files): Promise<void> {
  await engine.command('openLog', { path: files.log, readOnly: false, exclusive: true });
  await engine.command('openImages', { paths: files.images, readOnly: false, exclusive: true });
}

export async function format(engine: RawEngine, files: Files): Promise<NativeSuperblock> {
  await engine.command('planFormat', {
    size: 0,
    ringRecords,
    maxImages: files.images.length,
    minInSync: 1,
    assumeIdentical: true,
    images: files.images.map((file, index) => ({ name: `i${index}`, path: file, pathKind: 'absolute' })),
  });
  const superblock = await engine.command('format', {});
  await engine.command('endRecovery', {
    liveIntents: 0,
    bytesCovered: 0,
    bytesCopied: 0,
    durationMs: 0,
    readBack: false,
    fullCompare: false,
  });
  return superblock;
}

/** A mirror that runs, over files of its own. */
export async function runningMirror(device: Device, folder: string, size?: number, slaves?: number) {
  const files = makeFiles(folder, size, slaves);
  const engine = new RawEngine(device);
  await openFiles(engine, files);
  const superblock = await format(engine, files);
  return { engine, files, superblock };
}

export const activation = {
  background: false,
  recoveryBudget: binding.limits.defaultRecoveryBudget,
  host: 'test',
  bootId: '00000000-0000-4000-8000-000000000001',
  processStarted: 4711,
  pidNamespace: 4026531836,
};
