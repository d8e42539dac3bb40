/**
 * Completes package-lock.json so that `npm ci` accepts it on every platform.
 *
 * A registry mirror may lack the packages of foreign platforms (darwin, win32, musl, ...). npm then
 * leaves them out of the lockfile, and `npm ci` refuses the lockfile as out of step. This script
 * adds one entry per missing optional package: its version and the platform that its name tells,
 * so that only that platform would ever fetch it. Run it after every `npm install`:
 *
 *     npm run lock
 */
import { readFileSync, writeFileSync } from 'node:fs';

export type LockEntry = {
  readonly version?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
};

/** The part of a package-lock.json (version 3) that matters here. */
export type Lock = { readonly packages: Readonly<Record<string, LockEntry>> };

type Platform = Pick<LockEntry, 'os' | 'cpu' | 'libc'>;

const OPERATING_SYSTEMS = new Set(
  'android darwin freebsd linux netbsd openbsd openharmony sunos win32'.split(' '),
);
const PROCESSORS = new Set('arm arm64 ia32 loong64 ppc64 riscv64 s390x wasm32 x64'.split(' '));

/** The platform limits that a package name such as `@swc/core-linux-x64-musl` tells. */
export function platformOf(packageName: string): Platform {
  const words = packageName.split(/[/-]/);
  const os = words.find((word) => OPERATING_SYSTEMS.has(word));
  const cpu = words.find((word) => PROCESSORS.has(word));
  const libc = words.some((word) => word.startsWith('musl'))
    ? 'musl'
    : words.some((word) => word.startsWith('gnu'))
      ? 'glibc'
      : undefined;
  return {
    ...(os === undefined ? {} : { os: [os] }),
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(os !== 'linux' || libc === undefined ? {} : { libc: [libc] }),
  };
}

/** The optional packages that the lockfile names but does not hold, as [name, version]. */
export function missingOptionalPackages(lock: Lock): readonly (readonly [string, string])[] {
  const missing = new Map<string, string>();
  for (const [location, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (!isHeld(lock, location, name)) missing.set(name, version);
    }
  }
  return [...missing];
}

/** Looks where Node would: beside the package, then one folder up after another. */
function isHeld(lock: Lock, fromLocation: string, name: string): boolean {
  let location = fromLocation;
  for (;;) {
    const prefix = location === '' ? '' : `${location}/`;
    if (lock.packages[`${prefix}node_modules/${name}`] !== undefined) return true;
    if (location === '') return false;
    location = location.slice(0, Math.max(0, location.lastIndexOf('node_modules/') - 1));
  }
}

/** The lockfile with an entry for each missing optional package, sorted as npm sorts. */
export function completed<Given extends Lock>(lock: Given): Given & Lock {
  const packages: Record<string, LockEntry> = { ...lock.packages };
  for (const [name, range] of missingOptionalPackages(lock)) {
    const version = range.replace(/^[\^~=v]*/, '');
    packages[`node_modules/${name}`] = { version, ...platformOf(name), optional: true };
  }
  const sorted = Object.entries(packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'));
  return { ...lock, packages: Object.fromEntries(sorted) };
}

function completeOwnLockfile(): void {
  const path = new URL('../../package-lock.json', import.meta.url);
  const lock = JSON.parse(readFileSync(path, 'utf8')) as Lock;
  const added = missingOptionalPackages(lock);
  writeFileSync(path, `${JSON.stringify(completed(lock), null, 2)}\n`);
  for (const [name, version] of added) process.stdout.write(`added ${name}@${version}\n`);
  process.stdout.write(`package-lock.json: ${added.length} missing optional packages added\n`);
}

// Jest gives modules no import.meta.main.
if (import.meta.main === true) completeOwnLockfile();
