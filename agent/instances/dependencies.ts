import type { Clock, Files, HttpTransport, Logger, Random } from '../../core/platform/index.ts';
import type { Commands } from '../host/commands.ts';
import type { Processes } from '../host/processes.ts';
import type { StatePaths } from '../state/state-folder.ts';
import type { LogFiles } from './process/log-file.ts';

/** What replicas and targets are run with. */
export interface InstanceDependencies {
  readonly node: string;
  /** Program and arguments before `replica …` and `target …`. */
  readonly launcher: readonly string[];
  readonly paths: StatePaths;
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly processes: Processes;
  readonly commands: Commands;
  readonly logFiles: LogFiles;
  /** @param address `unix:/path` of an instance's admin socket. */
  readonly transport: (address: string) => HttpTransport;
  readonly log: Logger;
}
