/**
 * `blockmirror status LOG --metrics`: what monitoring takes, in the format that node_exporter's textfile collector reads. Writes
 * nothing but the file that --metrics-file names.
 */
import { inspect, type Inspection } from '../../index';
import { isBlockmirrorError } from '../../base/errors';
import { loadBinding } from '../../base/load';
import { metricsToText } from '../../metrics/exposition';
import { factsOfLook } from '../../metrics/outside';
import { shown } from '../../base/shown';
import { EXIT } from '../exit_codes';
import { UsageError } from '../failure';
import { writeMetricsFile } from '../metrics_file';
import type { Outcome, Output } from '../output';
import { Sights } from '../sight';
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
  const text = await metricsOf(log, options);
  const { metricsFile } = options;
  if (metricsFile === undefined) return { exitCode: EXIT.done, document: null, text: text.trimEnd() };
  await writeMetricsFile(metricsFile, text);
  return { exitCode: EXIT.done, document: null, text: `metrics of mirror ${shown(log)}: ${shown(metricsFile)}` };
}

/** All that its process knows, where it tells; else what log and labels say. */
async function metricsOf(log: string, options: MetricsArguments): Promise<string> {
  const sights = new Sights(log, options);
  try {
    const seen = await sights.inspect();
    if (!seen.live || sights.living === null) return fromOutside(seen);
    return await sights.living.metrics({ format: 'prometheus' });
  } catch (error) {
    if (!isBlockmirrorError(error, 'CLOSED') && !isBlockmirrorError(error, 'NO_ANSWER')) throw error;
    // It was closed, or frozen, since it was seen.
    const { trustFolders } = options;
    return fromOutside(await inspect(log, { ...imagesOf(options), trustFolders: trustFolders === true }));
  } finally {
    sights.close();
  }
}

function fromOutside(inspection: Inspection): string {
  return metricsToText([factsOfLook(inspection, loadBinding().version)], 'prometheus');
}
