/** The public API of blockmirror: what is exported here, and nothing else, is kept stable. */
import { errorOfStatus } from './base/errors';
import { loadBinding } from './base/load';
import { checkPath } from './base/options';
import type { DeviceFacts } from './base/types';

export { MirrorClient } from './control/client';
export { connect } from './control/connect';
export { ERRORS, BlockmirrorError, systemErrorName } from './base/errors';
export type { ErrorCode, ErrorName, SystemError } from './base/errors';
export { identify } from './look/identify';
export { explain } from './life/explain_block';
export { history } from './life/history';
export { inspect } from './life/inspect';
export { Mirror } from './mirror';
export type { LongWorkOptions, MirrorEvents } from './base/mirror_events';
export { fracture, recover, resync, set, verify } from './offline';
export {
  fractureReportToText,
  recoveryReportToText,
  resyncReportToText,
  setReportToText,
  verifyFromReportToText,
  verifyReportToText,
} from './look/report';
export { METRICS_CONTENT_TYPES, metricsFormatOf } from './metrics/format';
export { explainReportToText } from './look/explained';
export { historyReportToText } from './look/history';
export { findSignatures } from './look/signatures';
export { findUses } from './system/uses';
export { formatDuration, parseDuration } from './base/duration';
export { formatSize, parseSize } from './base/size';
export type * from './base/control';
export type * from './base/types';

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
