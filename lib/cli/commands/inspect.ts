/** `blockmirror inspect PATH…`: what a device or file is to blockmirror, and where the rest of its mirror is. */
import { existsSync } from 'node:fs';
import { formatSize, identify, type IdentifiedPath } from '../../index';
import { recreate } from '../../base/remedies';
import { shown } from '../../base/shown';
import { EXIT } from '../exit_codes';
import type { Outcome, Output } from '../output';
import { inFlags } from '../spelling';
import { facts, wrap } from '../words';
import { commandLine } from './shared';

export async function inspectCommand(output: Output, paths: string[]): Promise<Outcome> {
  const found: IdentifiedPath[] = [];
  for (const path of paths) found.push(await identify(path));
  return {
    exitCode: found.every(({ problem }) => problem === null) ? EXIT.done : EXIT.attention,
    document: found,
    text: found.map((one) => identifiedToText(one, output)).join('\n\n'),
  };
}

export function identifiedToText(found: IdentifiedPath, output: Output): string {
  const lines = facts(
    [
      [shown(found.path), output.paint('bold', found.description ?? 'nothing of blockmirror')],
      ['Size', formatSize(found.size)],
      ...(found.kind === 'other' ? [] : ([['Copies', found.copies.join(' and ')]] as const)),
      ...found.parts.map(({ path, description }) => [shown(path), description] as const),
      ...(found.problem === null ? [] : ([['Problem', inFlags(found.problem.message)]] as const)),
    ],
    output.lineWidth,
  );
  const log = found.kind === 'log' ? found.path : (found.parts.find(({ kind }) => kind === 'log')?.path ?? null);
  if (found.kind === 'image' && log === null) return `${lines}\n${wrap(withoutLog(found), output.width)}`;
  return log === null ? lines : `${lines}\nNext: ${commandLine('status', log, {})}`;
}

/** The master is right by definition, so that nothing is lost with a log but the time of a whole copy. */
function withoutLog(found: IdentifiedPath): string {
  const lost = 'Its log was found neither among the devices nor in its folder.';
  const images = [found, ...found.parts].flatMap(({ path, image }) => (image === null ? [] : [{ path, ...image }]));
  const masters = images.filter(({ role }) => role === 'master');
  const slaves = images.filter(({ role }) => role === 'slave');
  const [master] = masters;
  const names = new Set(images.map(({ name }) => name));
  if (master === undefined || masters.length > 1 || slaves.length === 0 || names.size < images.length) return lost;
  const log = `${master.path}.log`;
  if (log.startsWith('/dev/') || existsSync(log) || found.mirrorSize === null) return lost;
  const anew = recreate({ log, size: found.mirrorSize, images: [master, ...slaves] }, master.name);
  return `${lost} When it is lost, have everything copied from the master, with a new log: \`${anew}\``;
}
