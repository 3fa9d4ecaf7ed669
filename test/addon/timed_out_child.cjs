// Calls of the addon that are terminated by a time limit of node:vm while a getter of their argument runs: V8 goes on
// terminating and Node-API has no exception to show for it. Run by hostile_values.test.ts: node timed_out_child.cjs ADDON
'use strict';
const vm = require('node:vm');

const binding = require(process.argv[2]);
const engine = new binding.Engine({ device: 'threads', polling: false }, () => {});
const endless = {
  enumerable: true,
  get: () =>
    (() => {
      for (;;);
    })(),
};
const withEndless = (object, name) => Object.defineProperty(object, name, endless);
const calls = {
  command: () => engine.command(0, 'compare', withEndless({ all: false }, 'extents')),
  list: () => engine.command(0, 'openImages', { paths: withEndless(['/'], 0), readOnly: true, exclusive: false }),
  buffers: () => engine.submitWritev(0, withEndless([], 0), 0, false),
  construct: () => new binding.Engine(withEndless({ polling: false }, 'device'), () => {}),
};

const ended = {};
for (const [name, call] of Object.entries(calls)) {
  try {
    vm.runInContext('call()', vm.createContext({ call }), { timeout: 20 });
  } catch (error) {
    ended[name] = error.code;
  }
}
engine.destroy();
console.log(JSON.stringify({ ended, engines: binding.openEngines() }));
