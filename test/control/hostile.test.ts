// Whoever may connect to a control socket and means no good, or knows no better: the mirror's process serves its own requests on,
// and those of others on the socket.
import { type Socket, connect as connectTo } from 'node:net';
import { readFileSync } from 'node:fs';
import { type MirrorClient, connect } from '../../lib/index';
import { SERVER_LIMITS } from '../../lib/control/limits';
import { type MirrorHolder, useHolders } from '../support/holder';
import { createMirrorFiles } from '../support/mirror_files';
import { useTemporaryFolder } from '../support/temporary_folder';
import { useControlFolder } from './support';

const folder = useTemporaryFolder();
useControlFolder();
const hold = useHolders();
const sockets: Socket[] = [];
let client: MirrorClient;
let holder: MirrorHolder;

beforeEach(async () => {
  const { log } = await createMirrorFiles(folder());
  holder = await hold(log, { control: true }, { writes: true });
  client = await connect(log);
});
afterEach(() => {
  client.close();
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** Everything that the other side says until it closes, or until a time has passed. */
function say(text: string | Buffer, { until = 15_000, end = false } = {}): Promise<{ said: string; closed: boolean }> {
  return new Promise((resolve) => {
    const socket = connectTo(client.socket);
    sockets.push(socket);
    let said = '';
    const settle = (closed: boolean): void => {
      clearTimeout(timer);
      resolve({ said, closed });
    };
    const timer = setTimeout(() => settle(false), until);
    socket.on('data', (piece: Buffer) => (said += piece.toString('latin1')));
    socket.on('error', () => undefined);
    socket.on('close', () => settle(true));
    socket.write(text);
    if (end) socket.end();
  });
}

/** Its own work, and that of a client, go on. */
async function isWell(): Promise<void> {
  const { acknowledged } = holder.told();
  await holder.until((told) => told.acknowledged > acknowledged + 5);
  expect(holder.told().error).toBeNull();
  expect(await client.status()).toMatchObject({ phase: 'running' });
}

const request = (method: string, path: string, body = '', headers = ''): string =>
  `${method} ${path} HTTP/1.1\r\nhost: m\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`;

test.each([
  ['garbage', Buffer.from([0, 1, 2, 255, 254, 13, 10, 13, 10])],
  ['a protocol of another kind', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')],
  ['headers without an end', Buffer.from(`GET /v1/ HTTP/1.1\r\n${'a: b\r\n'.repeat(100_000)}`)],
  ['an upgrade', Buffer.from('GET /v1/ HTTP/1.1\r\nhost: m\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n')],
  ['a tunnel', Buffer.from('CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: m\r\n\r\n')],
  ['two lengths', Buffer.from('POST /v1/set HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}')],
])('%s is cut', async (_, bytes) => {
  expect((await say(bytes)).closed).toBe(true);
  await isWell();
});

test('half of a request holds its connection no longer than the limits say', async () => {
  const began = performance.now();
  const halves = await Promise.all([
    say('GET /v1/status HTTP/1.1\r\nhost:'),
    say(`POST /v1/set HTTP/1.1\r\nhost: m\r\ncontent-length: 50\r\n\r\n{"minInSync"`),
    say(''),
  ]);
  expect(halves.map(({ closed }) => closed)).toEqual([true, true, true]);
  expect(performance.now() - began).toBeLessThan(SERVER_LIMITS.requestMs + 4000);
  await isWell();
});

test('a body that is too long is refused without being read to its end', async () => {
  const body = `{"minInSync": ${'1'.repeat(SERVER_LIMITS.bodyBytes)}`;
  const { said, closed } = await say(request('POST', '/v1/set', body));
  expect(said).toMatch(/^HTTP\/1\.1 400 /);
  expect(said).toContain('the body is too long');
  expect(closed).toBe(true);
  const endless = `POST /v1/set HTTP/1.1\r\nhost: m\r\ncontent-length: ${Number.MAX_SAFE_INTEGER}\r\n\r\n`;
  expect((await say(endless + ' '.repeat(4 * SERVER_LIMITS.bodyBytes))).said).toMatch(/^HTTP\/1\.1 400 /);
  await isWell();
});

test.each([
  ['POST', '/v1/set', '[]'],
  ['POST', '/v1/set', 'null'],
  ['POST', '/v1/set', '{"minInSync": "9"}'],
  ['POST', '/v1/set', '{"__proto__": {"minInSync": 1}, "rejoin": "perhaps"}'],
  ['POST', '/v1/set', '{'],
  ['POST', '/v1/resync', '{"images": "slave1"}'],
  ['POST', '/v1/resync', '{"images": ["../slave1"]}'],
  ['POST', '/v1/verify', '{"from": "slave1"}'],
  ['POST', '/v1/verify/from', '{}'],
  ['POST', '/v1/verify/from', '{"from": "slave1", "extent": {"position": 0, "length": 4096}}'],
  [
    'POST',
    '/v1/verify/from',
    '{"from": "slave1", "extent": {"position": -1, "length": 1e300}, "overwriteMaster": true}',
  ],
  ['POST', '/v1/stop', '{"id": {}}'],
  ['GET', '/v1/set', ''],
  ['GET', '/v1/../../etc/passwd', ''],
  ['DELETE', '/v1/status', ''],
])('%s %s %s is refused, and does nothing', async (method, path, body) => {
  const before = await client.status();
  const { said } = await say(request(method, path, body));
  expect(said).toMatch(/^HTTP\/1\.1 4\d\d /);
  const text = said.slice(said.indexOf('\r\n\r\n'));
  expect(JSON.parse(text)).toMatchObject({ error: { code: expect.any(String), message: expect.any(String) } });
  const after = await client.status();
  expect(after.minInSync).toBe(before.minInSync);
  expect(after.lastVerify).toEqual(before.lastVerify);
  await isWell();
});

test('a flood of connections is bounded, and there is room again when it is over', async () => {
  const flood = Array.from({ length: 8 * SERVER_LIMITS.connections }, () => {
    const socket = connectTo(client.socket);
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => undefined);
    return socket;
  });
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const open = readFileSync(`/proc/net/unix`, 'utf8')
    .split('\n')
    .filter((line) => line.includes(client.socket)).length;
  // The one that listens, and what waits to be taken.
  expect(open).toBeLessThan(SERVER_LIMITS.connections + 8);
  const { acknowledged } = holder.told();
  await holder.until((told) => told.acknowledged > acknowledged + 5);
  for (const socket of flood) socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 500));
  await isWell();
});

test('a flood of requests leaves the writes of the mirror undisturbed', async () => {
  const alone = holder.told().acknowledged;
  let over = false;
  let answered = 0;
  const ask = async (): Promise<void> => {
    while (!over) {
      await client.status();
      answered += 1;
    }
  };
  const asking = Array.from({ length: 8 }, ask);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  over = true;
  await Promise.all(asking);
  expect(answered).toBeGreaterThan(50);
  // About 60 a second are what it pauses for between its writes.
  expect(holder.told().acknowledged - alone).toBeGreaterThan(30);
  await isWell();
});

test('more requests than one at a time on a connection end it', async () => {
  const many = 'GET /v1/status HTTP/1.1\r\nhost: m\r\n\r\n'.repeat(10_000);
  expect((await say(many)).closed).toBe(true);
  await isWell();
});

test('whoever listens and does not read costs the others nothing', async () => {
  for (let count = 0; count < 4; count += 1) {
    const socket = connectTo(client.socket);
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.pause();
    socket.write('GET /v1/events HTTP/1.1\r\nhost: m\r\n\r\n');
  }
  for (let turn = 0; turn < 3; turn += 1) {
    await client.fracture(['slave1']);
    await client.resync(['slave1']);
  }
  await isWell();
});

test('works are bounded too: what is too much is refused, and they end with their clients', async () => {
  const slow = request('POST', '/v1/verify', '{"rate": 1048576}');
  const works = Array.from({ length: SERVER_LIMITS.works }, () => say(slow, { until: 60_000 }));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const { said } = await say(slow);
  expect(said).toMatch(/^HTTP\/1\.1 503 /);
  expect(said).toContain('ERR_BLOCKMIRROR_QUEUE_FULL');
  for (const socket of sockets) socket.destroy();
  await Promise.all(works);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(await client.verify()).toMatchObject({ result: 'identical' });
  await isWell();
});
