import { expect, test } from '@jest/globals';
import { closingText } from '../../reporter/closing-line.ts';

const none = {
  numPassedTests: 0,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  numRuntimeErrorTestSuites: 0,
  testResults: [],
};

test('the closing line counts passed, failed and skipped', () => {
  expect(closingText({ ...none, numPassedTests: 7 })).toBe('\n7 passed, 0 failed, 0 skipped\n');
});

test('a test file that could not run counts as a failure', () => {
  const results = { ...none, numFailedTests: 1, numRuntimeErrorTestSuites: 2 };
  expect(closingText(results)).toBe('\n0 passed, 3 failed, 0 skipped\n');
});

test('skipped tests are listed with the reason in their title', () => {
  const results = {
    ...none,
    numPendingTests: 1,
    numTodoTests: 1,
    testResults: [
      {
        testResults: [
          { status: 'passed', fullName: 'runs' },
          { status: 'pending', fullName: 'mounts (skipped: needs root)' },
          { status: 'todo', fullName: 'later' },
        ],
      },
    ],
  };
  expect(closingText(results)).toBe(
    '\nSkipped:\n  mounts (skipped: needs root)\n  later\n\n0 passed, 0 failed, 2 skipped\n',
  );
});
