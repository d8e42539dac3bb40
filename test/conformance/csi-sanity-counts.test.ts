import { expect, test } from '@jest/globals';
import { countSpecs, countsText } from './csi-sanity.ts';

const spec = (State: string, LeafNodeText: string, Message?: string) => ({
  State,
  LeafNodeText,
  LeafNodeType: 'It',
  ContainerHierarchyTexts: ['Node Service'],
  ...(Message === undefined ? {} : { Failure: { Message } }),
});

test('passed, skipped and failed tests of a report are told apart, whatever ended them', () => {
  const counts = countSpecs([
    {
      SpecReports: [
        // What ginkgo does around all tests is none of them, unless it fails.
        { ...spec('passed', ''), LeafNodeType: 'BeforeSuite', ContainerHierarchyTexts: null },
        { ...spec('failed', '', 'no'), LeafNodeType: 'AfterSuite', ContainerHierarchyTexts: null },
        spec('passed', 'should work'),
        spec('skipped', 'should clone', 'not supported'),
        spec('skipped', 'should grow', 'not supported'),
        spec('pending', 'should page'),
        spec('failed', 'should stop', 'it did not'),
        spec('panicked', 'should live', 'nil pointer'),
        spec('timedout', 'should end', 'too long'),
      ],
    },
  ]);
  expect(countsText('nobody', counts)).toBe(
    'csi-sanity against nobody: 8 tests, 1 run and passed, 3 skipped, 4 failed\n' +
      '  failed : failed: no\n' +
      '  failed Node Service should stop: failed: it did not\n' +
      '  failed Node Service should live: panicked: nil pointer\n' +
      '  failed Node Service should end: timedout: too long\n' +
      '  skipped 2 × not supported\n' +
      '  skipped 1 × pending by the suite itself',
  );
});
