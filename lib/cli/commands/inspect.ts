/** `blockmirror inspect PATH…`: what a device or file is to blockmirror, and where the rest of its mirror is. */
import { formatSize, identify, type IdentifiedPath } from '../../index';
import { EXIT } from '../exit_codes';
import type { Outcome, Output } from '../output';
import { inFlags } from '../spelling';
import { facts } from '../words';
import { commandLine } from './shared';

export async function inspectCommand(output: Output, paths: string[]): Promise<Outcome> {
  const found: IdentifiedPath[] = [];
  for (const path of paths) found.push(await identify(path));
  return {
    exitCode: found.every(({ problem }) => problem === null) ? EXIT.done : EXIT.attention,
    document: found,
    text: found.map((one) => toText(one, output)).join('\n\n'),
  };
}

function toText(found: IdentifiedPath, output: Output): string {
  const lines = facts(
    [
      [found.path, output.paint('bold', found.description ?? 'nothing of blockmirror')],
      ['Size', formatSize(found.size)],
      ...(found.kind === 'other' ? [] : ([['Copies', found.copies.join(' and ')]] as const)),
      ...found.parts.map(({ path, description }) => [path, description] as const),
      ...(found.problem === null ? [] : ([['Problem', inFlags(found.problem.message)]] as const)),
    ],
    output.lineWidth,
  );
  const log = found.kind === 'log' ? found.path : (found.parts.find(({ kind }) => kind === 'log')?.path ?? null);
  if (found.kind === 'image' && log === null)
    return `${lines}\nIts log was found neither among the devices nor in its folder.`;
  return log === null ? lines : `${lines}\nNext: ${commandLine('status', log, {})}`;
}
