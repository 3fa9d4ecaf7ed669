/** Users and groups by their numbers, as /etc has them: for messages, and for the group that owns the disks. */
import { readFile } from 'node:fs/promises';
import { shown } from '../base/shown';

/** Pure. @param text of /etc/passwd or /etc/group: name, password, number, … in each line */
export function parseAccounts(text: string): Map<string, number> {
  const accounts = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [name = '', , number = ''] = line.split(':');
    if (name !== '' && /^\d+$/.test(number)) accounts.set(name, Number(number));
  }
  return accounts;
}

/** For people: the user's name, where /etc/passwd knows it, and number. */
export async function userToText(uid: number): Promise<string> {
  const users = parseAccounts(await readFile('/etc/passwd', 'utf8').catch(() => ''));
  const name = [...users].find(([, number]) => number === uid)?.[0];
  return name === undefined ? `user ${uid}` : `user ${shown(name)} (${uid})`;
}

/** Number of the group `disk`, which may do with disks whatever root may; null: there is none. */
export async function diskGroup(): Promise<number | null> {
  return parseAccounts(await readFile('/etc/group', 'utf8').catch(() => '')).get('disk') ?? null;
}
