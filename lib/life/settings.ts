/**
 * What an open mirror goes by, changed while it is in use. The engine makes it durable and carries it out
 * (native/core/session/session.h, set_policies); what it was, and what it is now, is told here.
 */
import { policiesOf, refuseUnreachable } from '../base/policies';
import type { Policies, Settings, SetReport } from '../base/types';
import type { Engine } from '../io/engine';
import type { RunningMirror } from './attach_slave';

/** As it holds for this opening. */
export function settingsNow(engine: Engine, stored: Policies, rejoin: Policies['rejoin']): Settings {
  const { minInSync, deviceTimeoutMs, coverage } = engine.snapshot();
  return { ...policiesOf(stored), rejoin, minInSync, deviceTimeoutMs, recoveryBudget: coverage.budget };
}

/**
 * What is known of the mirror elsewhere is brought up to date here.
 * @param rejoin of this opening
 * @throws INVALID_OPTION, before anything is changed
 */
export async function changeSettings(
  { engine, logPath, superblock }: RunningMirror,
  settings: Partial<Settings>,
  rejoin: Policies['rejoin'],
): Promise<SetReport> {
  refuseUnreachable(settings.minInSync, superblock.images.length);
  const before = settingsNow(engine, superblock, rejoin);
  const stored = policiesOf(await engine.command('setPolicies', settings));
  Object.assign(superblock, stored);
  const policies = settingsNow(engine, stored, settings.rejoin ?? rejoin);
  const { mirror } = engine.names;
  engine.names = {
    ...engine.names,
    minInSync: policies.minInSync,
    ...(mirror === undefined ? {} : { mirror: { ...mirror, ...stored } }),
  };
  return { uuid: superblock.mirrorUuid, log: logPath, before, policies };
}
