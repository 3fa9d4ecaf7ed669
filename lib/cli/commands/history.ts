/** `blockmirror history LOG`: what happened to a mirror, and when. Writes nothing, also while it is in use. */
import { history, type HistoryReport } from '../../index';
import { shown } from '../../base/shown';
import { eventInWords, historyNotes } from '../../look/history';
import { EXIT } from '../exit_codes';
import type { Outcome, Output } from '../output';
import { eventLines } from './event_lines';
import { facts, wrap } from '../words';

export interface HistoryChoiceOptions {
  image?: string;
  since?: string;
}

export async function historyCommand(output: Output, log: string, options: HistoryChoiceOptions): Promise<Outcome> {
  const { image, since } = options;
  const report = await history(log, {
    ...(image === undefined ? {} : { image }),
    ...(since === undefined ? {} : { since }),
  });
  return { exitCode: EXIT.done, document: report, text: historyToText(report, output) };
}

export function historyToText(report: HistoryReport, output: Output): string {
  const head = facts(
    [
      ['Mirror', report.uuid],
      ['Log', shown(report.log)],
    ],
    output.lineWidth,
  );
  const events = eventLines(
    report.events.map((event) => ({ at: event.at, words: eventInWords(event) })),
    output.lineWidth,
  );
  const notes = historyNotes(report).map((note) => wrap(`${note}.`, output.lineWidth));
  return [head, ...(events === '' ? [] : ['', events]), ...(notes.length === 0 ? [] : ['', ...notes])].join('\n');
}
