/**
 * The look at a mirror that assess() is, in steps: the ring is read some MiB at a time, so that whoever waits is told how
 * far it is where it takes long, and can leave in between.
 */
import type { NativeAssessment } from '../base/binding';
import type { Engine } from '../io/engine';
import type { ProgressListener } from '../base/types';

/** Of one step. A ring of the usual size is read in one. */
const STEP = 64 * 1024 * 1024;

/** @param checkpoint called between steps; throws to stop */
export async function assess(
  engine: Engine,
  checkpoint: () => void,
  onProgress: ProgressListener | undefined,
): Promise<NativeAssessment> {
  for (;;) {
    checkpoint();
    const { done, bytesDone, bytesTotal } = await engine.command('scanRing', { bytes: STEP });
    if (done) return engine.command('assess', {});
    onProgress?.({ step: 'scan', bytesDone, bytesTotal });
  }
}
