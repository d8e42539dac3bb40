import type { Platform } from '../index.ts';
import { NodeClock } from './clock.ts';
import { NodeFiles } from './files.ts';
import { NodeHost } from './host.ts';
import { loadLibc } from './libc.ts';
import { NodeNetwork } from './network.ts';
import { NodeRandom } from './random.ts';

export {
  HttpTransportError,
  type HttpTransportErrorData,
  type NodeHttpOptions,
  NodeHttpTransport,
} from './http.ts';
export { type IoFlusher, ioFlusher } from './io-flusher.ts';

/** @param note told once what this machine lacks, and what is done instead. */
export function nodePlatform(
  note: (sentence: string, cause: unknown) => void = () => undefined,
): Platform {
  const libc = loadLibc(note);
  return {
    clock: new NodeClock(libc),
    random: new NodeRandom(),
    network: new NodeNetwork(),
    files: new NodeFiles(libc),
    host: new NodeHost(),
  };
}
