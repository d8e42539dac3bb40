// Run through `npm test` and `npm run ok`, which start Node with --experimental-vm-modules.
export default {
  testEnvironment: '<rootDir>/test/fixtures/jest-environment.ts',
  extensionsToTreatAsEsm: ['.ts'],
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // `npm run test:kubernetes` says otherwise.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/kubernetes/'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript' },
          target: 'es2024',
          experimental: { keepImportAttributes: true },
        },
        module: { type: 'es6' },
      },
    ],
  },
  setupFiles: ['<rootDir>/test/fixtures/jest-setup.ts'],
  maxWorkers: '100%',
  testTimeout: 20_000,
  reporters: [['default', { summaryThreshold: 0 }], '<rootDir>/test/reporter/closing-line.ts'],
};
