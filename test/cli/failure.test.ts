import { CommanderError } from 'commander';
import { BlockmirrorError } from '../../lib';
import { CommandFailed, UsageError, exitCodeOf, failureOf, failureToText, stackOf } from '../../lib/cli/failure';
import { Interrupted } from '../../lib/cli/interrupt';

test("the library's error says what was found, and apart from it what to do", () => {
  const error = new BlockmirrorError('READ_FAILED', {
    image: 'slave1',
    path: '/dev/x',
    position: 4096,
    systemError: 5,
  });
  expect(failureOf(error)).toEqual({
    code: 'ERR_BLOCKMIRROR_READ_FAILED',
    message: expect.stringMatching(/slave1.*\/dev\/x.*4096.*EIO/),
    remedy: error.remedy,
    cause: { code: 'EIO', message: expect.stringContaining('EIO'), syscall: 'read', path: '/dev/x' },
  });
  expect(failureOf(error).message).not.toContain(error.remedy);
});

test('a remedy of this one error goes before that of its kind', () => {
  const failure = failureOf(new BlockmirrorError('SIGNATURE_FOUND', { remedy: 'Say nothing' }));
  expect(failure.remedy).toBe('Say nothing');
  expect(failureToText(failure)).toContain('What to do: Say nothing.');
});

test.each([
  [new UsageError('wrong', 'right'), 2],
  [new CommanderError(1, 'commander.unknownOption', "error: unknown option '--x'"), 2],
  [new BlockmirrorError('INVALID_OPTION'), 2],
  [Object.assign(new TypeError('no string'), { code: 'ERR_INVALID_ARG_TYPE' }), 2],
  [new BlockmirrorError('BUSY'), 1],
  [new CommandFailed('ERR_X', 'failed', 'try again'), 1],
  [new Error('unexpected'), 1],
  ['no error at all', 1],
  [new Interrupted('SIGINT', 'harmless'), 130],
  [new Interrupted('SIGTERM', 'harmless'), 143],
  [new Interrupted('SIGHUP', 'harmless'), 129],
])('%s ends with exit code %d', (error, exitCode) => {
  expect(exitCodeOf(error)).toBe(exitCode);
});

test('what we did not foresee is called a bug, with its stack; what the system refused is not', () => {
  const bug = new Error('unexpected');
  expect(failureOf(bug).remedy).toMatch(/bug/);
  expect(stackOf(bug, failureOf(bug))).toMatch(/^ {4}at .*failure\.test/);
  const system = Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC', errno: -28 });
  expect(failureOf(system).remedy).toMatch(/free space/);
  expect(stackOf(system, failureOf(system))).toBeNull();
});
