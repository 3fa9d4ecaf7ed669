// Loop devices over files, with direct I/O to the file below: detached however the run ends.
import { execFileSync } from 'node:child_process';
import process from 'node:process';
import { findCommand } from '../scripts/requirements.mjs';
import { onExit, retrySync } from './cleanup.mjs';

/** @returns {string | null} why there are none here */
export function loopsMissing() {
  if (process.getuid?.() !== 0) return 'loop devices need root';
  return findCommand('losetup') ? null : 'losetup is not installed (package mount)';
}

/**
 * @param {string} file or block device
 * @param {{ offset?: number, length?: number }} part of it; all of it by default
 * @returns {{ device: string, detach: () => void }}
 */
export function attachLoop(file, { offset, length } = {}) {
  const part = [...(offset ? [`--offset=${offset}`] : []), ...(length ? [`--sizelimit=${length}`] : [])];
  const args = ['--find', '--show', '--direct-io=on', ...part, file];
  const device = execFileSync('losetup', args, { encoding: 'utf8' }).trim();
  const detach = onExit(`detach ${device}`, () => retrySync(() => execFileSync('losetup', ['--detach', device])));
  return { device, detach };
}
