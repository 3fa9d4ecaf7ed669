/**
 * How the load tells its parent which writes the mirror has acknowledged: fixed entries over a pipe.
 *
 * An entry is written to the pipe only after the acknowledgement, and the pipe outlives the writer; so whatever the
 * parent reads had been acknowledged before the kill, whenever that came.
 */
import { UNIT } from './pattern';

/** Bytes: position 8, sequence 8, length 4, run 4. */
export const ENTRY_LENGTH = 24;

export interface Acknowledgement {
  run: number;
  position: number;
  length: number;
  sequence: number;
}

export function encodeAcknowledgement(entry: Acknowledgement, into: Buffer, offset: number): void {
  into.writeBigUInt64LE(BigInt(entry.position), offset);
  into.writeBigUInt64LE(BigInt(entry.sequence), offset + 8);
  into.writeUInt32LE(entry.length, offset + 16);
  into.writeUInt32LE(entry.run, offset + 20);
}

function decodeAcknowledgement(from: Buffer, offset: number): Acknowledgement {
  return {
    position: Number(from.readBigUInt64LE(offset)),
    sequence: Number(from.readBigUInt64LE(offset + 8)),
    length: from.readUInt32LE(offset + 16),
    run: from.readUInt32LE(offset + 20),
  };
}

export interface LastWrite {
  run: number;
  sequence: number;
}

/** The parent's book: the last acknowledged write of every unit. Lives outside the process that is killed. */
export class Ledger {
  readonly units = new Map<number, LastWrite>();
  writes = 0;
  bytes = 0;
  private rest = Buffer.alloc(0);

  /** Takes what the pipe yields, in chunks of any length; a last entry that was cut off by the kill does not count. */
  feed(chunk: Buffer): void {
    const all = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    const whole = all.length - (all.length % ENTRY_LENGTH);
    for (let offset = 0; offset < whole; offset += ENTRY_LENGTH) this.enter(decodeAcknowledgement(all, offset));
    this.rest = Buffer.from(all.subarray(whole));
  }

  /** The writer is gone: a cut-off entry belongs to no later one. */
  endOfRun(): void {
    this.rest = Buffer.alloc(0);
  }

  private enter({ run, position, length, sequence }: Acknowledgement): void {
    this.writes += 1;
    this.bytes += length;
    for (let unit = position; unit < position + length; unit += UNIT) this.units.set(unit, { run, sequence });
  }
}
