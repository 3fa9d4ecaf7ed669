/** Readers of metrics that others wrote, where this machine has them: Debian's prometheus and python3-prometheus-client. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const works = (tool: string, ...args: string[]): boolean => spawnSync(tool, args).status === 0;

export const noPromtool = works('promtool', '--version') ? null : "needs promtool (Debian's package prometheus)";
const PYTHON = '/usr/bin/python3';
const PARSER = 'from prometheus_client.openmetrics.parser import text_string_to_metric_families as read';
export const noReferenceParser = works(PYTHON, '-c', PARSER)
  ? null
  : "needs OpenMetrics' reference parser (Debian's package python3-prometheus-client)";

/** What it complains of; '' when it is content. */
export function promtool(args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return status === 0 ? '' : `promtool ended with ${status}: ${stdout}${stderr}`;
}

/** Of the parser that Prometheus reads OpenMetrics with: it takes them as history, so that each sample needs a time. */
export function promtoolOpenMetrics(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'blockmirror-metrics-'));
  try {
    const dated = text.replace(/^([^#\n].*)$/gm, '$1 1700000000');
    writeFileSync(join(folder, 'metrics.txt'), dated);
    const args = ['tsdb', 'create-blocks-from', 'openmetrics', join(folder, 'metrics.txt'), join(folder, 'data')];
    return promtool(args);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function referenceParser(text: string): string {
  const program = `${PARSER}\nimport sys\nfor family in read(sys.stdin.read()): pass`;
  const { status, stderr } = spawnSync(PYTHON, ['-c', program], { input: text, encoding: 'utf8' });
  return status === 0 ? '' : stderr;
}
