// Required by Node before the command line (NODE_OPTIONS): what a package may have put on Object.prototype.
'use strict';
const { names, value } = JSON.parse(process.env.BLOCKMIRROR_TEST_POLLUTION);
for (const name of names) {
  // Assignable, as by `Object.prototype[name] = value`.
  Object.defineProperty(Object.prototype, name, { value, writable: true, configurable: true, enumerable: true });
}
