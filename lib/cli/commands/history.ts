/** `blockmirror history LOG`: what happened to a mirror, and when. Writes nothing, also while it is in use. */
import { history, type HistoryChoice, type HistoryReport } from '../../index';
import { isBlockmirrorError } from '../../base/errors';
import { shown } from '../../base/shown';
import { eventInWords, historyNotes } from '../../look/history';
import { EXIT } from '../exit_codes';
import { reach } from '../living';
import type { Outcome, Output } from '../output';
import { eventLines } from './event_lines';
import { facts, wrap } from '../words';

export interface HistoryChoiceOptions {
  image?: string;
  since?: string;
}

export async function historyCommand(output: Output, log: string, options: HistoryChoiceOptions): Promise<Outcome> {
  const { image, since } = options;
  const choice = { ...(image === undefined ? {} : { image }), ...(since === undefined ? {} : { since }) };
  const report = (await livingHistory(log, choice)) ?? (await history(log, choice));
  return { exitCode: EXIT.done, document: report, text: historyToText(report, output) };
}

/** Events are written behind what they tell of: its process knows the last ones too, and whether any were lost. null: none tells. */
async function livingHistory(log: string, choice: HistoryChoice): Promise<HistoryReport | null> {
  const found = await reach(log, {}).catch((error: unknown) => {
    if (isBlockmirrorError(error)) return error;
    throw error;
  });
  if (found instanceof Error) return null;
  try {
    return await found.history(choice);
  } catch (error) {
    if (isBlockmirrorError(error, 'CLOSED') || isBlockmirrorError(error, 'NO_ANSWER')) return null;
    throw error;
  } finally {
    found.close();
  }
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
