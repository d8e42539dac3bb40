import { describe, expect, test } from '@jest/globals';
import { importViolations, loadedLibraries } from './import-check.ts';
import { IMPORT_TABLE } from './import-table.ts';
import { sourceTree } from './source-facts.ts';

function treeOf(files: Readonly<Record<string, string>>) {
  return sourceTree(new Map(Object.entries(files)));
}

function violations(path: string, text: string): string[] {
  return importViolations(treeOf({ [path]: text }), IMPORT_TABLE);
}

describe('the import check refuses', () => {
  const refused: readonly (readonly [why: string, path: string, text: string])[] = [
    ['a sibling', 'target/replication/a.ts', `import { b } from '../remote/b.ts';`],
    ['another service', 'replica/chain/a.ts', `import { b } from '../../target/scsi/b.ts';`],
    ['a type of another service', 'agent/api/a.ts', `import type { B } from '../../replica/b.ts';`],
    ['a type by import()', 'cli/a.ts', `export type B = import('../agent/api/b.ts').B;`],
    ['a re-export', 'core/a.ts', `export * from '../target/scsi/b.ts';`],
    ['a dynamic import', 'plugins/docker/a.ts', `await import('../csi/b.ts');`],
    ['a folder without a row', 'target/extras/a.ts', ''],
    ['a top-level folder without a row', 'extras/a.ts', ''],
    ['an import of a folder without a row', 'target/main.ts', `import './extras/a.ts';`],
    ['a library elsewhere', 'core/volume/a.ts', `import { z } from 'zod';`],
    ['a scoped library elsewhere', 'core/wire/a.ts', `import { crc32c } from '@node-rs/crc32';`],
    ['the web framework in a target', 'target/admin/a.ts', `import express from 'express';`],
    ['files in core', 'core/a.ts', `import { readFileSync } from 'node:fs';`],
    ['sockets in a chain', 'replica/chain/a.ts', `import { connect } from 'node:net';`],
    ['files in an admin page', 'target/admin/a.ts', `import 'node:fs';`],
    ['real disks outside a main', 'replica/disk/a.ts', `import '../../core/platform/node/b.ts';`],
    ['the simulator in a main', 'target/main.ts', `import '../core/platform/sim/b.ts';`],
    ['a main by a sibling', 'target/scsi/a.ts', `import '../main.ts';`],
    ['a main by another main', 'agent/main.ts', `import '../target/main.ts';`],
    ['a test in the product', 'agent/main.ts', `import '../test/fixtures/needs.ts';`],
    ['a computed import', 'agent/attach/a.ts', 'await import(name);'],
    ['the wall clock in logic', 'cluster/reconciler/a.ts', 'export const now = Date.now();'],
    ['chance in logic', 'target/replication/a.ts', 'export const chance = Math.random();'],
    ['a timer in logic', 'target/iscsi/session/a.ts', 'setTimeout(stop, 5);'],
    ['the environment in logic', 'replica/server/a.ts', 'export const path = process.env;'],
  ];
  test.each(refused)('%s', (_why, path, text) => {
    expect(violations(path, text)).toEqual([expect.stringContaining(`${path}: `)]);
  });
});

describe('the import check accepts', () => {
  const accepted: readonly (readonly [why: string, path: string, text: string])[] = [
    ['core from everywhere', 'target/scsi/a.ts', `import { b } from '../../core/block/b.ts';`],
    ['the own folder', 'replica/chain/a.ts', `import { b } from './b.ts';`],
    ['a library in its folder', 'core/api/a.ts', `import { z } from 'zod';`],
    [
      'a subpath of a library',
      'plugins/csi/grpc/a.ts',
      `import '@grpc/grpc-js/build/src/server.js';`,
    ],
    ['real disks in a main', 'replica/main.ts', `import '../core/platform/node/b.ts';`],
    ['services in the composition root', 'bin/maya.ts', `await import('../target/main.ts');`],
    ['anything in a test', 'test/unit/a.test.ts', `import '../../agent/main.ts'; import 'jest';`],
    ['a clock that was passed in', 'target/remote/a.ts', 'clock.setTimeout(5, stop);'],
    ['a given date', 'cluster/store/a.ts', 'export const date = new Date(5);'],
  ];
  test.each(accepted)('%s', (_why, path, text) => {
    expect(violations(path, text)).toEqual([]);
  });
});

test('a library is found however far down it stands, and type imports load nothing', () => {
  const tree = treeOf({
    'target/main.ts': `import './store/a.ts'; import type { T } from './store/types.ts';`,
    'target/store/a.ts': `import { b } from '../../core/api/b.ts';`,
    'target/store/types.ts': `import 'winston';`,
    'core/api/b.ts': `import { z } from 'zod'; import 'node:fs';`,
  });
  expect([...loadedLibraries(tree, 'target/main.ts')]).toEqual([
    ['zod', 'target/main.ts → target/store/a.ts → core/api/b.ts'],
  ]);
});
