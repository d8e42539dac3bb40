/** libiscsi's conformance suite, and what it really ran: it calls a test that it skipped passed. */
import { run } from '../fixtures/processes.ts';

const TIMEOUT_MS = 900_000;

export type SuiteCounts = {
  readonly total: number;
  readonly passed: number;
  readonly skipped: number;
  /** `Suite.Test` of each. */
  readonly failed: readonly string[];
  /** Why tests were skipped, the most frequent reason first: `12 × SANITIZE is not implemented`. */
  readonly skipReasons: readonly string[];
};

export type SuiteRun = SuiteCounts & { readonly output: string };

/**
 * Destroys what is on the unit. The same URL twice makes a second path, for the tests of two
 * sessions. @throws Error when the suite did not come to its end.
 */
export async function runIscsiTestCu(...urls: readonly string[]): Promise<SuiteRun> {
  const answer = await run('iscsi-test-cu', ['--dataloss', ...urls], { timeoutMs: TIMEOUT_MS });
  const output = `${answer.stdout}${answer.stderr}`;
  if (!answer.stdout.includes('Run Summary:')) {
    const how = answer.signal ?? `status ${answer.status}`;
    throw new Error(`iscsi-test-cu ended early with ${how}:\n${output.slice(-4000)}`);
  }
  return { ...countTests(answer.stdout), output };
}

/**
 * A test is a line `  Test: NAME ...` with what it says up to its verdict, `passed` or `FAILED`.
 * What stands behind the verdict is said by the suite's clean-up and is nobody's result; a
 * `[FAILED]` before it is one command that failed, as it often should.
 */
export function countTests(output: string): SuiteCounts {
  const reasons = new Map<string, number>();
  const failed: string[] = [];
  let total = 0;
  let skipped = 0;
  let suite = '';
  for (const piece of output.split(/^(?=Suite: | {2}Test: )/m)) {
    const suiteName = /^Suite: (\S+)/.exec(piece)?.[1];
    if (suiteName !== undefined) suite = suiteName;
    const found = /^ {2}Test: (\S+)([\s\S]*?)(?:\.\.\.|^)(passed|FAILED)/m.exec(piece);
    if (found === null) continue;
    const [, name, said = '', verdict] = found;
    total += 1;
    if (verdict === 'FAILED') {
      failed.push(`${suite}.${name}`);
    } else if (said.includes('[SKIPPED]')) {
      skipped += 1;
      const reason = /\[SKIPPED\]\s*(.*)/.exec(said)?.[1]?.trim() ?? '';
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
  }
  const skipReasons = [...reasons]
    .toSorted(([, one], [, other]) => other - one)
    .map(([reason, count]) => `${count} × ${reason}`);
  return { total, passed: total - skipped - failed.length, skipped, failed, skipReasons };
}

export function countsText(what: string, counts: SuiteCounts): string {
  const { total, passed, skipped, failed, skipReasons } = counts;
  const summary =
    `iscsi-test-cu against ${what}: ${total} tests, ${passed} run and passed, ` +
    `${skipped} skipped, ${failed.length} failed`;
  return [summary, ...failed.map((name) => `  failed ${name}`), ...skipReasons.map(indented)].join(
    '\n',
  );
}

function indented(line: string): string {
  return `  skipped ${line}`;
}
