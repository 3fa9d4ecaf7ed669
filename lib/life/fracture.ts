/**
 * Fracture by the operator: slaves leave the mirror at one point in time, which each of them keeps. The engine holds writes,
 * flushes and records it (native/core/mirror/mirror.h); what it is called, and what became of each slave, is told here.
 */
import type { NativeSuperblock } from '../base/binding';
import type { MirrorFacts } from '../base/remedies';
import type { FoundElsewhere, FractureReport } from '../base/types';
import type { Engine } from '../io/engine';
import { failureOfSlave, isOut, shownImageState } from '../look/status';
import { chooseSlaves } from './resync';

export interface FractureContext {
  engine: Engine;
  log: string;
  superblock: NativeSuperblock;
  mirror: MirrorFacts;
  foundElsewhere: readonly FoundElsewhere[];
  names: readonly string[];
  /** Lets the device go of a slave that is out; false: it cannot be yet. null: they stay held. */
  letGo: ((index: number) => Promise<boolean>) | null;
}

/** @throws INVALID_OPTION for names that are no slaves; TOO_FEW_IN_SYNC, before anything is done */
export async function fractureSlaves(context: FractureContext): Promise<FractureReport> {
  const { engine, log, superblock, mirror, foundElsewhere, names, letGo } = context;
  const slaves = chooseSlaves(superblock, names) ?? [];
  const before = engine.snapshot();
  const leaving = slaves.filter((index) => !isOut(before.images[index]?.state ?? 'failed'));
  const { common, pauseMs } = await engine.command('fracture', { slaves });
  const { images } = engine.snapshot();
  const gone = new Set<number>();
  for (const index of letGo === null ? [] : slaves) {
    const isLeft = isOut(images[index]?.state ?? 'failed');
    if (isLeft && (await letGo?.(index)) === true) gone.add(index);
  }
  const dates = leaving.flatMap((index) => {
    const image = images[index];
    return image?.state === 'behind' && image.cause === 'operator-request' ? [image.fracturedAtMs] : [];
  });
  return {
    uuid: superblock.mirrorUuid,
    log,
    foundElsewhere: [...foundElsewhere],
    common,
    at: dates.length === 0 ? null : new Date(Math.max(...dates)).toISOString(),
    pauseMs,
    slaves: slaves.map((index) => {
      const { name, path } = mirror.images[index] ?? { name: '', path: '' };
      const image = images[index];
      const detached = gone.has(index);
      if (image === undefined) return { name, path, state: 'failed', error: null, detached };
      const left = leaving.includes(index) && image.state === 'behind' && image.cause === 'operator-request';
      return {
        name,
        path,
        state: shownImageState(image.state, image.bytesDiffered, engine.pendingWrites === 0),
        error: left || !isOut(image.state) ? null : failureOfSlave(mirror, index, path, image),
        detached,
      };
    }),
  };
}
