// What a run leaves behind is taken away in every way it can end: its end, an error, Ctrl-C, SIGTERM. Everything here is
// synchronous, since the last chance is the exit handler. Only SIGKILL leaves things; their names begin with
// `blockmirror-bench`.
import process from 'node:process';

const steps = [];
let installed = false;

function install() {
  if (installed) return;
  installed = true;
  process.on('exit', runAll);
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ]) {
    process.once(signal, () => process.exit(code));
  }
}

function runAll() {
  while (steps.length > 0) {
    const { what, undo } = steps.pop();
    try {
      undo();
    } catch (error) {
      console.error(`bench: could not ${what}: ${error.message}`);
      process.exitCode ||= 1;
    }
  }
}

/**
 * Later steps are undone first.
 * @returns {() => void} does it now
 */
export function onExit(what, undo) {
  install();
  const step = { what, undo };
  steps.push(step);
  return () => {
    const at = steps.indexOf(step);
    if (at < 0) return;
    steps.splice(at, 1);
    undo();
  };
}

/** Blocks this thread: for retries on the way out, where nothing asynchronous runs any more. */
export function sleepSync(milliseconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** Tries again for a while: after a kill, io_uring can hold a device for a moment. */
export function retrySync(action, milliseconds = 5000) {
  const until = performance.now() + milliseconds;
  for (;;) {
    try {
      return action();
    } catch (error) {
      if (performance.now() >= until) throw error;
      sleepSync(50);
    }
  }
}
