/**
 * `status --check`: one verdict for monitoring, with exit codes of its own. The decision is one table. Pure.
 *
 *   0  every image is synchronized or consistent
 *   1  it works, and somebody should look: assumed, synchronizing, fractured by the operator, last verify too old
 *   2  a copy is missing or the mirror does not work: see the rows
 *   3  it cannot be told
 */
import type { ImageStatus, Inspection } from '../index';
import { shown, shownLine } from '../base/shown';

export type CheckCode = 0 | 1 | 2 | 3;

export interface CheckFacts {
  inspection: Inspection;
  now: number;
  /** Longest age of the last verify, in ms; null: not asked. */
  maximumAge: number | null;
  /** Whether we may open every device: a refusal for lack of permission says nothing about the image. */
  privileged: boolean;
}

export interface CheckVerdict {
  code: CheckCode;
  reasons: string[];
}

interface Row {
  code: 1 | 2 | 3;
  /** The reasons of that row that hold. */
  reasons: (facts: CheckFacts) => string[];
}

const inState =
  (state: ImageStatus['state'], words: string, when: (image: ImageStatus) => boolean = () => true) =>
  ({ inspection }: CheckFacts): string[] =>
    inspection.status.images
      .filter((image) => image.state === state && when(image))
      .map(({ name }) => `${shown(name)} ${words}`);

const given = (condition: boolean, reason: string): string[] => (condition ? [reason] : []);

const isUnreadable = (image: ImageStatus): boolean => image.error?.code === 'ERR_BLOCKMIRROR_OPEN_FAILED';
/** What it returned, or the code where no errno is known; and since when. */
function causeOf({ error, changedAt }: ImageStatus): string {
  const returned = error?.message.match(/\b(?:returned |\()(E[A-Z0-9]+)\b/)?.[1];
  const cause = returned ?? error?.code.replace('ERR_BLOCKMIRROR_', '');
  const facts = [cause, changedAt === null ? undefined : `since ${changedAt}`].filter((fact) => fact !== undefined);
  return facts.length === 0 ? '' : ` (${facts.join(', ')})`;
}

const isHeld = ({ inspection }: CheckFacts): boolean =>
  inspection.status.holder !== null || ['held', 'stopped'].includes(inspection.status.phase);

/** The worst row that holds decides, and all reasons are told. */
export const CHECK_TABLE: readonly Row[] = [
  {
    code: 2,
    reasons: ({ inspection: { status } }) =>
      given(
        status.stopped !== null,
        `the mirror stopped: the ${status.stopped?.code === 'ERR_BLOCKMIRROR_LOG_FAILED' ? 'log' : 'master'} failed`,
      ),
  },
  {
    code: 2,
    reasons: ({ inspection: { status } }) =>
      (status.stalled ?? [])
        .filter(
          ({ device }) => device === 'log' || device === status.images.find(({ role }) => role === 'master')?.name,
        )
        .map(({ device, since }) => `${shown(device)} does not answer since ${since}`),
  },
  {
    code: 1,
    reasons: ({ inspection: { status } }) => given(status.phase === 'recovering', 'it is not recovered yet'),
  },
  { code: 2, reasons: ({ inspection: { status } }) => given(status.phase === 'creating', 'create did not finish') },
  {
    code: 2,
    reasons: ({ inspection: { status } }) => given(status.phase === 'unclean', 'not closed cleanly and not in use'),
  },
  { code: 2, reasons: ({ inspection }) => given(inspection.damaged, 'the log is damaged') },
  {
    code: 2,
    reasons: ({ inspection: { status } }) =>
      given(
        status.holder?.state === 'frozen',
        `its holder (process ${status.holder?.process}) is frozen and does not answer`,
      ),
  },
  {
    code: 2,
    reasons: ({ inspection: { status }, privileged }) =>
      status.images
        .filter((image) => image.state === 'failed' && (privileged || !isUnreadable(image)))
        .map((image) => `${shown(image.name)} failed${causeOf(image)}`),
  },
  { code: 2, reasons: inState('inconsistent', 'is inconsistent', (image) => image.bytesDiffered === 0) },
  { code: 2, reasons: inState('behind', 'is behind by a fault', (image) => image.error !== null) },
  {
    code: 2,
    reasons: ({ inspection: { status } }) =>
      status.images
        .filter(({ state, bytesDiffered }) => bytesDiffered > 0 && state !== 'failed')
        .map(({ name }) => `${shown(name)} differs, as a verify found`),
  },
  {
    code: 2,
    reasons: (facts) => {
      const { attachable, obstacles, status } = facts.inspection;
      const told = status.images.some(({ state, error }) => state === 'failed' && error !== null);
      return given(
        !attachable && !isHeld(facts) && obstacles.length > 0 && !told,
        `it cannot be opened: ${obstacles[0]?.code}`,
      );
    },
  },
  {
    code: 3,
    reasons: (facts) =>
      inState('failed', 'cannot be opened by this user', (image) => !facts.privileged && isUnreadable(image))(facts),
  },
  { code: 1, reasons: inState('assumed', 'is assumed, never compared') },
  { code: 1, reasons: inState('synchronizing', 'is synchronizing') },
  { code: 1, reasons: inState('behind', 'was fractured by the operator', (image) => image.error === null) },
  {
    code: 1,
    reasons: ({ inspection }) =>
      inspection.lostCopies.map(
        ({ where, copy, state }) =>
          `copy ${copy} of the ${where === 'log' ? 'superblock' : `label of ${shown(where)}`} is ${state}`,
      ),
  },
  {
    code: 1,
    reasons: ({ inspection: { status }, now, maximumAge }) => {
      if (maximumAge === null) return [];
      if (status.lastVerify === null) return ['never verified'];
      return given(
        now - Date.parse(status.lastVerify.finishedAt) > maximumAge,
        `last verified ${status.lastVerify.finishedAt}`,
      );
    },
  },
];

const SEVERITY: readonly CheckCode[] = [0, 1, 3, 2];

export function judgeCheck(facts: CheckFacts): CheckVerdict {
  let code: CheckCode = 0;
  const reasons: string[] = [];
  for (const row of CHECK_TABLE) {
    const held = row.reasons(facts);
    reasons.push(...held);
    if (held.length > 0 && SEVERITY.indexOf(row.code) > SEVERITY.indexOf(code)) code = row.code;
  }
  return { code, reasons };
}

const WORDS = ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'] as const;

/** One line, as monitoring shows it. */
export function checkToText(verdict: CheckVerdict, about: string): string {
  const { code, reasons } = verdict;
  const found = reasons.length === 0 ? 'all images are in sync' : reasons.join('; ');
  return shownLine(`${WORDS[code]} ${about}: ${found}`);
}

/** Errors of a look that say that the mirror is broken, and not only that nothing can be said. */
const BROKEN: ReadonlySet<string> = new Set(['ERR_BLOCKMIRROR_LOG_DAMAGED']);

export function checkOfError(code: string, message: string): CheckVerdict {
  return { code: BROKEN.has(code) ? 2 : 3, reasons: [message] };
}
