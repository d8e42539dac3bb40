/**
 * Invariants stay on in production: a violated one is a bug, and a bug in a storage system
 * must stop the process before it can answer for work that was not done.
 */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

/** @param invariant the invariant, stated positively. */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new AssertionFailure(`invariant violated: ${invariant}`);
}

/** For `switch` statements over unions: a case that does not type cannot happen. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`invariant violated: unexpected value ${JSON.stringify(value)}`);
}
