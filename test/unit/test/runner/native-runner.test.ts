import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { run } from '../../../fixtures/processes.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
const JEST = join(ROOT, 'node_modules/jest/bin/jest.js');

/** Files that are run by one worker, and what must become of their tests. */
const FILES: Readonly<Record<string, string>> = {
  'a-fails.test.ts': `
    test('passes', () => expect(1 + 1 as number).toBe(2));
    test('fails', () => expect(1).toBe(2));
    test('hangs', () => new Promise(() => {}), 50);
    test('throws late', async () => {
      await new Promise((resolve) => {
        setImmediate(() => { setImmediate(resolve); throw new Error('late'); });
      });
    });
    test.skip('skipped', () => {});`,
  'b-hook-fails.test.ts': `
    beforeEach(() => { throw new Error('no'); });
    test('never begins', () => {});`,
  'c-cannot-load.test.ts': `
    import './nowhere.ts';
    test('is never seen', () => {});`,
  'd-comes-after.test.ts': `
    describe('a group', () => test.each([[1], [2]])('of tests %i', (n) => shared(n)));`,
  'e-comes-last.test.ts': `
    test('shares the imported module, and not its tests', () => {
      process.exit = () => {};
      shared(1);
    });`,
};

test('what fails, hangs, throws late or cannot be loaded is told as such, file by file', async () => {
  await using folder = await temporaryFolder('runner');
  const imports = `
    import { beforeEach, describe, expect, test } from '@jest/globals';
    import { shared } from './shared.ts';`;
  await writeFile(
    join(folder.path, 'shared.ts'),
    `import { expect } from '@jest/globals';
     export const shared = (n: number): void => expect(n).toBe(n);`,
  );
  for (const [name, text] of Object.entries(FILES)) {
    await writeFile(join(folder.path, name), imports + text);
  }
  const config = {
    rootDir: folder.path,
    testEnvironment: join(ROOT, 'test/runner/environment.ts'),
    testRunner: join(ROOT, 'test/runner/native-runner.ts'),
    injectGlobals: false,
    transform: {},
    testMatch: ['**/*.test.ts'],
    haste: { enableSymlinks: false },
  };
  const output = join(folder.path, 'results.json');
  const ended = await run(process.execPath, [
    JEST,
    ...'--runInBand --json'.split(' '),
    '--config',
    JSON.stringify(config),
    '--outputFile',
    output,
  ]);
  expect(ended.status).toBe(1);
  const results = JSON.parse(await readFile(output, 'utf8')) as {
    testResults: {
      name: string;
      status: string;
      message: string;
      assertionResults: { title: string; status: string }[];
    }[];
  };
  const told = Object.fromEntries(
    results.testResults.map(({ name, status, assertionResults }) => [
      name.split('/').at(-1),
      [status, ...assertionResults.map((one) => `${one.status}: ${one.title}`)],
    ]),
  );
  expect(told).toEqual({
    'a-fails.test.ts': [
      'failed',
      'passed: passes',
      'failed: fails',
      'failed: hangs',
      'failed: throws late',
      'pending: skipped',
    ],
    'b-hook-fails.test.ts': ['failed', 'failed: never begins'],
    'c-cannot-load.test.ts': ['failed'],
    'd-comes-after.test.ts': ['passed', 'passed: of tests 1', 'passed: of tests 2'],
    'e-comes-last.test.ts': ['passed', 'passed: shares the imported module, and not its tests'],
  });
  expect(results.testResults.map(({ message }) => message).join('\n')).toContain('nowhere.ts');
});
