// The positions that a load visits: the same distributions as in bench/native/load.cc.

// Exponent of the Zipf distribution, the usual one of YCSB.
const ZIPF_EXPONENT = 0.99;
const ZIPF_DRAWS = 1 << 20;

/** A multiplicative generator: cheap, uniform enough for positions, and the same in every run. 32 bits, never 0. */
export function generator(seed) {
  let state = Math.imul(seed, 2654435761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) - 0;
  };
}

function zeta(n, s) {
  const exact = Math.min(n, 1_000_000);
  let sum = 0;
  for (let i = 1; i <= exact; ++i) sum += i ** -s;
  return n > exact ? sum + (n ** (1 - s) - exact ** (1 - s)) / (1 - s) : sum;
}

/** Drawn before the load begins: two powers for each draw would be measured along. */
function zipfDraws(blocks, next) {
  const zetaN = zeta(blocks, ZIPF_EXPONENT);
  const alpha = 1 / (1 - ZIPF_EXPONENT);
  const eta = (1 - (2 / blocks) ** (1 - ZIPF_EXPONENT)) / (1 - zeta(2, ZIPF_EXPONENT) / zetaN);
  const rankOf = (u) => {
    if (u * zetaN < 1) return 0;
    if (u * zetaN < 1 + 0.5 ** ZIPF_EXPONENT) return 1;
    return Math.min(blocks - 1, Math.floor(blocks * (eta * u - eta + 1) ** alpha));
  };
  const draws = new Float64Array(ZIPF_DRAWS);
  // Ranks are scattered over the span by a multiplicative hash.
  for (let i = 0; i < ZIPF_DRAWS; ++i) draws[i] = (rankOf(next() / 2 ** 32) * 2654435761) % blocks;
  return draws;
}

/**
 * @param {{ pattern: 'random' | 'sequential' | 'zipf', block: number, span: number, seed?: number }} load
 * @returns {() => number} next position in bytes
 */
export function positions({ pattern, block, span, seed = 42 }) {
  const blocks = Math.floor(span / block);
  const next = generator(seed);
  if (pattern === 'random') return () => (next() % blocks) * block;
  let cursor = 0;
  if (pattern === 'sequential') return () => (cursor++ % blocks) * block;
  const draws = zipfDraws(blocks, next);
  return () => draws[cursor++ % ZIPF_DRAWS] * block;
}
