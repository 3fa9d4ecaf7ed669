/** What changed from one status of a mirror to the next, as events. Pure. */
import type { ImageState, Phase, Problem, Status } from '../base/types';

export type StatusChange =
  | { event: 'phase'; from: Phase; to: Phase; stopped: Problem | null }
  | { event: 'holder'; process: number | null; processName: string | null; state: 'running' | 'frozen' | null }
  | { event: 'state'; image: string; from: ImageState; to: ImageState; error: Problem | null }
  | { event: 'generation'; from: number; to: number }
  | { event: 'recovered'; finishedAt: string; bytesCopied: number }
  | { event: 'verified'; finishedAt: string; result: 'identical' | 'repaired' | 'differs' };

/** In synchronized and consistent alike an image is in sync: it goes to and fro with every write. */
const shownAlike = (state: ImageState): ImageState => (state === 'consistent' ? 'synchronized' : state);

export function changesBetween(before: Status, after: Status): StatusChange[] {
  const changes: StatusChange[] = [];
  if (before.phase !== after.phase) {
    changes.push({ event: 'phase', from: before.phase, to: after.phase, stopped: after.stopped });
  }
  const { holder } = after;
  if (before.holder?.process !== holder?.process || before.holder?.state !== holder?.state) {
    const { process = null, processName = null, state = null } = holder ?? {};
    changes.push({ event: 'holder', process, processName, state });
  }
  for (const image of after.images) {
    const was = before.images.find(({ name }) => name === image.name)?.state;
    if (was === undefined || shownAlike(was) === shownAlike(image.state)) continue;
    changes.push({ event: 'state', image: image.name, from: was, to: image.state, error: image.error });
  }
  if (before.generation.counter !== after.generation.counter) {
    changes.push({ event: 'generation', from: before.generation.counter, to: after.generation.counter });
  }
  const { lastRecovery, lastVerify } = after;
  if (lastRecovery !== null && lastRecovery.finishedAt !== before.lastRecovery?.finishedAt) {
    const { finishedAt, bytesCopied } = lastRecovery;
    changes.push({ event: 'recovered', finishedAt, bytesCopied });
  }
  if (lastVerify !== null && lastVerify.finishedAt !== before.lastVerify?.finishedAt) {
    changes.push({ event: 'verified', finishedAt: lastVerify.finishedAt, result: lastVerify.result });
  }
  return changes;
}
