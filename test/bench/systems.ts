/** What is measured: started once, and reached like any iSCSI target. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type IscsiEndpoint, startTgt } from '../fixtures/rigs/tgt.ts';

export type MeasuredProcess = { readonly name: string; readonly pid: number };

export type RunningSystem = AsyncDisposable & {
  readonly endpoint: IscsiEndpoint & { readonly initiatorName?: string };
  /** All that works for the volume; the load generator is not among them. */
  readonly processes: readonly MeasuredProcess[];
};

export type System = {
  readonly name: string;
  /** @param folder of its own, existing. */
  readonly start: (folder: string, sizeBytes: number) => Promise<RunningSystem>;
};

/** The peer: written in C, keeps one copy in one file. */
export const TGT: System = {
  name: 'tgt',
  async start(folder, sizeBytes) {
    const server = await startTgt(folder, sizeBytes);
    return {
      endpoint: server,
      processes: [{ name: 'tgtd', pid: server.pid }],
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  },
};

export async function startSystem(
  system: System,
  folder: string,
  sizeBytes: number,
): Promise<RunningSystem> {
  const own = join(folder, system.name.replaceAll(/[^a-z0-9]+/g, '-'));
  await mkdir(own);
  return system.start(own, sizeBytes);
}
