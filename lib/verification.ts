/** Comparing the slaves with the master, all of it. Writes nothing but the word that assumed slaves are proven. */
import type { NativeAssessment, NativeSuperblock } from './binding';
import { type LongWork, addTo, forEachBatch, progressOf, sum } from './recovery';
import { shownState } from './status';
import type { VerifyReport } from './types';

/** Differences named one by one in a report; all are counted. */
const DIFFERENCES_LIMIT = 1000;

export interface VerificationContext extends LongWork {
  log: string;
  superblock: NativeSuperblock;
  paths: readonly string[];
  assessment: NativeAssessment;
  /** Not clean and not recovered yet: differences inside the live intents are to be expected. */
  recovering: boolean;
}

export async function runVerification(context: VerificationContext): Promise<VerifyReport> {
  const started = performance.now();
  const { engine, superblock, recovering } = context;
  const whole = [{ position: 0, length: superblock.size }];
  const bytesDiffered: number[] = superblock.images.slice(1).map(() => 0);
  const differences: VerifyReport['differences'] = [];
  const advance = progressOf(context, 'compare', whole);
  await forEachBatch(context, whole, async ({ extents, bytes }) => {
    const result = await engine.command('compare', { extents });
    addTo(bytesDiffered, result.bytesDiffered);
    for (const { slave, position, length } of result.differences) {
      if (differences.length >= DIFFERENCES_LIMIT) break;
      differences.push({ slave: superblock.images[slave + 1]?.name ?? `slave${slave + 1}`, position, length });
    }
    advance(bytes);
  });
  const identical = sum(bytesDiffered) === 0;
  const states = engine.snapshot().images.map((image) => image.state);
  if (identical && !recovering && states.includes('assumed')) await engine.command('markVerified', {});
  const { images } = engine.snapshot();
  differences.sort((one, other) => one.position - other.position);
  return {
    uuid: superblock.mirrorUuid,
    log: context.log,
    identical,
    clean: !recovering,
    bytesCompared: superblock.size,
    slaves: superblock.images.slice(1).map((image, index) => ({
      name: image.name,
      path: context.paths[index + 1] || image.path,
      state: shownState(images[index + 1]?.state ?? image.state, identical && !recovering),
      bytesDiffered: bytesDiffered[index] ?? 0,
    })),
    differences,
    extents: recovering ? context.assessment.extents : [],
    durationMs: Math.round(performance.now() - started),
  };
}
