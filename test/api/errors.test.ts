import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BlockmirrorError, ERRORS, type ErrorName } from '../../lib/index';
import { errorOfStatus, invalidArgumentType, isBlockmirrorError, systemError } from '../../lib/base/errors';
import { loadBinding } from '../../lib/base/load';

const names = Object.keys(ERRORS) as ErrorName[];

test('the table holds every code of the addon', () => {
  const codes = loadBinding().codes.slice(1);
  expect(codes.filter((code) => !(code in ERRORS))).toEqual([]);
});

test('docs/ERRORS.md lists every code with what it means and what to do, and no other', () => {
  const text = readFileSync(join(__dirname, '..', '..', 'docs', 'ERRORS.md'), 'utf8');
  const documented = new Map(
    [...text.matchAll(/^\| `ERR_BLOCKMIRROR_(\w+)` +\| (.*?) +\| (.*?) +\|$/gm)].map(([, name, summary, remedy]) => [
      name as string,
      { summary, remedy },
    ]),
  );
  expect([...documented.keys()].sort()).toEqual([...names].sort());
  for (const name of names) {
    const escaped = (sentence: string): string => sentence.replaceAll('|', '\\|');
    expect(documented.get(name)).toEqual({
      summary: escaped(ERRORS[name].summary),
      remedy: escaped(ERRORS[name].remedy),
    });
  }
});

test('a message says where, what and what to do', () => {
  const error = new BlockmirrorError('READ_FAILED', {
    image: 'slave1',
    path: '/dev/sdx',
    position: 4096,
    systemError: 5,
  });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({
    name: 'BlockmirrorError',
    code: 'ERR_BLOCKMIRROR_READ_FAILED',
    image: 'slave1',
    path: '/dev/sdx',
    position: 4096,
  });
  expect(error.message).toBe(
    'slave1 (/dev/sdx) at byte 4096: reading failed (EIO). Look at the kernel log (`dmesg`) for errors of that device.',
  );
  expect(error.cause).toMatchObject({ code: 'EIO', errno: -5, syscall: 'read', path: '/dev/sdx' });
  expect(error.toJSON()).toMatchObject({ code: error.code, message: error.message });
  expect(isBlockmirrorError(error, 'READ_FAILED')).toBe(true);
  expect(isBlockmirrorError(error, 'BUSY')).toBe(false);
  expect(isBlockmirrorError(new Error('x'))).toBe(false);
});

test('a native status becomes an error with the names of the mirror', () => {
  const codes = loadBinding().codes;
  const code = (name: ErrorName): number => codes.indexOf(name);
  const mirror = {
    log: '/log',
    images: [
      { name: 'left', path: '/left' },
      { name: 'right', path: '/right' },
    ],
  };
  const status = { code: code('STALE_IMAGE'), systemError: 0, image: 1, position: 0 };
  const stale = errorOfStatus(codes, status, mirror);
  expect(stale).toMatchObject({ image: 'right', path: '/right' });
  expect(stale.position).toBeUndefined();
  expect(stale.cause).toBeUndefined();
  const log = errorOfStatus(codes, { code: code('LOG_FAILED'), systemError: 28, image: -2, position: 0 }, mirror);
  expect(log).toMatchObject({ image: 'log', path: '/log', cause: { code: 'ENOSPC' } });
  const early = errorOfStatus(codes, { code: code('OPEN_FAILED'), systemError: 2, image: 2, position: 0 });
  expect(early.image).toBe('slave2');
  const strange = errorOfStatus(codes, { code: 9999, systemError: 0, image: -1, position: 0 });
  expect(strange.code).toBe('ERR_BLOCKMIRROR_INTERNAL');
  expect(strange.message).toMatch(/unknown code 9999/);
});

test('a system error has the shape of Node’s own; an errno nobody knows is kept', () => {
  expect(systemError(13, 'open', '/x')).toMatchObject({ message: "EACCES open '/x'", errno: -13, code: 'EACCES' });
  expect(systemError(999).code).toMatch(/999/);
});

test('wrong types are described as Node does', () => {
  const message = (value: unknown): string => invalidArgumentType('x', 'a string', value).message;
  expect(message(undefined)).toMatch(/Received undefined$/);
  expect(message(null)).toMatch(/Received null$/);
  expect(message([])).toMatch(/Received an instance of Array$/);
  expect(message(Object.create(null))).toMatch(/Received an instance of Object$/);
  expect(message(5n)).toMatch(/Received type bigint \(5\)$/);
  expect(message(() => 0)).toMatch(/Received function/);
});
