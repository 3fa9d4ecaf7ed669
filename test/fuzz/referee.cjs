// What every call is held to: it answers within its time, with a result or with a typed error, and is written down before
// it is made, so that the last calls are known even when the process ends in one.
'use strict';
const fs = require('node:fs');
const { inspect } = require('node:util');
const { isDetached } = require('./values.cjs');

const PATIENCE_MS = 60_000;

class Finding extends Error {}

class Referee {
  constructor(library, historyPath) {
    this.codes = new Set(Object.keys(library.ERRORS).map((name) => `ERR_BLOCKMIRROR_${name}`));
    this.history = fs.openSync(historyPath, 'a');
    this.calls = 0;
    /** The first thing that was wrong outside of any call that is awaited; ends the calls under way. */
    this.outside = null;
    const fault = new Promise((_, reject) => {
      this.end = reject;
    });
    this.fault = fault;
    fault.catch(() => undefined);
    const note = (what) => (error) => {
      this.outside ??= new Finding(`${what}: ${shown(error)}`);
      this.end(this.outside);
    };
    process.on('unhandledRejection', note('a rejection that nobody handles'));
    process.on('uncaughtException', note('an exception that nobody catches'));
  }

  /** Writes a line of the history; survives whatever comes next. */
  note(text) {
    fs.writeSync(this.history, `${text}\n`);
  }

  /**
   * Makes a call and answers how it ended: `{ value }` or `{ error }`.
   * @param reasons what it may be rejected with besides typed errors: reasons of its signal
   */
  async call(name, args, make, reasons = []) {
    const number = (this.calls += 1);
    this.note(`${number} ${name} ${args.map(short).join(', ')}`);
    const ended = await this.inTime(`call ${number}, ${name}`, make);
    this.note(`${number} ${'error' in ended ? `failed: ${shown(ended.error).split('\n')[0].slice(0, 200)}` : 'done'}`);
    if ('error' in ended && !reasons.includes(ended.error)) this.checkError(name, ended.error);
    return ended;
  }

  async inTime(name, make) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Finding(`${name} does not end`)), PATIENCE_MS);
    });
    const work = (async () => make())().then(
      (value) => ({ value }),
      (error) => ({ error }),
    );
    try {
      return await Promise.race([work, late, this.fault]);
    } finally {
      clearTimeout(timer);
    }
  }

  checkError(name, error) {
    const code = error?.code;
    if (this.codes.has(code) && code !== 'ERR_BLOCKMIRROR_INTERNAL') return;
    const ofNode = ['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_VALUE', 'ABORT_ERR'];
    if (error instanceof Error && ofNode.includes(code)) return;
    throw new Finding(`${name} failed with something that is no typed error: ${shown(error)}`);
  }

  check(condition, what) {
    if (this.outside !== null) throw this.outside;
    if (!condition) throw new Finding(what());
  }
}

function shown(error) {
  return error instanceof Error ? (error.stack ?? error.message) : inspect(error);
}

function short(value) {
  if (ArrayBuffer.isView(value))
    return `${value.constructor.name}(${isDetached(value) ? 'detached' : value.byteLength})`;
  if (Array.isArray(value) && value.some((part) => ArrayBuffer.isView(part))) return `[${value.map(short).join(', ')}]`;
  if (typeof value === 'object' && value !== null && ArrayBuffer.isView(value.buffer)) {
    return `{ buffer: ${short(value.buffer)}, … }`;
  }
  const text = inspect(value, { depth: 2, breakLength: Infinity, maxStringLength: 80, maxArrayLength: 4 });
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

module.exports = { Finding, Referee, shown };
