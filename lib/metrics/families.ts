/**
 * FAMILIES: every metric, as a table that is data: the exposition runs it, docs/METRICS.md is compared with it.
 *
 * Invariants:
 *  - What is not known has no metric (I10): no latency from outside, no coverage of a damaged ring, no bytes found different where
 *    nothing was ever compared.
 *  - Labels are the mirror's UUID, names of images, and words of closed lists: at most 16 images, so that no mirror makes more
 *    than a few thousand series.
 */
import type { Holder, Phase, ImageState, ImageStatus, Status } from '../base/types';
import { countsForMinInSync } from '../look/status';
import { type MetricsFacts, isHeldElsewhere, isOpenHere } from './facts';
import { type Family, type Metric, seconds, single, stateSet } from './family';
import { COUNTER_FAMILIES } from './counters';
import { LATENCY_FAMILIES } from './latencies';

const PHASES: readonly Phase[] = ['creating', 'closed', 'unclean', 'held', 'recovering', 'running', 'stopped'];
const STATES: readonly ImageState[] = [
  'synchronized',
  'consistent',
  'assumed',
  'behind',
  'synchronizing',
  'inconsistent',
  'failed',
];
const DEBTS: readonly ImageStatus['debt'][] = ['none', 'map', 'everything'];

type OfStatus<M> = (status: Status) => M[];

const always =
  <M>(metrics: OfStatus<M>) =>
  ({ status }: MetricsFacts): M[] =>
    metrics(status);
const unlessHeldElsewhere =
  <M>(metrics: OfStatus<M>) =>
  (facts: MetricsFacts): M[] =>
    isHeldElsewhere(facts) ? [] : metrics(facts.status);
const openHere =
  <M>(metrics: OfStatus<M>) =>
  (facts: MetricsFacts): M[] =>
    isOpenHere(facts) ? metrics(facts.status) : [];

/** Of images that have one. */
const byImage =
  (value: (image: ImageStatus, status: Status) => number | null) =>
  (status: Status): Metric<number>[] =>
    status.images.flatMap((image) =>
      single(value(image, status)).map((metric) => ({ ...metric, labels: { image: image.name } })),
    );

const MIRROR: Family[] = [
  {
    name: 'blockmirror_build',
    type: 'info',
    help: 'The version of blockmirror that says this',
    labels: ['version'],
    knownFrom: 'log',
    metrics: ({ version }) => [{ labels: { version }, value: null }],
  },
  {
    name: 'blockmirror_phase',
    type: 'stateset',
    help: 'What the mirror is: open, closed, left unclean, as status says it',
    labels: ['blockmirror_phase'],
    knownFrom: 'log',
    metrics: always(({ phase }) => [stateSet(PHASES, phase)]),
  },
  {
    name: 'blockmirror_stopped',
    type: 'gauge',
    help: '1: the master or the log failed, and no write is acknowledged any more',
    labels: [],
    knownFrom: 'log, not in use',
    metrics: (facts) => single(isStopped(facts)),
  },
  {
    name: 'blockmirror_holder_frozen',
    type: 'gauge',
    help: '1: the process that holds the log was stopped by a signal, a debugger or a freezer, and answers nobody',
    labels: [],
    knownFrom: 'log',
    metrics: always(({ holder }) => single(isFrozen(holder))),
  },
  {
    name: 'blockmirror_opened_timestamp_seconds',
    type: 'gauge',
    help: 'When the mirror that is open was opened',
    labels: [],
    knownFrom: 'log',
    metrics: always(({ owner }) => single(seconds(owner?.startedAt))),
  },
  {
    name: 'blockmirror_size_bytes',
    type: 'gauge',
    help: 'Size of the mirror',
    labels: [],
    knownFrom: 'log',
    metrics: always(({ size }) => single(size)),
  },
  {
    name: 'blockmirror_generation',
    type: 'gauge',
    help: 'Generation of the mirror: it rises with every change of what is in sync',
    labels: [],
    knownFrom: 'log',
    metrics: always(({ generation }) => single(generation.counter)),
  },
  {
    name: 'blockmirror_images_in_sync',
    type: 'gauge',
    help: 'Images that count for minInSync, the master counted',
    labels: [],
    knownFrom: 'log',
    metrics: always(({ images }) => single(images.filter(countsForMinInSync).length)),
  },
  {
    name: 'blockmirror_min_in_sync',
    type: 'gauge',
    help: 'Images in sync that writes ask for, the master counted',
    labels: [],
    knownFrom: 'log, not in use',
    metrics: unlessHeldElsewhere(({ minInSync }) => single(minInSync)),
  },
];

const IMAGES: Family[] = [
  {
    name: 'blockmirror_image',
    type: 'info',
    help: 'The role of an image',
    labels: ['image', 'role'],
    knownFrom: 'log',
    metrics: always(({ images }) => images.map(({ name, role }) => ({ labels: { image: name, role }, value: null }))),
  },
  {
    name: 'blockmirror_image_state',
    type: 'stateset',
    help: 'State of an image, as status says it',
    labels: ['image', 'blockmirror_image_state'],
    knownFrom: 'log',
    metrics: always(({ images }) => images.map(({ name, state }) => stateSet(STATES, state, { image: name }))),
  },
  {
    name: 'blockmirror_image_changed_timestamp_seconds',
    type: 'gauge',
    help: 'When the state of an image last changed for good',
    labels: ['image'],
    knownFrom: 'log',
    metrics: always(byImage(({ changedAt }) => seconds(changedAt))),
  },
  {
    name: 'blockmirror_image_fractured_timestamp_seconds',
    type: 'gauge',
    help: 'When a slave that is out, or is being taken back, stopped receiving writes',
    labels: ['image'],
    knownFrom: 'log',
    metrics: always(byImage(({ fracture }) => seconds(fracture?.at))),
  },
  {
    name: 'blockmirror_image_debt',
    type: 'stateset',
    help: 'What a slave may miss: nothing, what its map in the log names, or everything',
    labels: ['image', 'blockmirror_image_debt'],
    knownFrom: 'log',
    metrics: always(({ images }) =>
      images.filter(({ role }) => role === 'slave').map(({ name, debt }) => stateSet(DEBTS, debt, { image: name })),
    ),
  },
  {
    name: 'blockmirror_image_debt_bytes',
    type: 'gauge',
    help: 'Bytes that the resync of a slave has to copy, at most',
    labels: ['image'],
    knownFrom: 'log',
    metrics: always(byImage(({ role, bytesOwed }) => (role === 'slave' ? bytesOwed : null))),
  },
  {
    name: 'blockmirror_image_differing_bytes',
    type: 'gauge',
    help: 'Bytes of a slave that a verify found different, and that were neither mended nor verified equal since',
    labels: ['image'],
    knownFrom: 'log',
    metrics: always(
      byImage(({ role, bytesDiffered }, { lastVerify }) =>
        role === 'slave' && (bytesDiffered > 0 || lastVerify !== null) ? bytesDiffered : null,
      ),
    ),
  },
];

const LOG: Family[] = [
  {
    name: 'blockmirror_coverage_bytes',
    type: 'gauge',
    help: 'Bytes that a crash now would have recovery copy',
    labels: [],
    knownFrom: 'log',
    metrics: (facts) => single(facts.damaged || facts.status.phase === 'creating' ? null : facts.status.coverage.bytes),
  },
  {
    name: 'blockmirror_recovery_budget_bytes',
    type: 'gauge',
    help: 'Upper bound of what the live intents of this opening cover',
    labels: [],
    knownFrom: 'holder',
    metrics: always(({ coverage }) => single(coverage.budget)),
  },
  {
    name: 'blockmirror_uncertain_bytes',
    type: 'gauge',
    help: 'Bytes in which the images may really differ: the debt of a recovery that has not ended',
    labels: [],
    knownFrom: 'log, not in use',
    metrics: (facts) =>
      facts.damaged || facts.status.phase === 'creating'
        ? []
        : unlessHeldElsewhere(({ coverage }) => single(coverage.uncertainBytes))(facts),
  },
  {
    name: 'blockmirror_live_intents',
    type: 'gauge',
    help: 'Regions of 1 MiB with blocks in live intents',
    labels: [],
    knownFrom: 'holder',
    metrics: openHere(({ coverage }) => single(coverage.regions)),
  },
  {
    name: 'blockmirror_log_records',
    type: 'gauge',
    help: 'Records that the ring of the log has room for',
    labels: [],
    knownFrom: 'log',
    metrics: always(({ logUse }) => single(logUse.recordCount)),
  },
  {
    name: 'blockmirror_log_live_records',
    type: 'gauge',
    help: 'Records of the ring that still hold live intents',
    labels: [],
    knownFrom: 'log',
    metrics: (facts) => single(facts.damaged ? null : facts.status.logUse.recordsLive),
  },
];

const WORK: Family[] = [
  {
    name: 'blockmirror_requests_pending',
    type: 'gauge',
    help: 'Requests given to the mirror that have not settled',
    labels: [],
    knownFrom: 'holder',
    metrics: openHere(({ pendingRequests }) => single(pendingRequests)),
  },
  {
    name: 'blockmirror_requests_abandoned',
    type: 'gauge',
    help: 'Requests that their signal abandoned while a device hangs, and that have not ended',
    labels: [],
    knownFrom: 'holder',
    metrics: openHere(({ abandonedRequests }) => single(abandonedRequests)),
  },
  {
    name: 'blockmirror_device_stalled',
    type: 'gauge',
    help: '1: a request to the device of an image, or of the log, is past its deadline',
    labels: ['device'],
    knownFrom: 'holder',
    metrics: always(({ stalled, images }) =>
      stalled === null
        ? []
        : ['log', ...images.map(({ name }) => name)].map((device) => ({
            labels: { device },
            value: stalled.some((stall) => stall.device === device) ? 1 : 0,
          })),
    ),
  },
  {
    name: 'blockmirror_device_stalled_timestamp_seconds',
    type: 'gauge',
    help: 'When the oldest request was asked that is past its deadline',
    labels: ['device'],
    knownFrom: 'holder',
    metrics: always(({ stalled }) =>
      (stalled ?? []).map(({ device, since }) => ({ labels: { device }, value: Date.parse(since) / 1000 })),
    ),
  },
  {
    name: 'blockmirror_resync_active',
    type: 'gauge',
    help: '1: a resync is under way that has something to copy',
    labels: [],
    knownFrom: 'holder',
    metrics: ({ resync }) => single(resync === null ? null : resync.active),
  },
  {
    name: 'blockmirror_resync_left_bytes',
    type: 'gauge',
    help: 'Bytes that the resync under way has to copy yet, over all slaves',
    labels: [],
    knownFrom: 'holder',
    metrics: ({ resync }) => single(resync === null ? null : resync.bytesLeft),
  },
  {
    name: 'blockmirror_resync_bytes_per_second',
    type: 'gauge',
    help: 'Rate of the resync under way over the last ten seconds',
    labels: [],
    knownFrom: 'holder',
    metrics: ({ resync }) => single(resync === null ? null : resync.bytesPerSecond),
  },
  {
    name: 'blockmirror_resync_copied_bytes',
    type: 'counter',
    help: 'Bytes that the resyncs of this opening have copied',
    labels: [],
    knownFrom: 'holder',
    metrics: ({ resync }) => single(resync === null ? null : resync.bytesCopied),
  },
];

const HISTORY: Family[] = [
  {
    name: 'blockmirror_last_verify_timestamp_seconds',
    type: 'gauge',
    help: 'When the last verify ended that went over the whole mirror; no sample: there was none',
    labels: [],
    knownFrom: 'log',
    metrics: always(({ lastVerify }) => single(seconds(lastVerify?.finishedAt))),
  },
  {
    name: 'blockmirror_last_verify_differing_bytes',
    type: 'gauge',
    help: 'Bytes that the last verify found different, over all slaves, those counted that it repaired',
    labels: [],
    knownFrom: 'log',
    metrics: always(({ lastVerify }) => single(lastVerify?.bytesDiffered ?? null)),
  },
  {
    name: 'blockmirror_last_recovery_timestamp_seconds',
    type: 'gauge',
    help: 'When the last recovery after a crash ended; no sample: there was none',
    labels: [],
    knownFrom: 'log',
    metrics: always(({ lastRecovery }) => single(seconds(lastRecovery?.finishedAt))),
  },
  {
    name: 'blockmirror_last_recovery_duration_seconds',
    type: 'gauge',
    help: 'How long the last recovery took',
    labels: [],
    knownFrom: 'log',
    metrics: always(({ lastRecovery }) => single(lastRecovery === null ? null : lastRecovery.durationMs / 1000)),
  },
  {
    name: 'blockmirror_last_recovery_copied_bytes',
    type: 'gauge',
    help: 'Bytes that the last recovery copied',
    labels: [],
    knownFrom: 'log',
    metrics: always(({ lastRecovery }) => single(lastRecovery?.bytesCopied ?? null)),
  },
];

/** null: not known, or nobody holds the log. */
function isFrozen(holder: Holder | null): boolean | null {
  return holder === null || holder.state === null ? null : holder.state === 'frozen';
}

/** From outside a mirror that was left is known to have stopped only when it could note it. */
function isStopped(facts: MetricsFacts): boolean | null {
  const { phase, stopped } = facts.status;
  if (stopped !== null || phase === 'stopped') return true;
  return isOpenHere(facts) || phase === 'closed' || phase === 'creating' ? false : null;
}

/** In the order in which they are exposed. */
export const FAMILIES: readonly Family[] = [
  ...MIRROR,
  ...IMAGES,
  ...LOG,
  ...WORK,
  ...LATENCY_FAMILIES,
  ...COUNTER_FAMILIES,
  ...HISTORY,
];
