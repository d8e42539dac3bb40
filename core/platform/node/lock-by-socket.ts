import type { FileHandle } from 'node:fs/promises';
import * as net from 'node:net';
import type { FileLock } from '../files.ts';

/**
 * Where there is no flock: an abstract unix socket (unix(7)) named after the file. It ends with
 * the process as well, but is seen only within one network namespace.
 *
 * @throws EADDRINUSE when somebody has the lock.
 */
export async function lockBySocket(handle: FileHandle): Promise<FileLock> {
  const { dev, ino } = await handle.stat({ bigint: true });
  const server = net.createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path: `\0openebs-lock-${dev}-${ino}` }, resolve);
  });
  server.unref();
  return {
    release: async () => {
      await new Promise((resolve) => server.close(resolve));
      await handle.close();
    },
  };
}
