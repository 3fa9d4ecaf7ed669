// docs/API.md says what a control socket takes and what its limits are; the table of routes is what the server runs.
import { CLIENT_LIMITS, SERVER_LIMITS } from '../../lib/control/limits';
import { HELLO, ROUTES, type Route, STOP, routeOf } from '../../lib/control/routes';
import { read } from './support';

const section = /^## Control socket\n([\s\S]*?)^## /m.exec(read('docs/API.md'))?.[1] ?? '';
const text = section.replace(/\s+/g, ' ');
const rows = [...section.matchAll(/^\| `(GET|POST) ([^`]+)`\s*\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$/gm)].map(
  (match) => {
    const [, method, path, options = '', answer = '', meaning = '', alone = ''] = match;
    const names = [...options.matchAll(/`(\w+)`/g)].map(([, name]) => name);
    return { method, path, options: names, answer: answer.trim(), meaning: meaning.trim(), alone: alone.trim() };
  },
);

test('the page has every route, and no other', () => {
  const own = { answer: 'document', alone: null };
  const all = [{ ...HELLO, ...own }, ...Object.values<Route>(ROUTES), { ...STOP, ...own }];
  expect(rows).toEqual(
    all.map(({ method, path, options, answer, meaning, alone }) => ({
      ...{ method, path, options: [...options], answer, meaning },
      alone: alone ?? '',
    })),
  );
});

test('a route is found by its method and path, and by no other', () => {
  for (const route of Object.values<Route>(ROUTES)) {
    expect(routeOf(route.method, route.path)).toBe(route);
    expect(() => routeOf(route.method === 'GET' ? 'POST' : 'GET', route.path)).toThrow(/takes (GET|POST)/);
  }
  for (const path of ['/', '/v1', '/v1/status/', '/v1/status?x', '/v1/__proto__', '/v2/status']) {
    expect(() => routeOf('GET', path)).toThrow(/nothing answers/);
  }
});

test('work says what becomes of it without its client; nothing else does', () => {
  for (const { answer, alone } of Object.values<Route>(ROUTES)) expect(alone !== null).toBe(answer === 'work');
});

test('the page has the limits as they are', () => {
  const { connections, headerBytes, headersMs, bodyBytes, requestMs, idleMs, works, listeners, unreadBytes, unreadMs } =
    SERVER_LIMITS;
  for (const words of [
    `${connections} connections`,
    `${headerBytes / 1024} KiB of headers within ${headersMs / 1000} s`,
    `${bodyBytes / 1024} KiB of body`,
    `within ${requestMs / 1000} s`,
    `${idleMs / 1000} s idle`,
    `${works} works and ${listeners} listeners`,
    `${unreadBytes / 1024 / 1024} MiB, or ${unreadMs / 1000} s`,
    `nothing within ${CLIENT_LIMITS.answerMs / 1000} s`,
    `after ${CLIENT_LIMITS.stopMs / 1000} s in any case`,
  ]) {
    expect(text).toContain(words);
  }
});
