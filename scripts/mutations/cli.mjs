// Faults of the command line, whose exit codes monitoring reads. One row each: see mutate.mjs.

/** @type {import('../mutate.mjs').Fault[]} */
export const cli = [
  {
    name: 'status of a mirror that lost a slave ends with 0',
    file: 'lib/cli/commands/status.ts',
    find: 'isInSync(image.state) && image.error === null && image.bytesDiffered === 0',
    put: "image.state !== 'behind'",
    test: 'test/cli/degraded.test.ts',
  },
  {
    name: 'recover of a mirror that lost one of two slaves ends with 0',
    file: 'lib/cli/commands/recover.ts',
    find: 'report.slaves.every((slave) => isInSync(slave.state))',
    put: 'report.slaves.some((slave) => isInSync(slave.state))',
    test: 'test/cli/degraded.test.ts',
  },
  {
    name: 'what a package put on Object.prototype is an option of the command line',
    file: 'lib/cli/program.ts',
    find: '  Object.setPrototypeOf(command.opts(), null);\n',
    put: '  command.opts();\n',
    test: 'test/cli/polluted.test.ts',
  },
  {
    name: '--overwrite-signature goes for the data of the master too',
    file: 'lib/look/signatures.ts',
    find: "  if (role !== 'master') {\n    if (consent.overwriteSignature) return;\n",
    put: "  if (consent.overwriteSignature) return;\n  if (role !== 'master') {\n",
    test: 'test/cli/create.test.ts',
  },
  {
    name: 'verify of images that differ ends with 0',
    file: 'lib/cli/commands/verify.ts',
    find: "if (result === 'identical' || result === 'repaired') return true;",
    put: "if (result !== 'incomplete') return true;",
    test: 'test/cli/verify.test.ts',
  },
  {
    name: 'a dry run that found something to do ends with 0',
    file: 'lib/cli/commands/recover.ts',
    find: 'return report.clean || report.held ? EXIT.done : EXIT.attention;',
    put: 'return report.dryRun ? EXIT.done : EXIT.attention;',
    test: 'test/cli/recover.test.ts',
  },
  {
    name: 'of several reasons the last one decides the code of a check',
    file: 'lib/cli/check.ts',
    find: 'if (held.length > 0 && SEVERITY.indexOf(row.code) > SEVERITY.indexOf(code)) code = row.code;',
    put: 'if (held.length > 0 && SEVERITY.length > 0) code = row.code;',
    test: 'test/cli/check.test.ts',
  },
  {
    name: 'a demo is right though images differed where the log named nothing',
    file: 'lib/cli/demo/rounds.ts',
    find: ' && broken.bytesDifferedOutside === 0;',
    put: ' && broken.bytesDifferedOutside >= 0;',
    test: 'test/cli/demo_oracle.test.ts',
  },
  {
    name: 'the demo does not see a difference in the last bytes of a unit',
    file: 'lib/cli/demo/comparison.ts',
    find: 'for (let offset = 0; offset < left.length; offset += WORD) {',
    put: 'for (let offset = 0; offset < left.length - WORD; offset += WORD) {',
    test: 'test/cli/demo_oracle.test.ts',
  },
  {
    name: 'an acknowledgement that was cut off counts with the next run',
    file: 'lib/cli/demo/acknowledgements.ts',
    find: '  endOfRun(): void {\n    this.rest = Buffer.alloc(0);\n',
    put: '  endOfRun(): void {\n    this.rest = Buffer.from(this.rest);\n',
    test: 'test/cli/demo_oracle.test.ts',
  },
];
