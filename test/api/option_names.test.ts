/** No option passes unseen: each call refuses each name that it does not know, and says which one is right. */
import { Mirror, inspect, recover, verify } from '../../lib/index';
import { failure, useMirrors } from './support';

const mirrors = useMirrors();
const bytes = Buffer.alloc(4096);

type Call = (mirror: Mirror, options: never) => unknown;
const requests: [string, Call][] = [
  ['write()', (mirror, options) => mirror.write(bytes, Object.assign({ position: 0 }, options))],
  ['read()', (mirror, options) => mirror.read(bytes, Object.assign({ position: 0 }, options))],
  ['read({ buffer })', (mirror, options) => mirror.read(Object.assign({ buffer: bytes, position: 0 }, options))],
  ['writev()', (mirror, options) => mirror.writev([bytes], 0, options)],
  ['readv()', (mirror, options) => mirror.readv([bytes], 0, options)],
  ['discard()', (mirror, options) => mirror.discard(0, 4096, options)],
  ['createReadStream()', (mirror, options) => mirror.createReadStream(options)],
  ['createWriteStream()', (mirror, options) => mirror.createWriteStream(options)],
  ['mirror.recover()', (mirror, options) => mirror.recover(options)],
  ['mirror.verify()', (mirror, options) => mirror.verify(options)],
];
const outside: [string, (options: never) => Promise<unknown>][] = [
  ['create', (options) => Mirror.create(Object.assign({ log: '/x', master: '/y', slaves: ['/z'] }, options))],
  ['open', (options) => Mirror.open('/nowhere/log', options)],
  ['inspect', (options) => inspect('/nowhere/log', options)],
  ['recover', (options) => recover('/nowhere/log', options)],
  ['verify', (options) => verify('/nowhere/log', options)],
];

const refused = async (work: () => unknown): Promise<string> =>
  (await failure((async () => work())(), 'INVALID_OPTION')).message;

test('every call of a mirror refuses a name that it does not know, and writes nothing', async () => {
  const { mirror } = await mirrors.make();
  for (const [name, call] of requests) {
    const message = await refused(() => call(mirror, { colour: 'red' } as never));
    expect(message).toContain(`${name} has no 'colour'`);
    expect(message).toContain('The options are ');
    expect(await refused(() => call(mirror, { colour: undefined } as never))).toContain("'colour'");
  }
  expect(mirror.status().counters['writes']).toBe(0);
});

test('so does every call without one', async () => {
  for (const [, call] of outside) {
    expect(await refused(() => call({ colour: 'red' } as never))).toContain("has no 'colour'");
  }
});

test.each(['datasync', 'dataSync', 'sync', 'fsync', 'fdatasync', 'FUA', 'O_DSYNC', 'durable', 'DSYNC'])(
  'durability by the name %s is never accepted and forgotten',
  async (name) => {
    const { mirror } = await mirrors.make();
    for (const [call, right] of [
      [0, 'dsync'],
      [3, 'dsync'],
      [7, 'flush'],
    ] as const) {
      const [, make] = requests[call] as [string, Call];
      expect(await refused(() => make(mirror, { [name]: true } as never))).toContain(`Use '${right}'`);
    }
  },
);

test('dsync of a stream is flush, flush of a write is dsync, and a slip of the keyboard is seen through', async () => {
  const { mirror } = await mirrors.make();
  const hints: [number, object, string][] = [
    [7, { dsync: true }, "Use 'flush'"],
    [0, { flush: true }, "Use 'dsync'"],
    [3, { flush: true }, "Use 'dsync'"],
    [0, { unalinged: true }, "Use 'unaligned'"],
    [0, { Transfer: true }, "Use 'transfer'"],
    [1, { pos: 0 }, "Use 'position'"],
    [6, { position: 0 }, "Use 'start'"],
    [6, { high_water_mark: 5 }, "Use 'highWaterMark'"],
    [6, { defaultEncoding: 'hex' }, "Use 'encoding'"],
    [7, { autoClose: false }, 'never closes its mirror'],
    [6, { fd: 3 }, 'reads its mirror and nothing else'],
    [7, { end: 5 }, 'ends where its data does'],
    [8, { dryRun: true }, 'The options are compare, readBack'],
    [8, { verify: false }, "Use 'readBack'"],
  ];
  for (const [call, options, words] of hints) {
    const [, make] = requests[call] as [string, Call];
    expect(await refused(() => make(mirror, options as never))).toContain(words);
  }
  const outsiders: [number, object, string][] = [
    [0, { force: true }, "Use 'overwriteSignature'"],
    [0, { overwriteSignatures: true }, "Use 'overwriteSignature'"],
    [1, { budget: 5 }, "Use 'recoveryBudget'"],
    [2, { image: {} }, "Use 'images'"],
    [3, { dry_run: true }, "Use 'dryRun'"],
    [0, { verify: false }, "Use 'readBack'"],
    [3, { verify: false }, "Use 'readBack'"],
  ];
  for (const [call, options, words] of outsiders) {
    const [, make] = outside[call] as (typeof outside)[number];
    expect(await refused(() => make(options as never))).toContain(words);
  }
});

test('names that objects have by nature are names like any other', async () => {
  const { mirror } = await mirrors.make();
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    const options = JSON.parse(`{ "${name}": true }`) as never;
    expect(await refused(() => mirror.discard(0, 4096, options))).toContain(`has no '${name}'`);
  }
});

test('what stands behind the last argument is refused, not overlooked', async () => {
  const { mirror } = await mirrors.make();
  const write = mirror.write.bind(mirror) as (...values: unknown[]) => Promise<unknown>;
  const read = mirror.read.bind(mirror) as (...values: unknown[]) => Promise<unknown>;
  await failure(write(bytes, 0, 4096, 0, { dsync: true }), 'INVALID_OPTION');
  await failure(write(bytes, { position: 0 }, { dsync: true }), 'INVALID_OPTION');
  await failure(read(bytes, 0, 4096, 0, {}), 'INVALID_OPTION');
  await failure(read({ buffer: bytes, position: 0 }, 0), 'INVALID_OPTION');
  expect(mirror.status().counters['writes']).toBe(0);
});

test('options that are no object are refused by type, null as well', async () => {
  const { mirror } = await mirrors.make();
  for (const options of [null, 5, 'utf8'] as never[]) {
    for (const index of [3, 4, 5, 6, 7, 8, 9]) {
      const [, call] = requests[index] as [string, Call];
      await expect((async () => call(mirror, options))()).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    }
  }
});

test('a flag is true or false: other values of dsync, unaligned and transfer are refused by type', async () => {
  const { mirror } = await mirrors.make();
  for (const name of ['dsync', 'unaligned', 'transfer']) {
    for (const value of [1, 'yes', null, {}]) {
      const work = mirror.write(bytes, { position: 0, [name]: value });
      await expect(work).rejects.toMatchObject({
        code: 'ERR_INVALID_ARG_TYPE',
        message: expect.stringContaining(name) as string,
      });
    }
  }
});

test('a range that ends beyond the mirror has one code in every call; a number that cannot be has Node’s', async () => {
  const { mirror } = await mirrors.make();
  const { size } = mirror.status();
  for (const work of [
    mirror.discard(0, 2 * size),
    mirror.discard(size, 4096),
    mirror.discard(2 * size, 0n),
    mirror.write(bytes, { position: size }),
    mirror.writev([bytes], size),
    mirror.read(bytes, { position: size }),
  ]) {
    expect((await failure(work, 'OUT_OF_RANGE')).message).toContain(String(size));
  }
  await expect(mirror.discard(0, -4096)).rejects.toMatchObject({
    code: 'ERR_OUT_OF_RANGE',
    message: expect.stringMatching(/"length".*the size of the mirror\. Received -4096/) as string,
  });
  await expect(mirror.discard(0, NaN)).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
  await expect(mirror.discard(-512, 512)).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
});

test('alignedBuffer takes a length that can be', () => {
  for (const length of [NaN, -1, 1.5, Infinity, Number.MAX_SAFE_INTEGER]) {
    expect(() => Mirror.alignedBuffer(length)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  }
  expect(Mirror.alignedBuffer(0).length).toBe(0);
  expect(Mirror.alignedBuffer(5).length).toBe(5);
});
