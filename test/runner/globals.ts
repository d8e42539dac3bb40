import type * as Jest from '@jest/globals';

/** `describe`, `test`, `expect` and the hooks of one test file. */
export type Globals = Omit<typeof Jest, 'jest'>;
type Name = keyof Globals;

let current: Globals | undefined;

/** From now on a new test file runs: what `@jest/globals` exports is this. */
export function setGlobals(globals: Globals): void {
  current = globals;
}

/** Shared parts of the tests import it once in a worker, whichever test file runs then. */
function ofTheTestFile<N extends Name>(name: N): Globals[N] {
  const now = () => {
    if (current === undefined) throw new Error(`${name} is used outside of a test file`);
    return current[name] as unknown as () => unknown;
  };
  const asked: ProxyHandler<() => void> = {
    apply: (_target, self, given) => Reflect.apply(now(), self, given),
    get: (_target, property) => Reflect.get(now(), property),
  };
  return new Proxy(() => {}, asked) as unknown as Globals[N];
}

export const describe = ofTheTestFile('describe');
export const test = ofTheTestFile('test');
export const expect = ofTheTestFile('expect');
export const beforeAll = ofTheTestFile('beforeAll');
export const beforeEach = ofTheTestFile('beforeEach');
export const afterEach = ofTheTestFile('afterEach');
export const afterAll = ofTheTestFile('afterAll');
