// Figures in words. Pure.

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

function bytes(value) {
  let power = 0;
  let rest = value;
  while (Math.abs(rest) >= 1024 && power < BINARY.length - 1) {
    rest /= 1024;
    power += 1;
  }
  return `${Number.isInteger(rest) ? rest : rest.toFixed(1)} ${BINARY[power]}`;
}

const significant = (value) => (Math.abs(value) >= 100 ? Math.round(value).toString() : value.toPrecision(2));

const UNITS = {
  ratio: (value) => (value > 0 && value < 0.0995 ? value.toPrecision(2) : value.toFixed(2)),
  ms: (value) => `${significant(value)} ms`,
  us: (value) => `${significant(value)} us`,
  s: (value) => `${significant(value)} s`,
  bytes,
  'bytes/s': (value) => `${bytes(value)}/s`,
  count: (value) => Math.round(value).toLocaleString('en-US'),
};

export function inUnit(value, unit) {
  return UNITS[unit](value);
}

/**
 * Median and range, the unit once where it is the same.
 * @param {{ value: { minimum: number, median: number, maximum: number } | null, unit: string }} figure
 */
export function inWords({ value, unit }) {
  if (!value) return '-';
  const [minimum, median, maximum] = [value.minimum, value.median, value.maximum].map((one) => inUnit(one, unit));
  if (minimum === maximum) return median;
  const unitOf = (text) => text.split(' ')[1];
  const same = unitOf(minimum) === unitOf(median) && unitOf(median) === unitOf(maximum);
  const range = (same ? [minimum, maximum].map((text) => text.split(' ')[0]) : [minimum, maximum]).join(' to ');
  return `${median} (${range})`;
}
