import { posix } from 'node:path';
import type { SourceFacts } from './source-facts.ts';

export const FILE_LINES_MAX = 500;
export const LINE_CHARACTERS_MAX = 100;
/** A test's title is a sentence, and a formatter does not break strings. */
export const TEST_LINE_CHARACTERS_MAX = 160;
export const README_LINES_MAX = 40;

/** Files that a tool loads by their default export. */
const DEFAULT_EXPORT_EXPECTED = new Set([
  'jest.config.js',
  'test/runner/environment.ts',
  'test/runner/native-runner.ts',
  'test/reporter/closing-line.ts',
]);

/** What one file does against docs/STYLE.md, one sentence each. */
export function styleViolations(path: string, text: string, facts: SourceFacts): string[] {
  const lines = text.replace(/\n$/, '').split('\n');
  const max = path.startsWith('test/') ? TEST_LINE_CHARACTERS_MAX : LINE_CHARACTERS_MAX;
  const violations = lines.flatMap((line, index) =>
    line.length > max && !/https?:\/\//.test(line)
      ? [`${path}:${index + 1}: longer than ${max} characters`]
      : [],
  );
  const report = (failed: boolean, what: string) => {
    if (failed) violations.push(`${path}: ${what}`);
  };
  report(lines.length > FILE_LINES_MAX, `${lines.length} lines, more than ${FILE_LINES_MAX}`);
  report(facts.hasDefaultExport && !DEFAULT_EXPORT_EXPECTED.has(path), 'has a default export');
  report(facts.hasDebugger, 'has a debugger statement');
  report(facts.hasOnly, 'has a test that runs alone (.only)');
  report(/^(utils?|helpers?|misc)\.ts$/.test(posix.basename(path)), 'a name that says nothing');
  return violations;
}

/** Source folders without a README.md, or with one that is too long. */
export function readmeViolations(
  sourcePaths: Iterable<string>,
  readmes: ReadonlyMap<string, string>,
): string[] {
  const folders = new Set([...sourcePaths].map(readmeFolderOf));
  folders.delete('.');
  return [...folders].toSorted().flatMap((folder) => {
    const path = posix.join(folder, 'README.md');
    const text = readmes.get(path);
    if (text === undefined) return [`${folder}: has no README.md`];
    const lineCount = text.replace(/\n$/, '').split('\n').length;
    return lineCount > README_LINES_MAX
      ? [`${path}: ${lineCount} lines, more than ${README_LINES_MAX}`]
      : [];
  });
}

/** Tests mirror the tree, so that one README a kind of test is enough: `test/unit`, ... */
function readmeFolderOf(path: string): string {
  const folder = posix.dirname(path);
  return folder.startsWith('test/') ? folder.split('/').slice(0, 2).join('/') : folder;
}
