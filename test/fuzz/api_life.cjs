// A process that makes mirrors and calls everything the library has, right and wrong, as a seed says, and holds each call
// to what the documentation promises.
//
//   node api_life.cjs '{"library", "seed", "folder"}'
//
// Ends with exit code 0; with 1 and what was wrong on stderr; or in whatever an abort is. `folder`/history has the calls.
'use strict';
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { ContentModel } = require('./model.cjs');
const { Random } = require('./random.cjs');
const { Referee, shown } = require('./referee.cjs');
const { Requests, reasonsOf } = require('./requests.cjs');
const { makeOddPaths, odd, spoil } = require('./values.cjs');

const MIB = 1024 * 1024;
const { library: libraryPath, seed, folder } = JSON.parse(process.argv[2]);
const library = require(libraryPath);
const { Mirror } = library;
const random = new Random(seed);
const referee = new Referee(library, path.join(folder, 'history'));
const oddPaths = makeOddPaths(path.join(folder, 'odd'));
let scratch = 0;

const device = () => random.pick(['auto', 'io_uring', 'threads']);

/** A mirror over files, with a model of what it holds. */
async function makeMirror(name) {
  const home = path.join(folder, name);
  fs.mkdirSync(home);
  const size = random.pick([1, 1, 2, 3]) * MIB;
  const slaves = Array.from({ length: random.pick([1, 1, 2]) }, (_, index) => path.join(home, `slave${index}`));
  const options = { log: path.join(home, 'log'), master: path.join(home, 'master'), slaves, size, ringRecords: 64 };
  if (random.oneIn(2)) options.ringRecords = random.pick([64, 100, 512]);
  const { error } = await referee.call('create', [options], () => Mirror.create({ ...options, device: device() }));
  if (error) throw error;
  return { home, paths: options, model: new ContentModel(size) };
}

// --- calls that must harm nothing

/** One odd call of what opens, looks or makes. It may end in any typed error, or do what it does. */
async function oddCall(made, inUse) {
  const paths = [...oddPaths, made.paths.log, made.paths.master, ...made.paths.slaves];
  const where = random.oneIn(3) ? odd(random) : random.pick(paths);
  const kinds = { create: 4, overwrite: inUse ? 2 : 0, open: 3, look: 4, work: 3, small: 3 };
  const kind = random.weighted(kinds);
  if (kind === 'create') return oddCreate();
  if (kind === 'overwrite') return refusedCreate(made);
  if (kind === 'open') return oddOpen(where);
  if (kind === 'small') return smallCall();
  if (kind === 'work') {
    const name = random.pick(['recover', 'verify']);
    const options = spoil(random, { device: 'auto', takeOver: false, images: {}, dryRun: true });
    return referee.call(name, [where, options], () => library[name](where, options), anyReason(options));
  }
  const name = random.pick(['inspect', 'identify', 'findUses', 'findSignatures', 'deviceFacts']);
  const images = random.oneIn(2) ? { slave1: random.pick(paths) } : odd(random);
  const args = name === 'inspect' && random.oneIn(2) ? [where, { images }] : [where];
  return referee.call(name, args, () => library[name](...args));
}

/** Over odd paths and files of its own, with odd options. What it may make lies in a folder of its own. */
async function oddCreate() {
  const home = path.join(folder, `scratch${(scratch += 1)}`);
  fs.mkdirSync(home);
  const place = (name) => (random.oneIn(4) ? random.pick(oddPaths) : path.join(home, name));
  const image = (name) =>
    random.oneIn(3) ? { path: place(name), name: random.pick([name, 'log', '-x', '']) } : place(name);
  const options = {
    log: place('log'),
    master: image('master'),
    slaves: Array.from({ length: random.pick([0, 1, 1, 2, 17]) }, (_, index) => image(`slave${index}`)),
    size: random.pick([MIB, '1MiB', 2 ** 50, '8EiB', 1, 0, 4096]),
    ringRecords: random.pick([64, 0, 1, 63, 4096, 1_048_576, 1_048_577, 2 ** 32]),
    overwriteSignature: random.oneIn(2),
    keepData: random.oneIn(4),
    assumeIdentical: random.oneIn(4),
  };
  // A million records would be gigabytes that this machine need not have.
  if (options.ringRecords === 1_048_576) options.size = 1;
  const spoilt = random.oneIn(2) ? spoil(random, options) : options;
  await referee.call('create', [spoilt], () => Mirror.create(spoilt), anyReason(spoilt));
  fs.rmSync(home, { recursive: true, force: true });
}

/** Over a mirror that is in use: refused, whatever may go. */
async function refusedCreate(made) {
  const { log, master, slaves, size } = made.paths;
  const consent = { overwriteSignature: true, keepData: random.oneIn(2) };
  const other = path.join(made.home, 'other');
  const options = random.pick([
    { log, master, slaves, size, ...consent },
    { log: `${other}-log`, master: `${other}-master`, slaves: [master], size, ...consent },
    { log, master: `${other}-master`, slaves: [`${other}-slave`], size, ...consent },
  ]);
  const { error } = await referee.call('create over a mirror in use', [options], () => Mirror.create(options));
  referee.check(error !== undefined, () => 'a create formatted over a mirror that is in use');
  for (const left of ['log', 'master', 'slave']) fs.rmSync(`${other}-${left}`, { force: true });
}

async function oddOpen(where) {
  const options = spoil(random, {
    recovery: 'auto',
    recoveryBudget: '1MiB',
    polling: 'never',
    device: 'auto',
    images: {},
  });
  const { value } = await referee.call('open', [where, options], () => Mirror.open(where, options), anyReason(options));
  if (value !== undefined) await referee.call('close', [], () => value.close());
}

async function smallCall() {
  const name = random.pick(['alignedBuffer', 'parseSize', 'formatSize', 'probeIoUring', 'openEngines']);
  const given = odd(random);
  // Memory that is asked for is given where there is any: not a test of this machine.
  if (name === 'alignedBuffer' && typeof given === 'number' && given > MIB && given < 2 ** 40) return;
  const call = name === 'alignedBuffer' ? Mirror.alignedBuffer : library[name];
  await referee.call(name, [given], () => call(given));
}

function anyReason(options) {
  const signal = typeof options === 'object' ? options?.signal : undefined;
  return reasonsOf(signal instanceof AbortSignal ? signal : undefined);
}

// --- lives

/** Opens, makes requests in batches, and ends in one of the ways in which a process lets go of a mirror. */
async function live(made) {
  const manual = random.oneIn(5);
  const options = { device: device(), recovery: manual ? 'manual' : 'auto' };
  if (random.oneIn(3)) options.polling = 'never';
  if (random.oneIn(3)) options.recoveryBudget = random.pick([MIB, '1MiB', 2 ** 40, 2 ** 50]);
  const opened = await referee.call('open', [made.paths.log, options], () => Mirror.open(made.paths.log, options));
  if ('error' in opened) return referee.check(false, () => `the mirror does not open: ${shown(opened.error)}`);
  const mirror = opened.value;
  const requests = new Requests({ random, referee, model: made.model, mirror, alignedBuffer: Mirror.alignedBuffer });
  if (manual) await recoverWhileBusy(mirror, requests);
  for (let batch = random.between(1, 5); batch > 0; batch -= 1) {
    const beside = [...longWork(mirror), ...(random.oneIn(2) ? [oddCall(made, true)] : [])];
    await allOf([...Array.from({ length: random.between(1, 24) }, () => requests.make()), ...beside]);
    await checkQuiet(mirror, made);
  }
  return end(mirror, requests, made);
}

async function recoverWhileBusy(mirror, requests) {
  const early = Array.from({ length: random.below(4) }, () => requests.make());
  const recovering = referee.call('recover', [], () => mirror.recover({ compare: random.oneIn(2) }));
  const twice = random.oneIn(3) ? [referee.call('recover again', [], () => mirror.recover())] : [];
  const [ended] = await allOf([recovering, ...twice, ...early]);
  referee.check('value' in ended, () => `mirror.recover failed: ${shown(ended.error)}`);
}

/** A verify beside requests, now and then, with or without an abort. */
function longWork(mirror) {
  if (!random.oneIn(4)) return [];
  const controller = new AbortController();
  if (random.oneIn(2)) setTimeout(() => controller.abort(), random.below(10));
  const { signal } = controller;
  const check = referee.call('mirror.verify', [], () => mirror.verify({ signal }), reasonsOf(signal));
  return [check.then(({ value }) => value && judgeVerify(value))];
}

function judgeVerify(report) {
  referee.check(report.identical, () => `a verify found differences: ${JSON.stringify(report)}`);
}

/** Nothing is asked for any more, so everything is known. What a destroyed stream had read ahead may still come. */
async function checkQuiet(mirror, made) {
  await referee.inTime('a quiet mirror', async () => {
    while (mirror.status().pendingRequests > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  });
  const status = mirror.status();
  referee.check(status.phase === 'running', () => `the phase is ${status.phase}`);
  referee.check(status.size === made.model.size, () => `the size is ${status.size}`);
  const states = status.images.map(({ state }) => state);
  const right = states.every((state) => state === 'synchronized' || state === 'consistent');
  referee.check(right, () => `the images are ${states}`);
}

async function end(mirror, requests, made) {
  const how = random.weighted({ quiet: 2, busy: 4, twice: 1, crash: 3 });
  const late = how === 'quiet' ? [] : Array.from({ length: random.between(1, 30) }, () => requests.make());
  requests.closing = true;
  if (how === 'crash') {
    // The engine is let go as by a worker that ends: what is pending is never answered.
    await new Promise((resolve) => setTimeout(resolve, random.below(15)));
    referee.note('crash');
    mirror.engine.destroy();
    made.model.crash();
    for (const request of late) request.catch(() => undefined);
    return;
  }
  const closing = [referee.call('close', [], () => mirror.close())];
  if (how === 'twice') closing.push(referee.call('close', [], () => mirror.close()));
  const after = Array.from({ length: random.below(6) }, () => requests.make());
  const settled = await allOf([...closing, ...late, ...after]);
  for (const ended of settled.slice(0, closing.length)) {
    referee.check('value' in ended, () => `close failed: ${shown(ended.error)}`);
  }
  const status = mirror.status();
  referee.check(status.phase === 'closed' && status.pendingRequests === 0, () => `after close: ${status.phase}`);
  await allOf(Array.from({ length: random.below(4) }, () => requests.make()));
}

/** The first failure wins, but nothing is left behind unawaited. */
async function allOf(work) {
  const settled = await Promise.allSettled(work);
  const failed = settled.find(({ status }) => status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return settled.map(({ value }) => value);
}

/** After everything: the mirror is whole, its content explained, and its images are the same bytes. */
async function judgeAtTheEnd(made) {
  const { log, master, slaves } = made.paths;
  await live(made);
  const { error } = await referee.call('recover', [log], () => library.recover(log));
  referee.check(error === undefined, () => `recover failed: ${shown(error)}`);
  const { value: report } = await referee.call('verify', [log], () => library.verify(log));
  referee.check(report !== undefined, () => 'the last verify failed');
  judgeVerify(report);
  const submitted = made.model.tick();
  const contents = [master, ...slaves].map((image) => fs.readFileSync(image).subarray(0, made.model.size));
  const wrong = made.model.judge(contents[0], 0, submitted);
  referee.check(wrong === null, () => `the master: ${wrong}`);
  const sums = contents.map((bytes) => createHash('sha256').update(bytes).digest('hex'));
  referee.check(new Set(sums).size === 1, () => 'the images are different');
}

// --- limits

/** Takes all descriptors that this process may have but a few, and answers how to give them back. */
function takeDescriptors(left) {
  const taken = [];
  try {
    for (;;) taken.push(fs.openSync('/dev/null', 'r'));
  } catch (error) {
    if (error.code !== 'EMFILE') throw error;
  }
  for (const descriptor of taken.splice(0, left)) fs.closeSync(descriptor);
  return () => taken.splice(0).forEach((descriptor) => fs.closeSync(descriptor));
}

/** With hardly a descriptor left every call still ends in a typed error, and the mirror is none the worse for it. */
async function withoutDescriptors(made) {
  const { log } = made.paths;
  const left = random.below(24);
  const giveBack = takeDescriptors(left);
  referee.note(`${left} descriptors are left`);
  try {
    for (let times = random.between(1, 4); times > 0; times -= 1) {
      const { value } = await referee.call('open', [log], () => Mirror.open(log, { device: device() }));
      if (value !== undefined) await referee.call('close', [], () => value.close());
      await referee.call('inspect', [log], () => library.inspect(log));
      await referee.call('verify', [log], () => library.verify(log));
      await oddCall(made, false);
    }
  } finally {
    giveBack();
  }
}

async function main() {
  const names = random.oneIn(3) ? ['one', 'other'] : ['one'];
  const mirrors = [];
  for (const name of names) mirrors.push(await makeMirror(name));
  for (let lives = random.between(1, 3); lives > 0; lives -= 1) await allOf(mirrors.map(live));
  if (random.oneIn(2)) await withoutDescriptors(mirrors[0]);
  for (const made of mirrors) await judgeAtTheEnd(made);
  await new Promise((resolve) => setTimeout(resolve, 20));
  referee.check(library.openEngines() === 0, () => `${library.openEngines()} engines are left`);
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(shown(error));
    process.exit(1);
  },
);
