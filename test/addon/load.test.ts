// The loader where there is nothing to load: the error must give the exact command that helps.
import path from 'node:path';

const root = path.join(__dirname, '..', '..');
const { arch } = process;

// A processor for which nobody has built it.
beforeEach(() => Object.defineProperty(process, 'arch', { value: 'riscv64' }));
afterEach(() => Object.defineProperty(process, 'arch', { value: arch }));

function loadWhere(present: (file: string) => boolean): Error & { code: string; cause?: Error } {
  let thrown: unknown;
  jest.isolateModules(() => {
    jest.doMock('node:fs', () => ({ ...jest.requireActual<object>('node:fs'), existsSync: present }));
    const { loadBinding } = jest.requireActual<typeof import('../../lib/base/load')>('../../lib/base/load');
    jest.dontMock('node:fs');
    try {
      loadBinding();
    } catch (error) {
      thrown = error;
    }
  });
  return thrown as Error & { code: string; cause?: Error };
}

test('without a binary for this platform the error has the command that builds one, and what that needs', () => {
  const error = loadWhere(() => false);
  expect(error.code).toBe('ERR_BLOCKMIRROR_ADDON_MISSING');
  expect(error.message).toContain(`npm run build:native --prefix ${JSON.stringify(root)}`);
  expect(error.message).toContain('apt-get install g++ make python3 liburing-dev');
  expect(error.message).toContain('no binary for linux-riscv64');
});

test('a binary that does not load is named with the reason', () => {
  const error = loadWhere((file) => file.includes('prebuilds'));
  expect(error.code).toBe('ERR_BLOCKMIRROR_ADDON_MISSING');
  expect(error.message).toMatch(/prebuilds.linux-riscv64.blockmirror\.node does not load: /);
  expect(error.message).toContain('npm run build:native');
  expect(error.cause).toBeDefined();
});
