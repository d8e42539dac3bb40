import { parseSync } from '@swc/core';

/** One `import`, `export ... from`, `import()` or `import('...').Type` of a file. */
export type ImportFact = {
  readonly specifier: string;
  /** Erased before the file runs: it names types, and loads nothing. */
  readonly typeOnly: boolean;
};

/** What the checks need to know of one source file. */
export type SourceFacts = {
  readonly imports: readonly ImportFact[];
  /** Dynamic imports whose argument is not a plain string. */
  readonly computedImportCount: number;
  readonly hasDefaultExport: boolean;
  readonly hasDebugger: boolean;
  /** A test that runs alone: `test.only(`, `fit(`, ... */
  readonly hasOnly: boolean;
  /** Uses of time, chance or the process: `Date.now`, `Math.random`, `setTimeout`, ... */
  readonly impurities: readonly string[];
};

type Node = { readonly type: string; readonly [field: string]: unknown };

const FOCUSED_TESTS = new Set(['fit', 'fdescribe', 'ftest']);
const TEST_FUNCTIONS = new Set(['test', 'it', 'describe']);
const IMPURE_FUNCTIONS = new Set(['setTimeout', 'setInterval', 'setImmediate', 'fetch']);
const IMPURE_OBJECTS = new Map<string, ReadonlySet<string> | 'any'>([
  ['Date', new Set(['now'])],
  ['Math', new Set(['random'])],
  ['performance', 'any'],
  ['process', 'any'],
  ['crypto', 'any'],
]);

/** The facts of each file, by its path; a file that does not parse is named. */
export function sourceTree(files: ReadonlyMap<string, string>): Map<string, SourceFacts> {
  const tree = new Map<string, SourceFacts>();
  for (const [path, text] of files) {
    try {
      tree.set(path, sourceFacts(text));
    } catch (cause) {
      throw new Error(`${path} does not parse`, { cause });
    }
  }
  return tree;
}

/** Parses TypeScript and collects its facts; throws where the text is not TypeScript. */
export function sourceFacts(text: string): SourceFacts {
  const facts = {
    imports: [] as ImportFact[],
    computedImportCount: 0,
    hasDefaultExport: false,
    hasDebugger: false,
    hasOnly: false,
    impurities: [] as string[],
  };
  visit(parseSync(text, { syntax: 'typescript', target: 'es2024' }), (node) => {
    const imported = importOf(node);
    if (imported === 'computed') facts.computedImportCount += 1;
    else if (imported !== undefined) facts.imports.push(imported);
    const impure = impurityOf(node);
    if (impure !== undefined) facts.impurities.push(impure);
    facts.hasDefaultExport ||= node.type.startsWith('ExportDefault');
    facts.hasDebugger ||= node.type === 'DebuggerStatement';
    facts.hasOnly ||= isFocusedTest(node);
  });
  return facts;
}

function importOf(node: Node): ImportFact | 'computed' | undefined {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportAllDeclaration':
    case 'ExportNamedDeclaration':
      if (!isNode(node['source'])) return undefined;
      return { specifier: textOf(node['source']), typeOnly: node['typeOnly'] === true };
    case 'TsImportType':
      return { specifier: textOf(node['argument']), typeOnly: true };
    case 'CallExpression': {
      if (!isNode(node['callee']) || node['callee'].type !== 'Import') return undefined;
      const specifier = literalArgument(node);
      return specifier === undefined ? 'computed' : { specifier, typeOnly: false };
    }
    default:
      return undefined;
  }
}

function isFocusedTest(node: Node): boolean {
  if (node.type === 'CallExpression') return FOCUSED_TESTS.has(identifier(node['callee']));
  return (
    node.type === 'MemberExpression' &&
    textOf(node['property']) === 'only' &&
    rootNameIn(node['object'], TEST_FUNCTIONS)
  );
}

function impurityOf(node: Node): string | undefined {
  if (node.type === 'CallExpression') {
    const name = identifier(node['callee']);
    return IMPURE_FUNCTIONS.has(name) ? name : undefined;
  }
  if (node.type === 'NewExpression') {
    const isNow = identifier(node['callee']) === 'Date' && argumentsOf(node).length === 0;
    return isNow ? 'new Date' : undefined;
  }
  if (node.type !== 'MemberExpression') return undefined;
  const [name, property] = [identifier(node['object']), textOf(node['property'])];
  const members = IMPURE_OBJECTS.get(name);
  return members === 'any' || members?.has(property) === true ? `${name}.${property}` : undefined;
}

/** True for `test`, `test.skip`, `test.each(...)` and the like. */
function rootNameIn(node: unknown, names: ReadonlySet<string>): boolean {
  if (!isNode(node)) return false;
  if (node.type === 'MemberExpression') return rootNameIn(node['object'], names);
  if (node.type === 'CallExpression') return rootNameIn(node['callee'], names);
  return names.has(identifier(node));
}

function literalArgument(call: Node): string | undefined {
  const first = argumentsOf(call)[0];
  if (typeof first !== 'object' || first === null || !('expression' in first)) return undefined;
  const { expression } = first;
  return isNode(expression) && expression.type === 'StringLiteral' ? textOf(expression) : undefined;
}

function argumentsOf(call: Node): readonly unknown[] {
  return Array.isArray(call['arguments']) ? call['arguments'] : [];
}

/** The name, where the node is one; otherwise empty. */
function identifier(node: unknown): string {
  return isNode(node) && node.type === 'Identifier' ? textOf(node) : '';
}

function textOf(node: unknown): string {
  return isNode(node) && typeof node['value'] === 'string' ? node['value'] : '';
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value;
}

function visit(value: unknown, enter: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const item of value) visit(item, enter);
  } else if (typeof value === 'object' && value !== null) {
    if (isNode(value) && typeof value.type === 'string') enter(value);
    for (const child of Object.values(value)) visit(child, enter);
  }
}
