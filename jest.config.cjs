'use strict';
// `npm test`. Tests that take minutes live in test/long and have jest.long.config.cjs (`npm run test:long`).
// Always in band (scripts/test.mjs): two tests that measure or kill on the same disk would disturb each other.

/** @type {import('jest').Config} */
module.exports = {
  rootDir: __dirname,
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/long/'],
  modulePathIgnorePatterns: ['<rootDir>/build/', '<rootDir>/dist/'],
  // Types are checked by `npm run lint`, for everything at once; here they are only taken off.
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: '<rootDir>/tsconfig.json' }] },
  cacheDirectory: '<rootDir>/build/jest-cache',
  maxWorkers: 1,
  testTimeout: 60_000,
};
