#!/usr/bin/env node
/** The executable: run() does the work; the process ends by itself when all output is written. */
import { run } from './program';

void run(process.argv.slice(2)).then((exitCode) => {
  process.exitCode = exitCode;
});
