// What a mirror may hold, told by the calls that were made on it: the oracle of content.
//
// Every write fills its range with one byte of its own. A byte that is read must come from a write that covers it, that
// was submitted before the read ended, and that no acknowledged later write had replaced before the read was submitted.
// Later means submitted after the earlier one had settled; writes that were under way together may land in any order.
'use strict';

const ZERO = { fill: 0, start: 0, end: Infinity, submitted: -1, settled: -1, outcome: 'acknowledged' };
/** 0 is what a new mirror holds and what a discard leaves; from here on, what callers scribble into their buffers. */
const FILLS = 200;
const SCRIBBLE = 0xee;

class ContentModel {
  constructor(size) {
    this.size = size;
    this.clock = 0;
    this.writes = [ZERO];
    this.nextFill = 1;
  }

  takeFill() {
    this.nextFill = (this.nextFill % FILLS) + 1;
    return this.nextFill;
  }

  /** A write or a discard (fill 0) that is being submitted. */
  begin(start, length, fill) {
    const write = { fill, start, end: start + length, submitted: this.tick(), settled: Infinity, outcome: 'pending' };
    this.writes.push(write);
    return write;
  }

  /** @param outcome 'acknowledged', 'unknown' (it failed: any part may be there), 'none' (nothing was written) */
  settle(write, outcome) {
    if (write.settled !== Infinity) return;
    write.settled = this.tick();
    write.outcome = outcome;
    if (outcome === 'none') this.writes.splice(this.writes.indexOf(write), 1);
  }

  /** What is pending will not be answered: the process let go of the mirror. */
  crash() {
    for (const write of [...this.writes]) if (write.outcome === 'pending') this.settle(write, 'unknown');
  }

  tick() {
    this.clock += 1;
    return this.clock;
  }

  /** Text of what is wrong, or null. `submitted` is the tick at which the read was submitted. */
  judge(bytes, start, submitted) {
    const end = start + bytes.length;
    const covering = this.writes.filter((write) => write.start < end && write.end > start);
    const cuts = new Set([start, end]);
    for (const write of covering) {
      if (write.start > start) cuts.add(write.start);
      if (write.end < end) cuts.add(write.end);
    }
    const sorted = [...cuts].sort((one, other) => one - other);
    for (let index = 0; index + 1 < sorted.length; index += 1) {
      const [from, to] = [sorted[index], sorted[index + 1]];
      const allowed = allowedFills(covering, from, submitted);
      for (let at = from; at < to; at += 1) {
        const found = bytes[at - start];
        if (!allowed.has(found)) return `byte ${at} is ${found}, and only ${[...allowed]} can be there`;
      }
    }
    return null;
  }
}

function allowedFills(writes, at, submitted) {
  const here = writes.filter((write) => write.start <= at && write.end > at);
  let replaced = -Infinity;
  for (const write of here) {
    if (write.outcome === 'acknowledged' && write.settled <= submitted) replaced = Math.max(replaced, write.submitted);
  }
  return new Set(here.filter((write) => write.settled >= replaced).map((write) => write.fill));
}

module.exports = { ContentModel, SCRIBBLE };
