// Random decisions that are a function of a seed.
'use strict';

const TWO_TO_32 = 2 ** 32;

class Random {
  /** @param seed a whole number */
  constructor(seed) {
    this.state = (seed * 0x9e3779b1 + 0x85ebca6b) >>> 0;
  }

  /** From 0 up to, not including, 2^32 (mulberry32). */
  bits() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** A whole number from 0 up to, not including, `limit`. */
  below(limit) {
    return Math.floor((this.bits() / TWO_TO_32) * limit);
  }

  between(first, last) {
    return first + this.below(last - first + 1);
  }

  /** True once in `times`. */
  oneIn(times) {
    return this.below(times) === 0;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  /** One of the keys of an object of weights. */
  weighted(weights) {
    const entries = Object.entries(weights);
    let left = this.below(entries.reduce((sum, [, weight]) => sum + weight, 0));
    for (const [name, weight] of entries) {
      if (left < weight) return name;
      left -= weight;
    }
    throw new Error('weights are positive');
  }
}

module.exports = { Random };
