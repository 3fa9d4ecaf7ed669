/**
 * `blockmirror status LOG --metrics`: what monitoring takes, in the format that node_exporter's textfile collector reads. Writes
 * nothing but the file that --metrics-file names.
 */
import { inspect } from '../../index';
import { loadBinding } from '../../base/load';
import { metricsToText } from '../../metrics/exposition';
import { factsOfLook } from '../../metrics/outside';
import { shown } from '../../base/shown';
import { EXIT } from '../exit_codes';
import { UsageError } from '../failure';
import { writeMetricsFile } from '../metrics_file';
import type { Outcome, Output } from '../output';
import { imagesOf, type ImagePaths, type TrustFolders } from './shared';

interface MetricsArguments extends ImagePaths, TrustFolders {
  metricsFile?: string;
}

/** What is wrong with the mirror stands in the metrics: the exit code says whether they are true. */
export async function metricsCommand(output: Output, log: string, options: MetricsArguments): Promise<Outcome> {
  if (output.json) {
    throw new UsageError(
      'Metrics are no JSON',
      'Leave --json out, or take the status: `blockmirror status LOG --json`',
    );
  }
  const inspection = await inspect(log, { ...imagesOf(options), trustFolders: options.trustFolders === true });
  const text = metricsToText([factsOfLook(inspection, loadBinding().version)], 'prometheus');
  const { metricsFile } = options;
  if (metricsFile === undefined) return { exitCode: EXIT.done, document: null, text: text.trimEnd() };
  await writeMetricsFile(metricsFile, text);
  return { exitCode: EXIT.done, document: null, text: `metrics of mirror ${shown(log)}: ${shown(metricsFile)}` };
}
