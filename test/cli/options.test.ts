import { InvalidArgumentError } from 'commander';
import { collectImage, collectSlave, parseImageChoice, parsePositiveSize, parseWait } from '../../lib/cli/options';

test('a size is bytes, or a number with a binary unit', () => {
  expect([parsePositiveSize('4096'), parsePositiveSize('64KiB'), parsePositiveSize('4GiB')]).toEqual([
    4096,
    65536,
    2 ** 32,
  ]);
});

test.each(['', 'much', '4GB', '-1', '0', '1.0001KiB'])('%j is no size', (text) => {
  expect(() => parsePositiveSize(text)).toThrow(InvalidArgumentError);
});

test('a wait has a unit, or has no end', () => {
  expect(['0s', '500ms', '30s', '5m', 'none'].map(parseWait)).toEqual([0, 500, 30_000, 300_000, Infinity]);
  for (const wrong of ['', '30', 'ever', '-1s', '1w']) expect(() => parseWait(wrong)).toThrow(InvalidArgumentError);
});

test('an image may have a name before its path', () => {
  expect(parseImageChoice('left=/dev/sda')).toEqual({ name: 'left', path: '/dev/sda' });
  expect(parseImageChoice('/dev/sda')).toEqual({ path: '/dev/sda' });
});

test('a path with = in it is a path, once it begins like one', () => {
  expect(parseImageChoice('./a=b')).toEqual({ path: './a=b' });
  expect(parseImageChoice('/srv/a=b.img')).toEqual({ path: '/srv/a=b.img' });
  expect(parseImageChoice('left=/srv/a=b.img')).toEqual({ name: 'left', path: '/srv/a=b.img' });
});

test('slaves are collected in order, and a slave without a path is refused', () => {
  expect(collectSlave('b=/b', collectSlave('/a', undefined))).toEqual(['/a', 'b=/b']);
  expect(() => collectSlave('b=', undefined)).toThrow(InvalidArgumentError);
});

test('--image names an image once', () => {
  const one = collectImage('master=/a', undefined);
  expect(collectImage('slave1=/b', one)).toEqual({ master: '/a', slave1: '/b' });
  expect(() => collectImage('master=/c', one)).toThrow(/twice/);
});

test.each(['/dev/sdb', 'slave1=', '=/dev/sdb', 'a b=/dev/sdb'])('--image %s is refused', (text) => {
  expect(() => collectImage(text, undefined)).toThrow(InvalidArgumentError);
});
