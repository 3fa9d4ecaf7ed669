/** The system's tools, for what tests set up: an ordinary user's PATH lacks the folders of some of them. */
import { execFileSync } from 'node:child_process';

/** What it printed; throws, with what it complained of, where it fails. */
export function run(tool: string, ...args: string[]): string {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
  return execFileSync(tool, args, { env, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
}
