// Removes what the builds made; node_modules stays.
import { rmSync } from 'node:fs';
import path from 'node:path';
import { root } from './support.mjs';

for (const name of ['build', 'dist', 'prebuilds', 'compile_commands.json']) {
  rmSync(path.join(root, name), { recursive: true, force: true });
}
