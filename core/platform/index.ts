import type { Clock } from './clock.ts';
import type { Files, Host } from './files.ts';
import type { Network } from './network.ts';
import type { Random } from './random.ts';

export type { Clock, Timer } from './clock.ts';
export type {
  AllocatedRange,
  File,
  FileDone,
  FileLock,
  FileSystemSpace,
  Files,
  Host,
  OpenMode,
} from './files.ts';
export type { HttpRequest, HttpResponse, HttpTransport } from './http.ts';
export { type LogFields, type Logger, type LogLevel, silentLogger } from './logger.ts';
export type { Address, Connection, ConnectionHandlers, Listener, Network } from './network.ts';
export type { Random } from './random.ts';

/** Time, chance, network and disk as one bundle, real or simulated. */
export interface Platform {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly files: Files;
  readonly host: Host;
}
