/** The public API of blockmirror: what is exported here, and nothing else, is kept stable. */
import { errorOfStatus } from './errors';
import { loadBinding } from './load';
import { checkPath } from './options';
import type { DeviceFacts } from './types';

export { ERRORS, BlockmirrorError, systemErrorName } from './errors';
export type { ErrorCode, ErrorName, SystemError } from './errors';
export { identify } from './identify';
export { inspect } from './inspect';
export { Mirror } from './mirror';
export type { LongWorkOptions, MirrorEvents } from './mirror';
export { recover, verify } from './offline';
export { recoveryReportToText, verifyReportToText } from './report';
export { findSignatures } from './signatures';
export { findUses } from './uses';
export { formatSize, parseSize } from './size';
export type * from './types';

/** What a device or file offers. Opens it read-only for a moment. @throws BlockmirrorError when it cannot be opened */
export function deviceFacts(path: string): DeviceFacts {
  const binding = loadBinding();
  const facts = binding.deviceFacts(checkPath(path, 'path'));
  if ('code' in facts) throw errorOfStatus(binding.codes, facts, undefined, { path });
  return facts;
}

/** 0, or the errno with which the kernel refuses io_uring here. */
export function probeIoUring(): number {
  return loadBinding().probeIoUring();
}

/** Engines of this process that have not ended; zero once every mirror was closed. */
export function openEngines(): number {
  return loadBinding().openEngines();
}
