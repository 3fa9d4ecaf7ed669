// Values that a caller may hand over: right ones, and odd ones of every kind.
'use strict';
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const ODD_NUMBERS = [
  NaN,
  Infinity,
  -Infinity,
  -1,
  -0,
  0.5,
  1.5,
  1,
  511,
  513,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 63,
  1e308,
  Number.MIN_VALUE,
];
const ODD_BIGINTS = [0n, -1n, 1n, 512n, 2n ** 53n, 2n ** 64n, 2n ** 1000n];
const ODD_TEXTS = ['', ' ', '0', '-1', '1e99', '4KiB', '4QiB', 'NaN', '\0', 'a\nb', '\u001b[2J', 'x'.repeat(70_000)];
const NAMES = ['position', 'dsync', 'datasync', 'fsync', 'signal', 'length', '__proto__', 'constructor', 'Size', ''];

function odd(random) {
  if (random.oneIn(3)) return random.pick(ODD_NUMBERS);
  return random.pick([...ODD_BIGINTS, ...ODD_TEXTS, ...oddObjects()]);
}

function oddObjects() {
  return [
    null,
    undefined,
    true,
    false,
    {},
    [],
    [[]],
    [null],
    { length: 2 ** 53 },
    new Date(0),
    /x/,
    Symbol('odd'),
    () => 1,
    Object.create(null),
    new Map([['position', 0]]),
    Buffer.alloc(8),
    { valueOf: () => 4096 },
    { aborted: 'perhaps' },
    { aborted: false },
    AbortSignal.abort(),
    Promise.resolve(0),
  ];
}

/** An object of options of which some are odd, missing, or of a name that nobody knows. */
function spoil(random, options) {
  const names = Object.keys(options);
  const spoilt = { ...options };
  for (let times = random.between(1, 2); times > 0; times -= 1) {
    const name = random.oneIn(4) ? random.pick(NAMES) : random.pick(names);
    if (random.oneIn(8)) delete spoilt[name];
    else Object.defineProperty(spoilt, name, { value: odd(random), enumerable: true, configurable: true });
  }
  return random.oneIn(12) ? odd(random) : spoilt;
}

const VIEWS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
];

/** A view over memory of its own, of `length` bytes (a multiple of 8 unless it is a Buffer), all of them `fill`. */
function viewOf(random, length, fill, alignedBuffer) {
  const kind = random.weighted({ buffer: 3, aligned: 3, view: 3, data: 1, inner: 3, pooled: 1 });
  const made = makeView(random, kind, length, alignedBuffer);
  bytesOf(made).fill(fill);
  return made;
}

function makeView(random, kind, length, alignedBuffer) {
  if (kind === 'aligned') return alignedBuffer(length);
  if (kind === 'data') return new DataView(new ArrayBuffer(length));
  if (kind === 'pooled') return Buffer.allocUnsafe(length);
  const View = random.pick(VIEWS);
  const divides = length % View.BYTES_PER_ELEMENT === 0;
  if (kind === 'view' && divides) return new View(length / View.BYTES_PER_ELEMENT);
  if (kind === 'inner') {
    const before = random.pick([1, 8, 511, 512, 4095]);
    return Buffer.from(new ArrayBuffer(before + length + random.below(9)), before, length);
  }
  return Buffer.allocUnsafeSlow(length);
}

/** Something that is no buffer, or one that cannot be used. */
function oddBuffer(random) {
  const kind = random.weighted({ shared: 2, detached: 2, store: 1, empty: 2, odd: 4 });
  if (kind === 'shared') return new Uint8Array(new SharedArrayBuffer(4096));
  if (kind === 'store') return new ArrayBuffer(4096);
  if (kind === 'empty') return new (random.pick(VIEWS))(0);
  if (kind === 'odd') return odd(random);
  const view = new (random.pick([Uint8Array, Float64Array, DataView]))(new ArrayBuffer(4096));
  structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}

/** Of what only this file and transfers detach: an empty store. */
function isDetached(view) {
  return (
    view.buffer.byteLength === 0 && view.buffer instanceof ArrayBuffer && throws(() => new Uint8Array(view.buffer))
  );
}

function throws(work) {
  try {
    work();
    return false;
  } catch {
    return true;
  }
}

function bytesOf(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** Paths below a folder that no mirror can be made of, or only with care; some that are nowhere. */
function makeOddPaths(folder) {
  const at = (name) => path.join(folder, name);
  fs.mkdirSync(folder, { recursive: true });
  fs.mkdirSync(at('folder'), { recursive: true });
  fs.writeFileSync(at('empty'), '');
  fs.writeFileSync(at('short'), Buffer.alloc(777, 7));
  fs.writeFileSync(at('zeroes'), Buffer.alloc(3 * 1024 * 1024));
  fs.writeFileSync(at('noise'), Buffer.alloc(3 * 1024 * 1024, 'noise'));
  fs.writeFileSync(at('a\n"b\' $c'), Buffer.alloc(3 * 1024 * 1024));
  fs.writeFileSync(at('closed'), Buffer.alloc(4096), { mode: 0 });
  fs.closeSync(fs.openSync(at('hole'), 'w'));
  fs.truncateSync(at('hole'), 2 ** 40);
  fs.symlinkSync('round', at('round'));
  fs.symlinkSync('zeroes', at('link'));
  execFileSync('mkfifo', [at('fifo')]);
  const names = [
    'folder',
    'empty',
    'short',
    'zeroes',
    'noise',
    'a\n"b\' $c',
    'closed',
    'hole',
    'round',
    'link',
    'fifo',
  ];
  return [
    ...names.map(at),
    ...['absent', 'no/such/folder', 'x'.repeat(255), 'x'.repeat(256), `${'d/'.repeat(400)}x`, 'zeroes/x'].map(at),
    ...['/dev/null', '/dev/full', '/dev/zero', '/', '.', '/proc/self/status', '/proc/self/fd', `/${'y'.repeat(5000)}`],
  ];
}

module.exports = { bytesOf, isDetached, makeOddPaths, odd, oddBuffer, spoil, viewOf };
