/** Whether root takes a log's word for where the images are: the table, and whose word it is. */
import { TRUST_TABLE, type TrustFacts, distrust, isBelieved, judgeTrust, writersOf } from '../../lib/look/trust';

const facts: TrustFacts = {
  runner: 'root',
  named: false,
  writers: 'nobody else',
  logOwner: 'user',
  imageOwner: 'other',
  end: 'inside',
};

// What is changed of a foreign log and image, whether it is used, and the row that has to decide.
const CASES: readonly [string, Partial<TrustFacts>, boolean, number][] = [
  ['by another user than root', { runner: 'user', writers: 'everybody', end: 'outside' }, true, 0],
  ['that the caller names', { named: true, writers: 'everybody' }, true, 1],
  ['of a log that every user may write, root its owner', { writers: 'everybody', logOwner: 'root' }, false, 2],
  ['of a log on a loop device whose file is not to be seen', { writers: 'unknown', logOwner: 'root' }, false, 3],
  ['of a log that a group may write, root its owner', { writers: 'its group', logOwner: 'root' }, false, 4],
  ['of the same user as a log that a group may write', { writers: 'its group', imageOwner: 'same' }, false, 4],
  ['of another user, in the log of root', { logOwner: 'root' }, true, 5],
  ['of root, in its own log, behind a link', { logOwner: 'root', imageOwner: 'same', end: 'outside' }, true, 5],
  ['of the same user as the log, behind a link', { imageOwner: 'same', end: 'outside' }, false, 6],
  ['of the same user as the log', { imageOwner: 'same' }, true, 7],
  ['of another user than the log', {}, false, 8],
];

test.each(CASES)('an image %s', (_, change, use, row) => {
  const judged = judgeTrust({ ...facts, ...change });
  expect(TRUST_TABLE.indexOf(judged)).toBe(row);
  expect(judged.use).toBe(use);
});

test('every row of the table decides something', () => {
  expect(new Set(CASES.map(([, , , row]) => row)).size).toBe(TRUST_TABLE.length);
});

test.each([
  ['its owner alone', { gid: 100, mode: 0o644 }, 'nobody else'],
  ['the group root', { gid: 0, mode: 0o664 }, 'nobody else'],
  ['another group', { gid: 100, mode: 0o664 }, 'its group'],
  ['the group disk, of a file', { gid: 6, mode: 0o660 }, 'its group'],
  ['the group disk, of a device', { gid: 6, mode: 0o660, blockDevice: true }, 'nobody else'],
  ['another group, of a device', { gid: 100, mode: 0o660, blockDevice: true }, 'its group'],
  ['everybody', { gid: 0, mode: 0o646 }, 'everybody'],
] as const)('written by %s', (_, change, writers) => {
  expect(writersOf({ uid: 0, blockDevice: false, ...change }, 6)).toBe(writers);
});

test('where there is no group disk, no group is its equal', () => {
  expect(writersOf({ uid: 0, gid: 6, mode: 0o660, blockDevice: true }, null)).toBe('its group');
});

test('the owner of an image is held against that of the log', () => {
  const trust = { runner: 'root', writers: 'nobody else', logOwner: 'user', uid: 1000 } as const;
  expect(distrust(trust, { uid: 1000 })).toBeNull();
  expect(distrust(trust, { uid: 0 })).toMatch(/another user/);
  expect(distrust(trust, { uid: 1000, outside: true })).toMatch(/by a link/);
  expect(isBelieved(trust)).toBe(false);
  expect(isBelieved({ ...trust, logOwner: 'root', uid: 0 })).toBe(true);
});
