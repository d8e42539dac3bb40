import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { agentOpenApi, agentRoutes } from '../../../../agent/api/routes.ts';
import { AGENT_ROUTES } from '../../../../core/api/index.ts';

type Layer = { route?: { path: string; methods: Record<string, boolean> } };

/** The router itself needs no agent to be looked at. */
function served(): string[] {
  const { stack } = agentRoutes({} as never) as unknown as { stack: Layer[] };
  return stack.flatMap(({ route }) =>
    route === undefined
      ? []
      : Object.keys(route.methods).map((method) => `${method} ${route.path}`),
  );
}

test('every route that is served is described, and no other', () => {
  const described = AGENT_ROUTES.map(({ method, path }) => `${method} ${path}`);
  expect(described.toSorted()).toEqual(served().toSorted());
});

test('docs/api/agent.openapi.json is the contract of today: npm run api writes it', () => {
  const path = new URL('../../../../docs/api/agent.openapi.json', import.meta.url);
  const kept = readFileSync(path, 'utf8');
  expect(kept).toBe(`${JSON.stringify(agentOpenApi(), null, 2)}\n`);
});

test('every operation has its own id, an answer and its errors', () => {
  const { paths } = agentOpenApi() as { paths: Record<string, Record<string, never>> };
  const operations = Object.values(paths).flatMap((path) => Object.values(path)) as {
    operationId: string;
    responses: Record<string, unknown>;
  }[];
  expect(operations.length).toBe(AGENT_ROUTES.length);
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
  for (const { responses } of operations) {
    expect('200' in responses || '204' in responses).toBe(true);
    expect(Object.keys(responses)).toEqual(expect.arrayContaining(['400', '500', '503', '504']));
  }
});
