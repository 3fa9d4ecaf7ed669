/** Reports as text, for people. The JSON is the report itself. Pure. */
import { shown, shownLine } from '../base/shown';
import { SETTINGS, SETTING_KEYS } from '../base/policies';
import { formatSize } from '../base/size';
import type {
  Extent,
  FoundElsewhere,
  FractureReport,
  ImageState,
  RecoveryReport,
  Repair,
  ResyncReport,
  ResyncSlave,
  SetReport,
  VerifyFromReport,
  VerifyReport,
  VerifySlave,
} from '../base/types';

const EXTENT_LINES = 16;
const LEFT_OUT: ReadonlySet<ImageState> = new Set<ImageState>(['behind', 'inconsistent', 'failed', 'synchronizing']);

export function recoveryReportToText(report: RecoveryReport): string {
  const lines = [`mirror ${report.uuid} (log ${shown(report.log)})`, ...elsewhereToText(report.foundElsewhere)];
  if (report.held) {
    lines.push('it is open, by a process that lives: there is nothing to recover');
    lines.push(`a crash now would leave ${formatSize(report.bytesCovered)} to be copied`);
    lines.push(...extentsToText(report.extents));
    lines.push('dry run: nothing was written');
    return lines.join('\n');
  }
  if (report.clean) {
    lines.push('closed cleanly: nothing to recover');
    for (const slave of report.slaves)
      if (LEFT_OUT.has(slave.state)) lines.push(`${nameAndPath(slave)}: ${slave.state}`);
    return lines.join('\n');
  }
  if (report.damaged) {
    lines.push('the log is damaged, so what it covered is unknown: everything is compared');
    lines.push(...report.damage.slice(0, EXTENT_LINES).map((line) => `  ${shownLine(line)}`));
    if (report.damageCount > EXTENT_LINES) lines.push(`  and ${report.damageCount - EXTENT_LINES} more`);
  } else {
    const extents = `${report.extents.length} ${plural(report.extents.length, 'extent')}`;
    lines.push(`${report.liveIntents} live ${plural(report.liveIntents, 'intent')}, merged into ${extents}`);
  }
  lines.push(`covered: ${formatSize(report.bytesCovered)}`);
  lines.push(...extentsToText(report.extents));
  if (report.dryRun) {
    lines.push('dry run: nothing was written');
    return lines.join('\n');
  }
  for (const slave of report.slaves) {
    const copied = `${formatSize(slave.bytesCopied)} copied, ${differedInWords(slave.bytesDiffered)}`;
    lines.push(`${nameAndPath(slave)}: ${slave.state}; ${copied}`);
  }
  lines.push(...repairsToText(report.repairs));
  const proof = report.readBack ? 'read back and found equal' : 'not read back';
  lines.push(`copied: ${formatSize(report.bytesCopied)} in ${duration(report.durationMs)}, ${proof}`);
  return lines.join('\n');
}

export function verifyReportToText(report: VerifyReport): string {
  const lines = [`mirror ${report.uuid} (log ${shown(report.log)})`, ...elsewhereToText(report.foundElsewhere)];
  if (!report.clean) {
    lines.push('not closed cleanly, and not recovered: differences inside the live intents are to be expected');
    lines.push(...extentsToText(report.extents));
  }
  for (const slave of report.slaves) {
    lines.push(`${nameAndPath(slave)}: ${slave.state}; ${comparedInWords(slave, report)}`);
    if (slave.error !== null) lines.push(`  ${shownLine(slave.error.message)}`);
  }
  for (const { slave, position, length, expected, standsAlone } of report.differences.slice(0, EXTENT_LINES)) {
    const note = expected ? ', inside a live intent' : '';
    const alone = standsAlone === null ? '' : `; ${shown(standsAlone)} stands alone there`;
    lines.push(`  ${shown(slave)}: ${length} bytes from byte ${position}${note}${alone}`);
  }
  if (report.differences.length > EXTENT_LINES) lines.push(`  and ${report.differences.length - EXTENT_LINES} more`);
  lines.push(...agreementsToText(report));
  lines.push(`compared: ${formatSize(report.bytesCompared)} in ${duration(report.durationMs)}`);
  const from = report.position === 0 ? '' : ` (it began at byte ${report.position})`;
  lines.push(`${VERIFY_RESULT[report.result]}${from}`);
  return lines.join('\n');
}

export function verifyFromReportToText(report: VerifyFromReport): string {
  const { from, position, length, bytesChanged, bytesUnread } = report;
  const unread = bytesUnread === 0 ? '' : `, ${bytesUnread} of them in blocks that the master could not read`;
  return [
    `mirror ${report.uuid} (log ${shown(report.log)})`,
    ...elsewhereToText(report.foundElsewhere),
    `${length} bytes from byte ${position}: every image holds what ${shown(from)} held, durably`,
    `changed: ${bytesChanged} bytes of the master${unread}; in ${duration(report.durationMs)}`,
  ].join('\n');
}

export function resyncReportToText(report: ResyncReport): string {
  const lines = [`mirror ${report.uuid} (log ${shown(report.log)})`, ...elsewhereToText(report.foundElsewhere)];
  if (report.slaves.length === 0) {
    lines.push('every slave is in sync: nothing to copy');
    return lines.join('\n');
  }
  for (const slave of report.slaves) {
    lines.push(`${nameAndPath(slave)}: ${slave.state}; ${resyncedInWords(slave)}`);
    if (slave.error !== null) lines.push(`  ${shownLine(slave.error.message)}`);
  }
  if (report.bytesUnreadable > 0) {
    lines.push(`${formatSize(report.bytesUnreadable)} of the master could not be read, and are still owed`);
  }
  lines.push(`copied: ${formatSize(report.bytesCopied)} in ${duration(report.durationMs)}`);
  return lines.join('\n');
}

function resyncedInWords({ bytesCopied, bytesCompared, bytesLeft, error }: ResyncSlave): string {
  const compared = bytesCompared === null ? '' : `${formatSize(bytesCompared)} compared, `;
  const copied = `${compared}${formatSize(bytesCopied)} copied`;
  if (error === null) return copied;
  return bytesLeft === null ? copied : `${copied}, ${formatSize(bytesLeft)} left`;
}

/** One line for each image that was not where it was expected. */
export function elsewhereToText(images: readonly FoundElsewhere[]): string[] {
  return images.map(
    ({ name, expectedAt, path }) =>
      `${shown(name)} was expected at ${shown(expectedAt)}, and found at ${shown(path)} by its label; if that is a copy, and not the image itself, detach it`,
  );
}

function nameAndPath({ name, path }: { name: string; path: string }): string {
  return `${shown(name)} (${shown(path)})`;
}

function repairsToText(repairs: readonly Repair[]): string[] {
  const lines = repairs
    .slice(0, EXTENT_LINES)
    .map(
      ({ image, position, length, from }) =>
        `${shown(image)}: ${length} bytes from byte ${position} could not be read; they are now what ${shown(from)} holds`,
    );
  if (repairs.length > EXTENT_LINES) lines.push(`  and ${repairs.length - EXTENT_LINES} more`);
  return lines;
}

const VERIFY_RESULT: Record<VerifyReport['result'], string> = {
  identical: 'all images are identical',
  repaired: 'all images are identical now: what differed was copied from the master',
  differs: 'the images differ',
  incomplete: 'what was compared is equal, but not everything was compared',
};

function comparedInWords(slave: VerifySlave, report: VerifyReport): string {
  const { compared, bytesCompared, bytesDiffered, bytesExpected, bytesRepaired } = slave;
  if (bytesDiffered === null) {
    return bytesCompared === 0 ? 'NOT compared' : `NOT compared from byte ${bytesCompared} on, and what was is dropped`;
  }
  const scope = compared ? '' : `; ${formatSize(bytesCompared)} of it compared, NOT the rest`;
  if (bytesDiffered === 0) return compared ? 'equal to the master' : `equal as far as it was compared${scope}`;
  const expected = report.clean || bytesExpected === null ? '' : `, ${bytesExpected} of them inside the live intents`;
  if (bytesDiffered === bytesRepaired) {
    const words = bytesDiffered === 1 ? 'byte differed, and was' : 'bytes differed, and were';
    return `${bytesDiffered} ${words} copied from the master${scope}`;
  }
  return `${bytesDiffered} ${bytesDiffered === 1 ? 'byte differs' : 'bytes differ'}${expected}${scope}`;
}

/** What was taken out, and whether all of it is one point in time. */
export function fractureReportToText({ common, at, pauseMs, slaves }: FractureReport): string {
  const point = common
    ? `one point in time: every slave holds the mirror as it was at ${at ?? ''}`
    : 'NO COMMON POINT IN TIME: not every slave that was named holds the same';
  return [
    ...slaves.map(({ name, path, state, error, detached }) => {
      const why = error === null ? '' : `; ${shownLine(error.message)}`;
      return `${shown(name)} (${shown(path)}): ${state}${detached ? ', its device let go' : ''}${why}`;
    }),
    point,
    `writes were held for ${pauseMs.toFixed(1)} ms`,
  ].join('\n');
}

/** What a mirror goes by, and what it went by before. */
export function setReportToText({ before, policies }: SetReport): string {
  return SETTING_KEYS.flatMap((key) => {
    const { field, stored, toText } = SETTINGS[key];
    if (!stored && policies[field] === null) return [];
    const was = policies[field] === before[field] ? '' : ` (was ${toText(before[field])})`;
    return [`${key}: ${toText(policies[field])}${was}`];
  }).join('\n');
}

/** Slaves that hold the same where they differ from the master, each group once. */
function agreementsToText(report: VerifyReport): string[] {
  const groups = new Map<string, { slaves: string[]; position: number }>();
  for (const { slave, agreesWith, position } of report.differences) {
    if (agreesWith.length === 0) continue;
    const slaves = [slave, ...agreesWith].sort();
    if (!groups.has(slaves.join())) groups.set(slaves.join(), { slaves, position });
  }
  return [...groups.values()].map(
    ({ slaves, position }) =>
      `${slaves.slice(0, -1).map(shown).join(', ')} and ${shown(slaves.at(-1) ?? '')} agree with each other and differ from the master ` +
      `(first at byte ${position}): the master may be the damaged one`,
  );
}

function differedInWords(bytes: number | null): string {
  if (bytes === null) return 'not compared before';
  return bytes === 0 ? 'none differed' : `${bytes} bytes differed`;
}

function extentsToText(extents: readonly Extent[]): string[] {
  const lines = extents
    .slice(0, EXTENT_LINES)
    .map(({ position, length }) => `  ${formatSize(length)} from byte ${position}`);
  if (extents.length > EXTENT_LINES) lines.push(`  and ${extents.length - EXTENT_LINES} more`);
  return lines;
}

function plural(count: number, word: string): string {
  return count === 1 ? word : `${word}s`;
}

function duration(ms: number): string {
  return ms < 10_000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}
