/** `blockmirror doctor [PATH…]`: what this system and these devices offer to a mirror, and what to do about it. */
import { deviceFacts, probeIoUring } from '../../index';
import { type Check, type DoctorReport, type Verdict, worst } from '../doctor/checks';
import { checkPath } from '../doctor/path_checks';
import { judgeSystem, readSystem } from '../doctor/system_checks';
import { EXIT } from '../exit_codes';
import { shown, shownLine } from '../../base/shown';
import type { Colour } from '../colours';
import type { Outcome, Output } from '../output';
import { wrap } from '../words';

export async function doctorCommand(output: Output, paths: string[]): Promise<Outcome> {
  const system = judgeSystem(await readSystem(probeIoUring));
  const reports = [];
  for (const path of paths) reports.push(await checkPath(path, deviceFacts));
  const verdict = worst([...system.map((check) => check.verdict), ...reports.map((report) => report.verdict)]);
  const report: DoctorReport = { verdict, system, paths: reports };
  return {
    exitCode: verdict === 'problem' ? EXIT.attention : EXIT.done,
    document: report,
    text: doctorToText(report, output),
  };
}

const VERDICT_COLOUR: Record<Verdict, Colour> = { ok: 'green', warn: 'yellow', problem: 'red' };
const SUMMARY: Record<Verdict, string> = {
  ok: 'All is well.',
  warn: 'It works; what is marked warn could be better.',
  problem: 'What is marked problem has to be seen to first.',
};
const NAME_WIDTH = 15;

export function doctorToText(report: DoctorReport, output: Output): string {
  const sections = [
    ['This system', report.system] as const,
    ...report.paths.map(({ path, checks }) => [path, checks] as const),
  ].map(([title, checks]) =>
    [output.paint('bold', shown(title)), ...checks.map((check) => toLine(check, output))].join('\n'),
  );
  return [...sections, SUMMARY[report.verdict]].join('\n\n');
}

function toLine({ name, verdict, finding, remedy }: Check, output: Output): string {
  const indent = ' '.repeat(2 + 9 + NAME_WIDTH);
  const mark = output.paint(VERDICT_COLOUR[verdict], verdict.padEnd(9));
  const lines = [
    wrap(shownLine(finding), output.width, indent),
    ...(remedy === null ? [] : [wrap(shownLine(`→ ${remedy}`), output.width, indent)]),
  ];
  return `  ${mark}${name.padEnd(NAME_WIDTH)}${lines.join('\n').trimStart()}`;
}
