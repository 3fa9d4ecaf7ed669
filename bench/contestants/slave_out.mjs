// The last slave of a mirror, out and in again.

/** @returns its name */
export function lastSlave(mirror) {
  return mirror.status().images.at(-1).name;
}

/**
 * One that was only assumed to be identical would owe everything, whatever it misses, and no map would be written: it is
 * copied in full first.
 */
export async function takeOut(mirror, slave) {
  const { state } = mirror.status().images.at(-1);
  await mirror.fracture([slave]);
  if (state !== 'assumed') return;
  await mirror.resync([slave]);
  await mirror.fracture([slave]);
}
