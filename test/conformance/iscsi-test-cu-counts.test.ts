import { expect, test } from '@jest/globals';
import { countsText, countTests } from './iscsi-test-cu.ts';

// Every shape that the suite's output takes.
const OUTPUT = `
Suite: Read10
  Test: Simple ...passed
  Test: Flags ...    [SKIPPED] not here
passed    [SKIPPED] PERSISTENT RESERVE IN is not implemented.

Suite: iSCSIdatasn
  Test: Invalid ...    [FAILED] WRITE10 command failed with status 2
    [FAILED] WRITE10 command failed with status 2
passed
  Test: Wrong ...    [FAILED] WRITE10 command returned GOOD
FAILED
    1. test_wrong.c:12  - CU_ASSERT_NOT_EQUAL(ret, 0)
  Test: Other ...    [SKIPPED] not here
passed

Run Summary:    Type  Total    Ran Passed Failed Inactive
`;

test('skipped tests, failed commands and failed tests are told apart', () => {
  const counts = countTests(OUTPUT);
  expect(counts).toEqual({
    total: 5,
    passed: 2,
    skipped: 2,
    failed: ['iSCSIdatasn.Wrong'],
    skipReasons: ['2 × not here'],
  });
  expect(countsText('nobody', counts)).toBe(
    'iscsi-test-cu against nobody: 5 tests, 2 run and passed, 2 skipped, 1 failed\n' +
      '  failed iSCSIdatasn.Wrong\n' +
      '  skipped 2 × not here',
  );
});
