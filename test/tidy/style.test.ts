import { expect, test } from '@jest/globals';
import { cachedSourceTree } from './facts-cache.ts';
import { readRepository } from './repository.ts';
import { sourceFacts } from './source-facts.ts';
import { readmeViolations, styleViolations } from './style-check.ts';

const sources = readRepository(['.ts', '.js', '.mjs']);

test('every source file keeps to the style', () => {
  const violations = [...cachedSourceTree(sources)].flatMap(([path, facts]) =>
    styleViolations(path, sources.get(path) ?? '', facts),
  );
  expect(violations).toEqual([]);
});

test('every source folder has a short README.md', () => {
  const typeScript = [...sources.keys()].filter((path) => path.endsWith('.ts'));
  expect(readmeViolations(typeScript, readRepository(['README.md']))).toEqual([]);
});

test('the style check finds what it looks for', () => {
  const found = (path: string, text: string) => styleViolations(path, text, sourceFacts(text));
  expect(found('core/a.ts', 'export const a = 1;\n')).toEqual([]);
  expect(found('core/a.ts', `// ${'x'.repeat(98)}\n`)).toEqual([
    'core/a.ts:1: longer than 100 characters',
  ]);
  expect(found('core/a.ts', `// https://example.org/${'x'.repeat(98)}\n`)).toEqual([]);
  expect(found('core/a.ts', '\n'.repeat(500))).toEqual([]);
  expect(found('core/a.ts', '\n'.repeat(501))).toEqual(['core/a.ts: 501 lines, more than 500']);
  expect(found('core/a.ts', 'export default 1;')).toEqual(['core/a.ts: has a default export']);
  expect(found('core/a.ts', 'debugger;')).toEqual(['core/a.ts: has a debugger statement']);
  expect(found('core/utils.ts', '')).toEqual(['core/utils.ts: a name that says nothing']);
  for (const text of ['test.only("a", f);', 'describe.only.each([])("a", f);', 'fit("a", f);']) {
    expect(found('test/a.test.ts', text)).toEqual([
      'test/a.test.ts: has a test that runs alone (.only)',
    ]);
  }
});

test('the README check finds a missing and a long one', () => {
  const paths = ['core/wire/a.ts', 'agent/main.ts', 'test/unit/core/a.test.ts', 'root.ts'];
  const readmes = new Map([
    ['agent/README.md', '\n'.repeat(41)],
    ['test/unit/README.md', '# unit\n'],
  ]);
  expect(readmeViolations(paths, readmes)).toEqual([
    'agent/README.md: 41 lines, more than 40',
    'core/wire: has no README.md',
  ]);
});
