import { createRequire, registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import { type Globals, setGlobals } from './globals.ts';

/** What jest-circus asks of a runtime (jest-circus/build/runner.js), when nothing is mocked. */
type Runtime = {
  requireInternalModule(path: string): unknown;
  requireModule(path: string): unknown;
  setGlobalsForRuntime(globals: Globals): void;
  unstable_shouldLoadAsEsm(path: string): boolean;
  unstable_importModule(path: string): Promise<unknown>;
  enterTestCode(): void;
  leaveTestCode(): void;
};
/** A test runner of jest: its `testRunner` option. */
type Runner = (
  globalConfig: unknown,
  config: unknown,
  environment: unknown,
  runtime: unknown,
  testPath: string,
  send: unknown,
) => Promise<unknown>;

const require = createRequire(import.meta.url);
const circus: { default: Runner } = require('jest-circus/runner');
const GLOBALS = new URL('globals.ts', import.meta.url).href;
/** Where jest-circus keeps who hears of its events, in the global object. */
const EVENT_HANDLERS = Symbol.for('EVENT_HANDLERS');

const nativeRuntime: Runtime = {
  // Its state and its handlers are those of one test file, so each gets a new copy.
  requireInternalModule(path) {
    Reflect.deleteProperty(globalThis, EVENT_HANDLERS);
    delete require.cache[require.resolve(path)];
    return require(path);
  },
  requireModule: require,
  setGlobalsForRuntime: setGlobals,
  unstable_shouldLoadAsEsm: () => true,
  unstable_importModule: (path) => import(pathToFileURL(path).href),
  enterTestCode() {},
  leaveTestCode() {},
};

registerHooks({
  resolve(specifier, context, next) {
    if (specifier === '@jest/globals') return { url: GLOBALS, shortCircuit: true };
    return next(specifier, context);
  },
});

/** jest-circus as it is, with Node's own `import()` for jest's module system. */
const runNatively: Runner = (globalConfig, config, environment, _runtime, testPath, send) =>
  circus.default(globalConfig, config, environment, nativeRuntime, testPath, send);

export default runNatively;
