// RAM-backed block devices of our own: added, used, removed again however the run ends. Only devices that hot_add gave us
// are ever touched.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { onExit, retrySync } from './cleanup.mjs';

const CONTROL = '/sys/class/zram-control';

/** @returns {string | null} why there is none here */
export function zramMissing() {
  if (!existsSync(`${CONTROL}/hot_add`)) return 'the kernel has no zram (/sys/class/zram-control)';
  if (process.getuid?.() !== 0) return 'zram devices need root';
  return null;
}

/** @returns {{ path: string, remove: () => void }} */
export function addZram(bytes) {
  const id = readFileSync(`${CONTROL}/hot_add`, 'utf8').trim();
  const remove = onExit(`remove zram${id}`, () => {
    // EBUSY while a process that was killed still lets go of it.
    retrySync(() => writeFileSync(`${CONTROL}/hot_remove`, id));
  });
  writeFileSync(`/sys/block/zram${id}/disksize`, String(bytes));
  return { path: `/dev/zram${id}`, remove };
}
