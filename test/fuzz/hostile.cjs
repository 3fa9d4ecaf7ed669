// Requests whose objects are not what they look like: classes, own properties, getters and Proxies that throw, detach,
// shrink or call back, lists that change while they are read, look-alike signals, polluted prototypes. Each is refused or
// done like any other; what holds afterwards is held by the life itself: slots come back, the images are identical, and
// what they hold is what was written.
'use strict';
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');
const { SCRIBBLE } = require('./model.cjs');

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

/** What hostile code throws. */
const THROWN = Object.assign(new Error('thrown by an object of the caller'), { code: 'HOSTILE' });
const POLLUTION = {
  names: ['position', 'offset', 'length', 'dsync', 'unaligned', 'transfer', 'signal', 'buffer', 'once', 'cause'],
  odd: ['then', 'get', 'set', 'value', 'writable', 'constructor', 'code', 'bytesWritten', '0', '1', '3'],
};

class HostileRequest {
  /** @param requests of the mirror; as ./requests.cjs has them */
  constructor(requests) {
    this.requests = requests;
    this.random = requests.random;
    this.nested = [];
    /** Stores that a constructor of the caller's was shown. */
    this.shown = [];
  }

  async run() {
    const { random, requests } = this;
    const call = random.weighted({ write: 4, read: 2, writev: 3, readv: 2, discard: 1 });
    const { position, length } = requests.range(true);
    const fill = requests.model.takeFill();
    const views = this.views(call, length);
    const args = this.argumentsOf(call, views, position, length, fill);
    const write = this.begin(call, position, length, fill);
    const submitted = requests.model.tick();
    const told = { includes: (error) => error === THROWN || error?.name === 'AbortError' };
    const working = requests.referee.call(`hostile ${call}`, [position, length], () => this.polluted(call, args), told);
    this.scribble(views, call);
    const ended = await working;
    clearInterval(this.scribbling);
    if (write !== null) requests.model.settle(write, this.outcomeOf(ended));
    if ('value' in ended && call.startsWith('read') && this.intact) this.judgeRead(views, position, submitted);
    await Promise.all(this.nested);
  }

  begin(call, position, length, fill) {
    if (call.startsWith('read') || length === 0 || this.requests.within(position, length) === null) return null;
    return this.requests.model.begin(position, length, call === 'discard' ? 0 : fill);
  }

  /** Whatever refused it did so before anything was written. */
  outcomeOf(ended) {
    if ('value' in ended) return 'acknowledged';
    return ended.error === THROWN || this.requests.isRefused(ended.error) ? 'none' : 'unknown';
  }

  judgeRead(views, position, submitted) {
    const { requests } = this;
    requests.judgeContent(Buffer.concat(views.map(realBytes)), position, submitted, 'hostile read');
  }

  // --- buffers

  /** Together of that length. Bytes that a write must not find there: its options put the right ones in. */
  views(call, length) {
    if (call === 'discard') return [];
    const { random } = this;
    const parts = call.endsWith('v') ? random.between(1, 4) : 1;
    const cuts = Array.from({ length: parts - 1 }, () => random.below(length + 1)).sort((one, other) => one - other);
    const ends = [...cuts, length];
    return ends.map((end, index) => this.view(end - (index === 0 ? 0 : ends[index - 1])));
  }

  view(length) {
    const { random, shown } = this;
    class Evil extends Uint8Array {
      constructor(store, offset, count) {
        super(store, offset, count);
        shown.push(store);
      }
      static get [Symbol.species]() {
        throw THROWN;
      }
      get byteLength() {
        return 1 << 30;
      }
    }
    const kind = random.weighted({ evil: 3, aligned: 3, resizable: 3, lying: 2, chained: 1 });
    if (kind === 'resizable') {
      const store = new ArrayBuffer(length, { maxByteLength: length });
      return random.pick([
        () => new Uint8Array(store, 0, length),
        () => new DataView(store),
        () => Buffer.from(store, 0, length),
      ])();
    }
    const memory = random.oneIn(2) ? this.requests.alignedBuffer(length) : Buffer.allocUnsafeSlow(length);
    if (kind === 'evil') {
      const view = new Evil(memory.buffer, memory.byteOffset, length);
      shown.length = 0;
      return view;
    }
    if (kind === 'lying') {
      const lie = { byteLength: 1 << 30, length: 7, byteOffset: 4096, buffer: new ArrayBuffer(16), constructor: Evil };
      for (const name of Object.keys(lie))
        if (random.oneIn(2)) Object.defineProperty(memory, name, { value: lie[name] });
    }
    if (kind === 'chained') Object.setPrototypeOf(memory, new Proxy(Buffer.prototype, {}));
    return memory;
  }

  /** What the caller still reaches is changed over and over while the request runs (I7). */
  scribble(views, call) {
    if (!call.startsWith('write')) return;
    const scribble = () => {
      for (const store of this.shown) if (store.byteLength > 0) new Uint8Array(store).fill(SCRIBBLE);
      for (const view of views) if (!isGone(view)) realBytes(view).fill(SCRIBBLE);
    };
    scribble();
    this.scribbling = setInterval(scribble, 0);
  }

  // --- options, lists and signals

  argumentsOf(call, views, position, length, fill) {
    const { random } = this;
    const prepare = () => {
      if (call.startsWith('write')) for (const view of views) if (!isGone(view)) realBytes(view).fill(fill);
    };
    this.intact = true;
    const harm = this.harm(views, prepare);
    const options = { dsync: random.oneIn(3) };
    if (!call.startsWith('write')) delete options.dsync;
    if (call === 'write' || call === 'read') Object.assign(options, { position, length });
    if (call === 'write' && random.oneIn(2)) options.transfer = true;
    if (random.oneIn(3)) options.signal = this.signal();
    const given = this.wrap(options, prepare, harm);
    if (call === 'discard') return [position, length, given];
    if (!call.endsWith('v')) return [views[0], given];
    return [this.list(views, harm), position, given];
  }

  /** What happens while options and lists are read. */
  harm(views, prepare) {
    const { random, requests } = this;
    const some = views[random.below(Math.max(1, views.length))];
    const kind = random.weighted({ none: 5, throws: 2, detaches: 3, shrinks: 2, calls: 2 });
    this.intact = kind === 'none' || kind === 'calls';
    return () => {
      prepare();
      if (kind === 'throws') throw THROWN;
      if (kind === 'detaches' && some !== undefined) detach(some, random.oneIn(8));
      if (kind === 'shrinks' && some !== undefined) realStore(some).resizable && realStore(some).resize(0);
      if (kind === 'calls') {
        const { mirror } = requests;
        this.nested.push(mirror.read(Buffer.alloc(requests.blockSize), { position: 0 }).catch(() => undefined));
        mirror.status();
      }
    };
  }

  wrap(options, prepare, harm) {
    const { random } = this;
    const names = Object.keys(options);
    const kind = random.weighted({ getter: 4, proxy: 2, plain: 2 });
    if (kind === 'plain' || names.length === 0) {
      prepare();
      return options;
    }
    if (kind === 'proxy') {
      return new Proxy(options, {
        get(target, name) {
          harm();
          return target[name];
        },
      });
    }
    const name = random.pick(names);
    const value = options[name];
    const get = () => {
      harm();
      return value;
    };
    return Object.defineProperty(options, name, { get, enumerable: true, configurable: true });
  }

  list(views, harm) {
    const { random } = this;
    const list = [...views];
    const never = () => {
      throw new Error('a method of the caller’s array was called');
    };
    for (const name of ['filter', 'map', 'entries', 'reduce', 'slice', Symbol.iterator]) {
      if (random.oneIn(2)) Object.defineProperty(list, name, { value: never });
    }
    if (random.oneIn(3)) {
      const last = list.length - 1;
      const view = list[last];
      const get = () => {
        harm();
        return view;
      };
      Object.defineProperty(list, last, { get });
    }
    return random.oneIn(4) ? new Proxy(list, {}) : list;
  }

  signal() {
    const { random } = this;
    const { signal } = new AbortController();
    const throwing = (name) =>
      Object.defineProperty(signal, name, {
        get() {
          throw THROWN;
        },
      });
    return random.pick([
      () => ({
        aborted: false,
        addEventListener() {},
        removeEventListener: () => throwing('x').x,
        throwIfAborted() {},
      }),
      () => new Proxy(signal, {}),
      () => Object.create(AbortSignal.prototype),
      () => throwing('constructor'),
      () => throwing('aborted'),
      () => throwing('removeEventListener'),
      () => Object.setPrototypeOf(signal, null),
      () => signal,
      () => {
        for (const symbol of Object.getOwnPropertySymbols(signal)) if (random.oneIn(3)) delete signal[symbol];
        return signal;
      },
    ])();
  }

  // --- prototypes

  /** Makes the call, now and then while Object.prototype has one property more. */
  polluted(call, args) {
    const { random, requests } = this;
    const make = () => requests.mirror[call](...args);
    if (!random.oneIn(3)) return make();
    const name = random.pick(random.oneIn(2) ? POLLUTION.names : POLLUTION.odd);
    const prototype = random.oneIn(4) ? Array.prototype : Object.prototype;
    if (Object.hasOwn(prototype, name)) return make();
    const value = random.pick([true, 1, 'x', undefined, () => undefined]);
    const accessor = { get: () => undefined, set: () => undefined, configurable: true };
    const data = { __proto__: null, value, writable: true, configurable: true };
    // A function as `then` would make the result of the request its own promise.
    Object.defineProperty(prototype, name, random.oneIn(2) || name === 'then' ? accessor : data);
    try {
      return make();
    } finally {
      delete prototype[name];
    }
  }
}

const typedArray = Object.getPrototypeOf(Uint8Array.prototype);
const read = (view, name) => {
  const prototype = ArrayBuffer.isView(view) && isDataView(view) ? DataView.prototype : typedArray;
  return Object.getOwnPropertyDescriptor(prototype, name).get.call(view);
};
const isDataView = (view) =>
  Object.getOwnPropertyDescriptor(typedArray, Symbol.toStringTag).get.call(view) === undefined;
const realStore = (view) => read(view, 'buffer');

function isGone(view) {
  try {
    return read(view, 'byteLength') === 0;
  } catch {
    return true;
  }
}

function realBytes(view) {
  return new Uint8Array(realStore(view), read(view, 'byteOffset'), read(view, 'byteLength'));
}

function detach(view, andCollect) {
  if (isGone(view)) return;
  try {
    structuredClone(realStore(view), { transfer: [realStore(view)] });
  } catch {
    // Memory of alignedBuffer cannot be transferred to another owner.
  }
  if (andCollect) collect();
}

module.exports = { HostileRequest };
