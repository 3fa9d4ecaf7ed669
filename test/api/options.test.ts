/** Every option wrong in turn. No device is touched: options are checked first. */
import { Mirror, inspect, recover, verify } from '../../lib/index';
import { checkCreate, checkOpen, checkRecover } from '../../lib/base/options';
import { loadBinding } from '../../lib/base/load';
import { failure } from './support';

const { limits } = loadBinding();
const right = { log: '/nowhere/log', master: '/nowhere/master', slaves: ['/nowhere/slave'] };

const openMirror = (log: string, options?: object): Promise<unknown> => Mirror.open(log, options);

const wrongTypes: [string, object][] = [
  ['log', { log: 5 }],
  ['log', { log: undefined }],
  ['master', { master: null }],
  ['master', { master: undefined }],
  ['master.path', { master: { path: 7 } }],
  ['master.name', { master: { path: '/x', name: 1 } }],
  ['slaves', { slaves: '/nowhere/slave' }],
  ['slaves', { slaves: undefined }],
  ['slaves[0]', { slaves: [5] }],
  ['size', { size: true }],
  ['assumeIdentical', { assumeIdentical: 'yes' }],
  ['keepData', { keepData: 1 }],
  ['overwriteSignature', { overwriteSignature: null }],
  ['readBack', { readBack: 0 }],
  ['ringRecords', { ringRecords: '64' }],
  ['device', { device: 1 }],
  ['onProgress', { onProgress: {} }],
  ['signal', { signal: 'abort' }],
];

test.each(wrongTypes)('create refuses a wrong type of %s by Node’s own error: %j', async (name, wrong) => {
  await expect(Mirror.create({ ...right, ...wrong })).rejects.toMatchObject({
    name: 'TypeError',
    code: 'ERR_INVALID_ARG_TYPE',
    message: expect.stringContaining(name) as string,
  });
});

const wrongValues: [string, object, RegExp][] = [
  ['an empty log', { log: '' }, /path/],
  ['a path with a zero byte', { master: 'a\0b' }, /path/],
  ['no slave', { slaves: [] }, /Name 1 to 15 slaves/],
  ['too many slaves', { slaves: Array.from({ length: 16 }, (_, index) => `/s${index}`) }, /Name 1 to 15 slaves/],
  ['a name that is no word', { master: { path: '/x', name: 'a b' } }, /letters, digits/],
  ['a name that is too long', { master: { path: '/x', name: 'x'.repeat(32) } }, /Use up to 31/],
  ["the name 'log'", { master: { path: '/x', name: 'log' } }, /another word than 'log'/],
  ['two images of one name', { slaves: [{ path: '/x', name: 'master' }] }, /named 'master'/],
  ['a size of 0', { size: 0 }, /leave it out/],
  ['a negative size', { size: -4096 }, /binary unit/],
  ['a broken size', { size: 1.5 }, /binary unit/],
  ['an ambiguous size', { size: '4GB' }, /4GiB/],
  ['too few ring records', { ringRecords: 7 }, /8 to 262144/],
  ['too many ring records', { ringRecords: 262145 }, /8 to 262144/],
  ['a size beyond all numbers', { size: Number.MAX_SAFE_INTEGER }, /at most 9007199252643839 bytes/],
  ['broken ring records', { ringRecords: 64.5 }, /whole number/],
  ['an unknown device', { device: 'nvme' }, /'auto', 'io_uring', 'threads'/],
  ['a misspelt option', { overwriteSignatures: true }, /has no 'overwriteSignatures'/],
  ['a misspelt option of an image', { master: { path: '/x', nme: 'x' } }, /has no 'nme'/],
];

test.each(wrongValues)('create refuses %s and says what to do', async (_name, wrong, remedy) => {
  const error = await failure(Mirror.create({ ...right, ...wrong }), 'INVALID_OPTION');
  expect(error.message).toMatch(remedy);
});

const wrongOpen: [string, object, string, RegExp][] = [
  ['recovery', { recovery: 'never' }, 'ERR_BLOCKMIRROR_INVALID_OPTION', /'auto', 'background', 'manual'/],
  ['recovery', { recovery: true }, 'ERR_INVALID_ARG_TYPE', /recovery/],
  ['recoveryBudget', { recoveryBudget: 1024 }, 'ERR_BLOCKMIRROR_INVALID_OPTION', /at least 1048576/],
  ['recoveryBudget', { recoveryBudget: 2 ** 50 + 1 }, 'ERR_BLOCKMIRROR_INVALID_OPTION', /at most 1125899906842624/],
  ['recoveryBudget', { recoveryBudget: 'lots' }, 'ERR_BLOCKMIRROR_INVALID_OPTION', /binary unit/],
  ['polling', { polling: 'always' }, 'ERR_BLOCKMIRROR_INVALID_OPTION', /polling/],
  ['recoveryBudget', { recoveryBudget: {} }, 'ERR_INVALID_ARG_TYPE', /recoveryBudget/],
  ['images', { images: ['/x'] }, 'ERR_INVALID_ARG_TYPE', /by image name/],
  ['images', { images: { master: 5 } }, 'ERR_INVALID_ARG_TYPE', /images\.master/],
  ['device', { device: 'fast' }, 'ERR_BLOCKMIRROR_INVALID_OPTION', /'threads'/],
  ['onProgress', { onProgress: 5 }, 'ERR_INVALID_ARG_TYPE', /onProgress/],
  ['signal', { signal: {} }, 'ERR_INVALID_ARG_TYPE', /signal/],
  ['an unknown one', { recover: 'auto' }, 'ERR_BLOCKMIRROR_INVALID_OPTION', /has no 'recover'/],
];

test.each(wrongOpen)('open refuses a wrong %s: %j', async (_name, wrong, code, message) => {
  await expect(Mirror.open('/nowhere/log', wrong)).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message) as string,
  });
});

test('every call refuses a log that is no path, and options that are no object', async () => {
  for (const call of [openMirror, inspect, recover, verify] as ((
    log: unknown,
    options?: unknown,
  ) => Promise<unknown>)[]) {
    await expect(call(5)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    await expect(call('')).rejects.toMatchObject({ code: 'ERR_BLOCKMIRROR_INVALID_OPTION' });
    await expect(call('/nowhere/log', 'x')).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    await expect(call('/nowhere/log', { colour: 'red' })).rejects.toMatchObject({
      code: 'ERR_BLOCKMIRROR_INVALID_OPTION',
    });
  }
  await expect(recover('/nowhere/log', { dryRun: 'yes' } as never)).rejects.toMatchObject({
    code: 'ERR_INVALID_ARG_TYPE',
  });
});

test('a log that does not exist is named, with the system error as the cause', async () => {
  for (const call of [openMirror, inspect, recover, verify] as ((log: string) => Promise<unknown>)[]) {
    const error = await failure(call('/nowhere/log'), 'OPEN_FAILED');
    expect(error.message).toContain('/nowhere/log');
    expect(error.cause).toMatchObject({ code: 'ENOENT', errno: -2, syscall: 'open', path: '/nowhere/log' });
  }
});

test('defaults', () => {
  expect(checkOpen({}, limits)).toMatchObject({
    recovery: 'auto',
    device: 'auto',
    recoveryBudget: 64 * 1024 ** 2,
    polling: true,
  });
  expect(checkOpen({ polling: 'never' }, limits).polling).toBe(false);
  expect(checkRecover({})).toMatchObject({ dryRun: false, compare: true, readBack: true });
  expect(() => checkRecover({ compare: 1 as never })).toThrow(/options\.compare/);
  expect(checkCreate({ ...right, slaves: ['/a', '/b'] }, limits)).toMatchObject({
    size: null,
    keepData: false,
    overwriteSignature: false,
    assumeIdentical: false,
    readBack: true,
    images: [{ name: 'master' }, { name: 'slave1' }, { name: 'slave2' }],
  });
});
