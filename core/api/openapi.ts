/** The OpenAPI 3.1 description of routes, made from the schemas that check them. */
import { z } from 'zod';
import { EVERYWHERE, type Route } from './agent-routes.ts';
import { API_ERROR_STATUS, type ApiErrorCode, problemSchema } from './errors.ts';

type Json = Record<string, unknown>;

export interface OpenApiInfo {
  readonly title: string;
  readonly version: string;
  readonly description: string;
}

/** Pure: equal routes give equal text, so that a change of the contract shows in its diff. */
export function openApi(info: OpenApiInfo, routes: readonly Route[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.path.replace(/:([a-zA-Z]+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info,
    paths,
    components: { schemas: { Problem: schemaOf(problemSchema) } },
  };
}

function operation(route: Route): Json {
  const { summary, tag, request, answer } = route;
  return {
    summary,
    tags: [tag],
    operationId: operationId(route),
    ...parameters(route),
    ...(request === undefined ? {} : { requestBody: { required: true, ...body(request) } }),
    responses: {
      ...(answer === undefined
        ? { 204: { description: 'Done.' } }
        : { 200: { description: 'Done.', ...body(answer) } }),
      ...problems([...EVERYWHERE, ...(route.errors ?? [])]),
    },
  };
}

function operationId({ method, path }: Route): string {
  const words = path
    .replace(/^\/v1\//, '')
    .split(/[^a-zA-Z]+/)
    .filter((word) => word !== '');
  return [method, ...words.map((word) => word.charAt(0).toUpperCase() + word.slice(1))].join('');
}

function parameters({ path, query = [] }: Route): Json {
  const inPath = [...path.matchAll(/:([a-zA-Z]+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const inQuery = query.map((name) => ({
    name,
    in: 'query',
    required: true,
    schema: { type: 'string' },
  }));
  const all = [...inPath, ...inQuery];
  return all.length === 0 ? {} : { parameters: all };
}

/** One answer a status, with the codes that come with it. */
function problems(codes: readonly ApiErrorCode[]): Json {
  const byStatus = new Map<number, Set<ApiErrorCode>>();
  for (const code of codes) {
    const status = API_ERROR_STATUS[code];
    byStatus.set(status, (byStatus.get(status) ?? new Set()).add(code));
  }
  const content = { 'application/json': { schema: { $ref: '#/components/schemas/Problem' } } };
  return Object.fromEntries(
    [...byStatus].map(([status, names]) => [
      status,
      { description: `code: ${[...names].join(', ')}`, content },
    ]),
  );
}

function body(schema: z.ZodType): Json {
  return { content: { 'application/json': { schema: schemaOf(schema) } } };
}

function schemaOf(schema: z.ZodType): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    unrepresentable: 'any',
    io: 'input',
  });
  return rest;
}
