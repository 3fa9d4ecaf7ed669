/** Recovery, verification, resync and policies of a mirror that nobody has open: what the command line does. */
import { refuseWithoutConsent } from './life/verify_from';
import { type Attached, attach, createUnfinished, holdLog, letGo, newEngine } from './life/attach';
import type { NativeSuperblock } from './base/binding';
import { attachFailed } from './life/failed_slaves';
import { elsewhereOf } from './life/find_images';
import { foreignLog, workToText } from './life/foreign_log';
import { look } from './life/inspect';
import { loadBinding } from './base/load';
import { Mirror } from './mirror';
import {
  type CheckedRecover,
  checkFracture,
  checkPath,
  checkRecover,
  checkResync,
  checkSet,
  checkVerify,
} from './base/options';
import { policiesOf, refuseUnreachable } from './base/policies';
import { cleanReport, dryRunReport } from './life/recovery';
import { refuseLivingOwner } from './look/owner';
import { isAfterCrash } from './look/status';
import type {
  FractureOptions,
  FractureReport,
  RecoverOptions,
  RecoveryReport,
  ResyncOptions,
  ResyncReport,
  SetOptions,
  SetReport,
  Settings,
  VerifyFromOptions,
  VerifyFromReport,
  VerifyOptions,
  VerifyReport,
} from './base/types';

/** A mirror that was closed cleanly is not touched, unless it does without a slave from now on: that is made known to its log. */
export async function recover(log: string, options: RecoverOptions = {}): Promise<RecoveryReport> {
  checkPath(log, 'log');
  const checked = checkRecover(options);
  if (checked.dryRun) return dryRun(log, checked);
  const attached = await attach(log, { ...checked, requireNamed: true });
  const owes = attached.superblock.images.some(isAfterCrash);
  if (attached.assessment.clean && attached.leftOut.length === 0 && !owes) {
    const { superblock, assessment, images } = attached;
    await letGo(attached.engine);
    const foundElsewhere = elsewhereOf(images);
    return cleanReport({ log, superblock, assessment, foundElsewhere, paths: images.map((image) => image.path) });
  }
  const mirror = await opened(attached, checked);
  const { compare, readBack, onProgress, signal } = checked;
  try {
    return await mirror.recover({ compare, readBack, onProgress, signal });
  } finally {
    await mirror.close();
  }
}

/** Its control socket, where it has one, tells events too. */
async function opened(attached: Attached, { control }: { control: boolean }): Promise<Mirror> {
  const mirror = await Mirror.fromAttached(attached, {
    recoveryBudget: loadBinding().limits.defaultRecoveryBudget,
    control,
  });
  if (control) mirror.beginWatching(false);
  return mirror;
}

async function dryRun(log: string, checked: CheckedRecover): Promise<RecoveryReport> {
  // `held` is then what is seen to be open. A log that may be open on another host is refused, as recover() refuses it.
  const seen = await look(log, checked.images, { ...checked, takeOver: true });
  if (seen.superblock.lifecycle === 'creating') throw createUnfinished(log, seen.superblock, seen.word);
  const { superblock, assessment, images, held, word } = seen;
  if (images.some(({ distrusted }) => distrusted !== undefined)) {
    const all = images.map((image) => image.distrusted ?? image);
    const work = workToText(assessment, superblock);
    throw await foreignLog(superblock, { log, word, images: all, trustFolders: checked.trustFolders, work });
  }
  // A plan that recover() would not begin is none: what it refuses is refused here, by the same checks. They write nothing.
  if (!held) await refuseLivingOwner(superblock, log, checked);
  if (!held && seen.obstacles.length > 0) await letGo((await attach(log, { ...checked, requireNamed: true })).engine);
  const paths = images.map((image) => image.path);
  return dryRunReport({ log, superblock, assessment, held, paths, foundElsewhere: elsewhereOf(images) });
}

/**
 * Of a mirror that was not closed cleanly it says what differs now; recovery is left to recover(), unless it is to repair: then
 * that comes first.
 */
export async function verify(log: string, options?: VerifyOptions): Promise<VerifyReport>;
/** Of one extent what a slave holds becomes the content of the mirror. One that was not closed cleanly is recovered first. */
export async function verify(log: string, options: VerifyFromOptions): Promise<VerifyFromReport>;
export async function verify(
  log: string,
  options: VerifyOptions | VerifyFromOptions = {},
): Promise<VerifyReport | VerifyFromReport> {
  checkPath(log, 'log');
  const { all, repair, rate, position, source, ...checked } = checkVerify(options);
  if (source !== null) refuseWithoutConsent(log, source);
  const attached = await attach(log, { ...checked, requireNamed: true, ...(all ? { attachFailed } : {}) });
  const mirror = await opened(attached, checked);
  try {
    const { onProgress, signal } = checked;
    const work = { ...(onProgress === undefined ? {} : { onProgress }), ...(signal === undefined ? {} : { signal }) };
    if (repair || source !== null) await mirror.recover({ compare: false, ...work });
    if (source !== null) return await mirror.verify({ ...source, ...work });
    return await mirror.verify({ all, repair, position, ...(rate === null ? {} : { rate }), ...work });
  } finally {
    await mirror.close();
  }
}

/** Takes slaves back that are out, and copies what they miss. A mirror that was not closed cleanly is recovered first. */
export async function resync(log: string, options: ResyncOptions = {}): Promise<ResyncReport> {
  checkPath(log, 'log');
  const { slaves, rate, full, compare, ...checked } = checkResync(options);
  const attached = await attach(log, { ...checked, requireNamed: true, attachFailed });
  const mirror = await opened(attached, checked);
  const { onProgress, signal } = checked;
  const work = { ...(onProgress === undefined ? {} : { onProgress }), ...(signal === undefined ? {} : { signal }) };
  try {
    await mirror.recover({ compare: false, ...work });
    return await mirror.resync(slaves, { full, compare, ...(rate === null ? {} : { rate }), ...work });
  } finally {
    await mirror.close();
  }
}

/**
 * Takes slaves out of a mirror that nobody has open: each keeps it as it is now. One that was not closed cleanly is recovered
 * first.
 */
export async function fracture(log: string, options: FractureOptions): Promise<FractureReport> {
  checkPath(log, 'log');
  const { slaves, ...checked } = checkFracture(options);
  const attached = await attach(log, { ...checked, requireNamed: true });
  const mirror = await opened(attached, checked);
  const { onProgress, signal } = checked;
  const work = { ...(onProgress === undefined ? {} : { onProgress }), ...(signal === undefined ? {} : { signal }) };
  try {
    await mirror.recover({ compare: false, ...work });
    return await mirror.fracture(slaves, { detach: true });
  } finally {
    await mirror.close();
  }
}

/**
 * Changes policies of a mirror, durably. Its images need not be there, and one that was not closed cleanly is not recovered.
 * @throws INVALID_OPTION, and BUSY where somebody has it open
 */
export async function set(log: string, options: SetOptions): Promise<SetReport> {
  checkPath(log, 'log');
  const { settings, ...how } = checkSet(options, loadBinding().limits);
  const engine = newEngine('auto');
  try {
    const { superblock } = await holdLog(engine, log, how);
    refuseUnreachable(settings.minInSync, superblock.images.length);
    const after = await engine.command('setPolicies', settings);
    const told = (of: NativeSuperblock): Settings => ({ ...policiesOf(of), recoveryBudget: null });
    return { uuid: after.mirrorUuid, log, before: told(superblock), policies: told(after) };
  } finally {
    await letGo(engine);
  }
}
