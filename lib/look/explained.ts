/** What is known of one block, in words. Pure. */
import type { ExplainedSlave, ExplainReport } from '../base/types';
import { shown } from '../base/shown';
import { eventInWords } from './history';
import { CAUSE_IN_WORDS } from './status';

export function explainReportToText(report: ExplainReport): string {
  const { uuid, log, position, block, events } = report;
  return [
    `mirror ${uuid} (log ${shown(log)})`,
    `byte ${position} is in the block of ${block.length} bytes from byte ${block.position}`,
    verdict(report),
    ...intentsInWords(report),
    ...report.slaves.map(slaveInWords),
    events.length === 0 ? 'the history tells of nothing that concerns it' : 'what the history tells of it:',
    ...events.map((event) => `  ${event.at} ${eventInWords(event)}`),
  ].join('\n');
}

function verdict({ uncertain, damaged, phase }: ExplainReport): string {
  if (phase === 'creating') return 'the mirror is not made yet: nothing is known of it';
  if (damaged) return 'UNCERTAIN: the log is damaged, so that any block may differ until everything was compared';
  if (uncertain) return 'UNCERTAIN: images may differ there, and the master is right';
  return 'certain: no image is known to differ there';
}

function intentsInWords({ covered, liveIntents, phase }: ExplainReport): string[] {
  if (!covered) return ['no live intent names it: no crash would have it copied'];
  const which = liveIntents.length === 0 ? '' : ` (record ${liveIntents.map(({ sequence }) => sequence).join(', ')})`;
  return [
    phase === 'held' || phase === 'stopped'
      ? `a live intent names it${which}: it was written not long ago, and a crash now would have it copied`
      : `a live intent names it${which}: it was being written when the mirror was left, and recovery copies it`,
  ];
}

function slaveInWords({ name, state, owes, fracture }: ExplainedSlave): string {
  const cause =
    fracture === null || !Object.hasOwn(CAUSE_IN_WORDS, fracture.cause) ? null : CAUSE_IN_WORDS[fracture.cause];
  const since = fracture === null || fracture.at === null ? '' : ` since ${fracture.at}`;
  const out = cause === null ? '' : `${since}, because ${cause}`;
  const debt =
    owes === null
      ? 'whether it owes this block is not known'
      : owes
        ? `it owes this block${out}`
        : cause === null
          ? 'it owes nothing there'
          : `it is out${out}, and misses nothing there`;
  return `${shown(name)} is ${state}: ${debt}`;
}
