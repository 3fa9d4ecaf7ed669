/** A place for control sockets: root's is below /run, where sockets of other tests stand beside ours; others get one of their own. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { useTemporaryFolder } from '../support/temporary_folder';

export function useControlFolder(): void {
  if (process.geteuid?.() === 0) return;
  const folder = useTemporaryFolder();
  let before: string | undefined;
  beforeEach(() => {
    before = process.env['XDG_RUNTIME_DIR'];
    const base = join(folder(), 'run');
    mkdirSync(base, { mode: 0o700 });
    process.env['XDG_RUNTIME_DIR'] = base;
  });
  afterEach(() => {
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
    else process.env['XDG_RUNTIME_DIR'] = before;
  });
}
