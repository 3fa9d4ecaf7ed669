/** What only the native part can tell; with the library's errors instead of its codes. */
import type { DeviceFacts } from '../../index';
import { errorOfStatus } from '../../errors';
import { loadBinding } from '../../load';

/** 0, or the errno with which io_uring is refused here. @throws ADDON_MISSING */
export function probeIoUring(): number {
  return loadBinding().probeIoUring();
}

/** Opens read-only, not exclusive, asks, closes. @throws why the device or file cannot be used */
export function deviceFacts(path: string): DeviceFacts {
  const { codes, deviceFacts: ask } = loadBinding();
  const facts = ask(path);
  if ('code' in facts) throw errorOfStatus(codes, facts, undefined, { path });
  return facts;
}
