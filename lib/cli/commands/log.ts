/** `blockmirror log LOG`: the live intents, and what they come to when merged. Writes nothing. */
import { formatSize, inspect, type Inspection } from '../../index';
import { elsewhereOf } from '../../life/find_images';
import { elsewhereToText } from '../../look/report';
import { shown } from '../../base/shown';
import { EXIT } from '../exit_codes';
import type { Outcome, Output } from '../output';
import { count, facts, number, share, table, wrap } from '../words';
import { damageToText, holderInWords, imagesOf, LISTED, type ImagePaths } from './shared';

/** Lines of intents on a screen; --json has the first thousand. */
const SHOWN = 200;

/** The JSON of `blockmirror log --json`. */
interface LogDocument {
  uuid: string;
  log: string;
  logUuid: string;
  phase: Inspection['status']['phase'];
  clean: boolean;
  damaged: boolean;
  /** The first 64 of `damageCount`. */
  damage: string[];
  damageCount: number;
  tornRecords: number;
  recordCount: number;
  recordsLive: number;
  sequence: number;
  tail: number;
  /** The first thousand of each, and how many there are. */
  liveIntents: Inspection['liveIntents'];
  liveIntentCount: number;
  extents: Inspection['extents'];
  extentCount: number;
  bytesCovered: number;
}

export async function logCommand(output: Output, log: string, options: ImagePaths): Promise<Outcome> {
  const inspection = await inspect(log, imagesOf(options));
  return {
    exitCode: inspection.damaged ? EXIT.attention : EXIT.done,
    document: toDocument(inspection),
    text: intentsToText(inspection, output),
  };
}

function toDocument(inspection: Inspection): LogDocument {
  const { status } = inspection;
  const { recordCount, recordsLive, sequence, tail } = status.logUse;
  const { clean, damaged, damage, damageCount, tornRecords, liveIntents, liveIntentCount } = inspection;
  const { extents, bytesCovered, logUuid } = inspection;
  return {
    uuid: status.uuid,
    log: status.log,
    logUuid,
    phase: status.phase,
    clean,
    damaged,
    damage,
    damageCount,
    tornRecords,
    recordCount,
    recordsLive,
    sequence,
    tail,
    liveIntents,
    liveIntentCount,
    extents: extents.slice(0, LISTED),
    extentCount: extents.length,
    bytesCovered,
  };
}

export function intentsToText(inspection: Inspection, output: Output): string {
  const { status, liveIntentCount, extents, bytesCovered, tornRecords } = inspection;
  const lines = [
    facts(
      [
        ['Mirror', status.uuid],
        ['Log', shown(status.log)],
        [
          'Records',
          `${number(status.logUse.recordsLive)} of ${number(status.logUse.recordCount)} hold live intents; newest ${number(status.logUse.sequence)}, oldest that counts ${number(status.logUse.tail)}`,
        ],
        [
          'Live intents',
          `${number(liveIntentCount)}, which make ${count(extents.length, 'extent')} of ${formatSize(bytesCovered)} together (${share(bytesCovered, status.size)} of the mirror)`,
        ],
        ['Torn records', tornInWords(tornRecords)],
      ],
      output.lineWidth,
    ),
  ];
  if (inspection.damaged)
    lines.push(
      '',
      output.paint('red', 'DAMAGED: what the log covers is not known, so recovery compares everything.'),
      damageToText(inspection),
    );
  if (status.phase === 'held' || status.phase === 'stopped')
    lines.push('', `In use by ${holderInWords(status)}: this is a moment of a moving picture.`);
  const elsewhere = elsewhereToText(elsewhereOf(status.images));
  if (elsewhere.length > 0) lines.push('', ...elsewhere.map((line) => wrap(`${line}.`, output.lineWidth)));
  if (liveIntentCount > 0) lines.push('', intentTable(inspection));
  return lines.join('\n');
}

function tornInWords(tornRecords: number): string {
  if (tornRecords === 0) return 'none';
  return `${number(tornRecords)} at the end, cut off by the crash before their writes began: harmless`;
}

function intentTable({ liveIntents, liveIntentCount }: Inspection): string {
  const shown = liveIntents.slice(0, SHOWN);
  const rows = shown.map(({ sequence, position, length }) => [number(sequence), number(position), formatSize(length)]);
  const more = liveIntentCount - shown.length;
  return (
    table(['SEQUENCE', 'POSITION', 'LENGTH'], rows, [0, 1, 2]) +
    (more > 0 ? `\n… and ${number(more)} more; --json has the first thousand` : '')
  );
}
