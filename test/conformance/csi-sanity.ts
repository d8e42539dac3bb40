/** Kubernetes' conformance suite for CSI drivers, csi-sanity: built, run, and counted. */
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, runOk } from '../fixtures/processes.ts';
import { cacheFolder } from '../fixtures/rigs/linux-guest/image.ts';

/** Its go.mod and go.sum name the version of the suite and of all that it is built of. */
const MODULE = fileURLToPath(new URL('./csi-sanity/', import.meta.url));
const PACKAGE = 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity';
/** Once for a machine: 45 s when nothing else runs. */
const BUILD_TIMEOUT_MS = 900_000;
const RUN_TIMEOUT_MS = 900_000;
/** What go.mod asks for. */
export const GO_VERSION = '1.26';

export type SanityCounts = {
  readonly total: number;
  readonly passed: number;
  readonly skipped: number;
  /** With what went wrong. */
  readonly failed: readonly string[];
  /** Why tests were skipped, the most frequent reason first: `12 × Snapshot not supported`. */
  readonly skipReasons: readonly string[];
};

/** The program, from the cache where it is there. */
export async function csiSanity(): Promise<string> {
  const sums = createHash('sha256');
  for (const name of ['go.mod', 'go.sum']) sums.update(await readFile(join(MODULE, name)));
  const program = join(cacheFolder(), `csi-sanity-${sums.digest('hex').slice(0, 16)}`);
  if (await exists(program)) return program;
  await mkdir(cacheFolder(), { recursive: true });
  const folder = await mkdtemp(join(cacheFolder(), 'building-'));
  try {
    const built = join(folder, 'csi-sanity');
    const words = ['-C', MODULE, 'build', '-mod=readonly', '-trimpath', '-o', built, PACKAGE];
    const environment = { CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off', GOTOOLCHAIN: 'local' };
    await runOk('go', words, { environment, timeoutMs: BUILD_TIMEOUT_MS });
    await rename(built, program);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return program;
}

export type SanityOptions = {
  /** Of the driver, Controller and Node in one. */
  readonly socketPath: string;
  /** For its mounts; the suite makes and removes folders in it. */
  readonly folder: string;
  readonly access: 'mount' | 'block';
  readonly volumeBytes: number;
};

/** @throws Error when the suite did not come to its end. */
export async function runCsiSanity(
  program: string,
  { socketPath, folder, access: accessType, volumeBytes }: SanityOptions,
): Promise<SanityCounts & { readonly output: string }> {
  const report = join(folder, `csi-sanity-${accessType}.json`);
  const words = [
    ['--csi.endpoint', `unix://${socketPath}`],
    ['--csi.mountdir', join(folder, 'csi-mount')],
    ['--csi.stagingdir', join(folder, 'csi-staging')],
    ['--csi.testvolumesize', `${volumeBytes}`],
    ['--csi.testvolumeaccesstype', accessType],
    ['--ginkgo.json-report', report, '--ginkgo.no-color'],
  ];
  const answer = await run(program, words.flat(), { timeoutMs: RUN_TIMEOUT_MS });
  const output = `${answer.stdout}${answer.stderr}`;
  try {
    return { ...countSpecs(JSON.parse(await readFile(report, 'utf8'))), output };
  } catch (cause) {
    const how = answer.signal ?? `status ${answer.status}`;
    throw new Error(`csi-sanity ended early with ${how}:\n${output.slice(-4000)}`, { cause });
  }
}

type Spec = {
  readonly State: string;
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly Failure?: { readonly Message: string };
};

/** @param report of ginkgo, as JSON. What is neither passed nor skipped is failed. */
export function countSpecs(report: readonly { readonly SpecReports: Spec[] }[]): SanityCounts {
  const specs = report
    .flatMap(({ SpecReports }) => SpecReports)
    .filter(({ LeafNodeType, State }) => LeafNodeType === 'It' || State === 'failed');
  const reasons = new Map<string, number>();
  const failed: string[] = [];
  let skipped = 0;
  let passed = 0;
  for (const { State, ContainerHierarchyTexts, LeafNodeText, Failure } of specs) {
    const message = Failure?.Message ?? '';
    if (State === 'passed') {
      passed += 1;
    } else if (State === 'skipped' || State === 'pending') {
      skipped += 1;
      const reason = message === '' ? `${State} by the suite itself` : message;
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    } else {
      const name = [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(' ');
      failed.push(`${name}: ${State}: ${message}`);
    }
  }
  const skipReasons = [...reasons]
    .toSorted(([, one], [, other]) => other - one)
    .map(([reason, count]) => `${count} × ${reason}`);
  return { total: specs.length, passed, skipped, failed, skipReasons };
}

export function countsText(what: string, counts: SanityCounts): string {
  const { total, passed, skipped, failed, skipReasons } = counts;
  const summary =
    `csi-sanity against ${what}: ${total} tests, ${passed} run and passed, ` +
    `${skipped} skipped, ${failed.length} failed`;
  return [
    summary,
    ...failed.map((name) => `  failed ${name}`),
    ...skipReasons.map((reason) => `  skipped ${reason}`),
  ].join('\n');
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
