// Completes package-lock.json so that `npm ci` accepts it on every platform.
//
// A registry mirror may lack the packages of foreign platforms (darwin, win32, musl, ...). npm then
// leaves them out of the lockfile, and `npm ci` refuses the lockfile as out of step. This script
// adds one entry per missing optional package: its version and the platform that its name tells,
// so that only that platform would ever fetch it. Run it after every `npm install`:
//
//     npm run lock
//
// Plain JavaScript without dependencies: it must run before Node 24 is installed.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const OPERATING_SYSTEMS = [
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
];
const PROCESSORS = {
  arm: 'arm',
  arm64: 'arm64',
  ia32: 'ia32',
  loong64: 'loong64',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
  wasm32: 'wasm32',
  x64: 'x64',
};

/** The platform limits that a package name such as `@swc/core-linux-x64-musl` tells. */
export function platformOf(packageName) {
  const words = packageName.split(/[/-]/);
  const os = words.find((word) => OPERATING_SYSTEMS.includes(word));
  const cpu = words.map((word) => PROCESSORS[word]).find((word) => word !== undefined);
  const limits = {};
  if (os !== undefined) limits.os = [os];
  if (cpu !== undefined) limits.cpu = [cpu];
  if (os === 'linux' && words.some((word) => word.startsWith('musl'))) limits.libc = ['musl'];
  if (os === 'linux' && words.some((word) => word.startsWith('gnu'))) limits.libc = ['glibc'];
  return limits;
}

/** The optional packages that the lockfile names but does not hold, as [name, version]. */
export function missingOptionalPackages(lock) {
  const missing = new Map();
  for (const [location, entry] of Object.entries(lock.packages)) {
    for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
      if (!isHeld(lock, location, name)) missing.set(name, range);
    }
  }
  return [...missing];
}

function isHeld(lock, fromLocation, name) {
  let location = fromLocation;
  for (;;) {
    const prefix = location === '' ? '' : `${location}/`;
    if (lock.packages[`${prefix}node_modules/${name}`] !== undefined) return true;
    if (location === '') return false;
    location = location.slice(0, Math.max(0, location.lastIndexOf('node_modules/') - 1));
  }
}

/** The lockfile with an entry for each missing optional package; entries stay sorted as npm does. */
export function completed(lock) {
  const packages = { ...lock.packages };
  for (const [name, range] of missingOptionalPackages(lock)) {
    const version = range.replace(/^[\^~=v]*/, '');
    packages[`node_modules/${name}`] = { version, ...platformOf(name), optional: true };
  }
  const sorted = Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, 'en'));
  return { ...lock, packages: Object.fromEntries(sorted) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = new URL('../../package-lock.json', import.meta.url);
  const lock = JSON.parse(readFileSync(path, 'utf8'));
  const added = missingOptionalPackages(lock);
  writeFileSync(path, `${JSON.stringify(completed(lock), null, 2)}\n`);
  for (const [name, version] of added) console.log(`added ${name}@${version}`);
  console.log(`package-lock.json: ${added.length} missing optional packages added`);
}
