/**
 * Tests that need what not every machine has. Skipped elsewhere with the reason in their name, which the summary of
 * `npm test` prints; a machine that has it never skips.
 */

/** @param reason why these tests cannot run here; null when they can */
export function describeUnless(reason: string | null, name: string, body: () => void): void {
  if (reason === null) describe(name, body);
  else describe.skip(`${name} [${reason}]`, body);
}

export function testUnless(reason: string | null, name: string, body: () => Promise<void>, timeout?: number): void {
  if (reason === null) test(name, body, timeout);
  else test.skip(`${name} [${reason}]`, body, timeout);
}

export const notRoot: string | null = process.getuid?.() === 0 ? null : 'needs root';
