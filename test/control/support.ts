/** A place for control sockets: root's is below /run, where sockets of other tests stand beside ours; others get one of their own. */
import { useShortFolder } from '../support/temporary_folder';

export function useControlFolder(): void {
  if (process.geteuid?.() === 0) return;
  const folder = useShortFolder();
  let before: string | undefined;
  beforeEach(() => {
    before = process.env['XDG_RUNTIME_DIR'];
    process.env['XDG_RUNTIME_DIR'] = folder();
  });
  afterEach(() => {
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
    else process.env['XDG_RUNTIME_DIR'] = before;
  });
}
