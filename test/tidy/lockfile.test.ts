import { expect, test } from '@jest/globals';
import { completed, type Lock, missingOptionalPackages, platformOf } from './complete-lockfile.ts';
import { readRepository } from './repository.ts';

const read = (name: string): unknown => JSON.parse(readRepository([name]).get(name) ?? '');
const lock = read('package-lock.json') as Lock;
const manifest = read('package.json') as { allowScripts: Record<string, boolean> };

test('the lockfile holds every optional package, so that npm ci accepts it', () => {
  expect(missingOptionalPackages(lock)).toEqual([]);
});

test('the lockfile names no registry host', () => {
  const named = Object.entries(lock.packages).filter(([, entry]) => entry.resolved !== undefined);
  expect(named).toEqual([]);
});

test('every install script is allowed or refused by name', () => {
  const withScript = Object.entries(lock.packages)
    .filter(([, entry]) => entry.hasInstallScript === true)
    .map(([location]) => location.replace(/^.*node_modules\//, ''));
  expect(withScript.filter((name) => !(name in manifest.allowScripts))).toEqual([]);
});

test('completing a lockfile adds a missing platform package, limited to its platform', () => {
  const before: Lock = {
    packages: {
      'node_modules/tool': { optionalDependencies: { '@tool/linux-x64-musl': '1.2.3' } },
      'node_modules/alpha': {},
    },
  };
  expect(missingOptionalPackages(before)).toEqual([['@tool/linux-x64-musl', '1.2.3']]);
  const after = completed(before);
  expect(after.packages['node_modules/@tool/linux-x64-musl']).toEqual({
    version: '1.2.3',
    os: ['linux'],
    cpu: ['x64'],
    libc: ['musl'],
    optional: true,
  });
  expect(missingOptionalPackages(after)).toEqual([]);
  expect(completed(after)).toEqual(after);
});

test('the platform is read off the name', () => {
  expect(platformOf('@swc/core-darwin-arm64')).toEqual({ os: ['darwin'], cpu: ['arm64'] });
  expect(platformOf('@a/b-linux-arm-gnueabihf')).toEqual({
    os: ['linux'],
    cpu: ['arm'],
    libc: ['glibc'],
  });
});
