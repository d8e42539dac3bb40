export default {
  testEnvironment: '<rootDir>/test/runner/environment.ts',
  testRunner: '<rootDir>/test/runner/native-runner.ts',
  injectGlobals: false,
  // Node does it.
  transform: {},
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // `npm run test:kubernetes` says otherwise.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/kubernetes/'],
  maxWorkers: '100%',
  testTimeout: 20_000,
  reporters: [['default', { summaryThreshold: 0 }], '<rootDir>/test/reporter/closing-line.ts'],
};
