// The demo judges the mirror; here its judgement is judged: it must see each kind of wrong, and no wrong where there is none.
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ENTRY_LENGTH, Ledger, encodeAcknowledgement } from '../../lib/cli/demo/acknowledgements';
import { checkAcknowledged, compareFiles } from '../../lib/cli/demo/comparison';
import { SECTOR, UNIT, fillUnits, holdsWrite } from '../../lib/cli/demo/pattern';
import { type Round, isRight } from '../../lib/cli/demo/rounds';
import { MIB, useTemporaryFolder, writeFileInFull } from '../support/temporary_folder';

const folder = useTemporaryFolder();
const { signal } = new AbortController();

function unitOf(run: number, position: number, sequence: number): Buffer {
  const unit = Buffer.alloc(UNIT);
  fillUnits(unit, UNIT, run, position, sequence);
  return unit;
}

function patch(path: string, bytes: Uint8Array, position: number): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, position);
  closeSync(file);
}

describe('a unit', () => {
  test('holds the write that made it, and counts for every earlier one', () => {
    expect(holdsWrite(unitOf(1, 8192, 7), 1, 8192, 7)).toBe(true);
    expect(holdsWrite(unitOf(1, 8192, 7), 1, 8192, 6)).toBe(true);
  });

  test('holds an acknowledged write when a later run has overwritten it, in flight when that run was killed', () => {
    expect(holdsWrite(unitOf(2, 8192, 3), 1, 8192, 7)).toBe(true);
  });

  test.each([
    ['an older write', unitOf(1, 8192, 6)],
    ['another place', unitOf(1, 4096, 7)],
    ['an earlier run', unitOf(0, 8192, 9)],
    ['nothing', Buffer.alloc(UNIT)],
  ])('from %s does not hold it', (_, unit) => {
    expect(holdsWrite(unit, 1, 8192, 7)).toBe(false);
  });

  test.each(Array.from({ length: UNIT / SECTOR }, (_, sector) => sector))(
    'with an older sector %d does not hold it',
    (sector) => {
      const unit = unitOf(1, 8192, 7);
      unitOf(1, 8192, 6).copy(unit, sector * SECTOR, sector * SECTOR, (sector + 1) * SECTOR);
      expect(holdsWrite(unit, 1, 8192, 7)).toBe(false);
    },
  );

  test('with any byte changed does not hold it', () => {
    for (let at = 0; at < UNIT; at += 37) {
      const unit = unitOf(1, 8192, 7);
      unit[at] = (unit[at] as number) ^ 0x40;
      expect(holdsWrite(unit, 1, 8192, 7)).toBe(false);
    }
  });

  test('of which the next write has already reached some sectors still holds it', () => {
    const unit = unitOf(1, 8192, 7);
    unitOf(1, 8192, 9).copy(unit, 0, 0, 3 * SECTOR);
    expect(holdsWrite(unit, 1, 8192, 7)).toBe(true);
  });
});

describe('the ledger', () => {
  function entries(...writes: { position: number; length: number; sequence: number }[]): Buffer {
    const bytes = Buffer.alloc(writes.length * ENTRY_LENGTH);
    writes.forEach((write, index) => encodeAcknowledgement({ run: 1, ...write }, bytes, index * ENTRY_LENGTH));
    return bytes;
  }

  test('has the last write of every unit, however the pipe cuts its entries', () => {
    const bytes = entries(
      { position: 0, length: 3 * UNIT, sequence: 1 },
      { position: UNIT, length: UNIT, sequence: 2 },
    );
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const ledger = new Ledger();
      ledger.feed(bytes.subarray(0, cut));
      ledger.feed(bytes.subarray(cut));
      expect([...ledger.units].map(([unit, { sequence }]) => [unit, sequence])).toEqual([
        [0, 1],
        [UNIT, 2],
        [2 * UNIT, 1],
      ]);
      expect(ledger.writes).toBe(2);
    }
  });

  test('does not count an entry that the kill cut off, nor glue it to the next run', () => {
    const ledger = new Ledger();
    const bytes = entries({ position: 0, length: UNIT, sequence: 1 });
    ledger.feed(bytes.subarray(0, ENTRY_LENGTH - 1));
    ledger.endOfRun();
    expect(ledger.writes).toBe(0);
    ledger.feed(entries({ position: UNIT, length: UNIT, sequence: 5 }));
    expect([...ledger.units.keys()]).toEqual([UNIT]);
  });
});

describe('the comparison', () => {
  const SIZE = 9 * MIB;

  function pair(): { one: string; other: string } {
    const one = writeFileInFull(join(folder(), 'one'), SIZE + MIB, 'random');
    const other = join(folder(), 'other');
    writeFileSync(other, readFileSync(one));
    return { one, other };
  }

  test('of equal files finds nothing', async () => {
    const { one, other } = pair();
    expect(await compareFiles(one, other, SIZE, [], signal)).toEqual({
      bytesCompared: SIZE,
      bytesDiffered: 0,
      unitsDiffered: 0,
      bytesDifferedOutside: 0,
    });
  });

  test('counts each differing byte, at the first, the last and across chunks', async () => {
    const { one, other } = pair();
    const original = readFileSync(one);
    const flipped = (position: number, length: number) =>
      patch(
        other,
        Buffer.from(original.subarray(position, position + length)).map((byte) => ~byte),
        position,
      );
    flipped(0, 1);
    flipped(SIZE - 1, 1);
    flipped(4 * MIB - 3, 6);
    expect(
      await compareFiles(one, other, SIZE, [{ position: 4 * MIB - UNIT, length: 2 * UNIT }], signal),
    ).toMatchObject({
      bytesDiffered: 8,
      unitsDiffered: 4,
      bytesDifferedOutside: 2,
    });
  });

  test('ends where the mirror ends: the label beyond it is each image’s own', async () => {
    const { one, other } = pair();
    patch(other, Buffer.from('label'), SIZE);
    expect((await compareFiles(one, other, SIZE, [], signal)).bytesDiffered).toBe(0);
  });

  test('of a file that is too short fails', async () => {
    const { one, other } = pair();
    await expect(compareFiles(one, other, SIZE + 2 * MIB, [], signal)).rejects.toThrow(/ends at byte/);
  });

  test('stops when it is told to', async () => {
    const { one, other } = pair();
    await expect(compareFiles(one, other, SIZE, [], AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
  });
});

test('the check of acknowledged writes finds the one that is lost', async () => {
  const path = writeFileInFull(join(folder(), 'image'), MIB);
  const ledger = new Ledger();
  for (const position of [0, UNIT, 10 * UNIT]) {
    ledger.units.set(position, { run: 1, sequence: 4 });
    patch(path, unitOf(1, position, 4), position);
  }
  expect(await checkAcknowledged(path, ledger, signal)).toEqual({ unitsChecked: 3, unitsLost: 0 });
  patch(path, unitOf(1, UNIT, 3), UNIT);
  expect(await checkAcknowledged(path, ledger, signal)).toEqual({ unitsChecked: 3, unitsLost: 1 });
});

describe('a round', () => {
  const right = {
    broken: { bytesDifferedOutside: 0 },
    repaired: { bytesDiffered: 0 },
    acknowledged: { unitsLost: 0 },
  };

  test('is right with equal images, nothing lost, and no difference outside of what the log named', () => {
    expect(isRight(right as Round)).toBe(true);
  });

  test.each([
    { broken: { bytesDifferedOutside: 1 } },
    { repaired: { bytesDiffered: 1 } },
    { acknowledged: { unitsLost: 1 } },
  ])('is wrong with %j', (wrong) => {
    expect(isRight({ ...right, ...wrong } as Round)).toBe(false);
  });
});
