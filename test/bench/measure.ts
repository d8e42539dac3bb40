/** Runs every case on every system, turn by turn, so that what drifts drifts for all. */
import { IscsiInitiator } from '../fixtures/iscsi-initiator.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { fill, type LoadCase, type LoadResult, runLoad } from './load.ts';
import { cpuSecondsOf, type MemoryUse, memoryOf } from './process-usage.ts';
import { type RunningSystem, type System, startSystem } from './systems.ts';

export type BenchOptions = {
  readonly systems: readonly System[];
  readonly cases: readonly LoadCase[];
  readonly volumeBytes: number;
  readonly spanBytes: number;
  /** Of one case on one system. */
  readonly durationMs: number;
  readonly say?: (line: string) => void;
};

export type Measurement = LoadCase &
  LoadResult & {
    readonly system: string;
    readonly perSecond: number;
    /** Of all processes on the data path together. */
    readonly cpuSecondsPerMillion: number;
    readonly cpuSecondsPerMillionByProcess: Readonly<Record<string, number>>;
  };

export type ProcessMemory = MemoryUse & { readonly system: string; readonly process: string };

export type BenchReport = {
  readonly measurements: readonly Measurement[];
  readonly memory: readonly ProcessMemory[];
};

type Contender = {
  readonly name: string;
  readonly system: RunningSystem;
  readonly initiator: IscsiInitiator;
};

export async function measure(options: BenchOptions): Promise<BenchReport> {
  await using folder = await temporaryFolder('bench');
  await using running = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  for (const system of options.systems) {
    options.say?.(`starting ${system.name}`);
    const started = running.use(await startSystem(system, folder.path, options.volumeBytes));
    const initiator = await IscsiInitiator.open(started.endpoint);
    running.defer(() => initiator.destroy());
    await initiator.makeReady();
    await fill(initiator, options.spanBytes);
    contenders.push({ name: system.name, system: started, initiator });
  }
  const measurements: Measurement[] = [];
  for (const load of options.cases) {
    for (const contender of contenders) {
      options.say?.(`${caseName(load)}: ${contender.name}`);
      measurements.push(await measureOne(contender, load, options));
    }
  }
  const memory: ProcessMemory[] = [];
  for (const { name, system } of contenders) {
    for (const { name: processName, pid } of system.processes) {
      memory.push({ system: name, process: processName, ...(await memoryOf(pid)) });
    }
  }
  for (const { initiator } of contenders) await initiator.logout();
  return { measurements, memory };
}

async function measureOne(
  { name, system, initiator }: Contender,
  load: LoadCase,
  options: BenchOptions,
): Promise<Measurement> {
  const onDataPath = system.processes.filter((one) => one.isOnDataPath);
  const cpuNow = () =>
    Promise.all(
      onDataPath.map(async (one) => ({
        name: one.name,
        seconds: await cpuSecondsOf(one.pid),
      })),
    );
  const before = await cpuNow();
  const result = await runLoad(initiator, load, options);
  const after = await cpuNow();
  const byProcess = after.map(({ name: process, seconds }, index): [string, number] => {
    const used = seconds - (before[index]?.seconds ?? 0);
    return [process, (used / result.operationCount) * 1e6];
  });
  return {
    system: name,
    ...load,
    ...result,
    perSecond: result.operationCount / result.seconds,
    cpuSecondsPerMillion: byProcess.reduce((sum, [, seconds]) => sum + seconds, 0),
    cpuSecondsPerMillionByProcess: Object.fromEntries(byProcess),
  };
}

export function caseName({ kind, sizeBytes, queueDepth }: LoadCase): string {
  const size = sizeBytes >= 2 ** 20 ? `${sizeBytes / 2 ** 20} MiB` : `${sizeBytes / 2 ** 10} KiB`;
  return `${size} ${kind}, queue depth ${queueDepth}`;
}
