/** `blockmirror explain LOG POSITION`: what log, maps and history say of one block. Writes nothing. */
import { explain, explainReportToText, type ExplainReport } from '../../index';
import { eventInWords } from '../../look/history';
import { EXIT } from '../exit_codes';
import type { Outcome, Output } from '../output';
import { wrap } from '../words';
import { eventLines } from './event_lines';
import { type ImagePaths, imagesOf, type TrustFolders } from './shared';

export async function explainCommand(
  output: Output,
  log: string,
  position: number,
  options: ImagePaths & TrustFolders,
): Promise<Outcome> {
  const report = await explain(log, position, { ...imagesOf(options), trustFolders: options.trustFolders === true });
  return {
    exitCode: report.uncertain ? EXIT.attention : EXIT.done,
    document: report,
    text: explainedToText(report, output),
  };
}

export function explainedToText(report: ExplainReport, output: Output): string {
  const { events, ...rest } = report;
  const words = explainReportToText({ ...rest, events: [] }).split('\n');
  const told = eventLines(
    events.map((event) => ({ at: event.at, words: eventInWords(event) })),
    output.lineWidth,
  );
  const lines = (told === '' ? words : words.slice(0, -1)).map((line) => wrap(line, output.lineWidth));
  return (told === '' ? lines : [...lines, '', 'What the history tells of it:', told]).join('\n');
}
