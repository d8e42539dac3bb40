/** The part of jest's aggregated result that the closing line reads. */
export type Results = {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly numRuntimeErrorTestSuites: number;
  readonly testResults: readonly {
    readonly testResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
};

/**
 * Prints, after everything else, which tests were skipped and then the one line
 * `N passed, N failed, N skipped`. A test file that could not run at all counts as one failure.
 */
export class ClosingLineReporter {
  onRunComplete(_contexts: unknown, results: Results): void {
    // Jest adds its own summary after the last reporter, so that only the exit comes later.
    process.once('exit', () => process.stdout.write(closingText(results)));
  }
}

/** The titles of skipped tests end with their reason, as test/fixtures/needs.ts writes them. */
export function closingText(results: Results): string {
  const skippedTitles = results.testResults.flatMap((file) =>
    file.testResults
      .filter((one) => one.status === 'pending' || one.status === 'todo')
      .map((one) => `  ${one.fullName}\n`),
  );
  const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
  const skipped = results.numPendingTests + results.numTodoTests;
  const heading = skippedTitles.length === 0 ? '' : '\nSkipped:\n';
  return [
    heading,
    ...skippedTitles,
    `\n${results.numPassedTests} passed, ${failed} failed, ${skipped} skipped\n`,
  ].join('');
}

// Jest takes a reporter from the default export.
export default ClosingLineReporter;
