import { statSync } from 'node:fs';
import { createServer } from 'node:net';
import { CodedError, codeOf } from '../../core/errors.ts';

export class FolderLockError extends CodedError<{
  readonly code: 'locked' | 'unusable';
  readonly folder: string;
}> {
  override readonly name = 'FolderLockError';
}

/**
 * One `maya up` a state folder. The lock is an abstract unix socket (unix(7)) named after the
 * folder's device and inode: the kernel frees it with the process, so none is ever stale. While it
 * is held it also keeps the process, which otherwise has nothing to wait for but signals.
 */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  const { dev, ino } = statSync(folder);
  const server = createServer((connection) => connection.destroy());
  const listening = Promise.withResolvers<void>();
  server.on('error', listening.reject);
  server.listen({ path: `\0openebs-up-${dev}-${ino}` }, listening.resolve);
  try {
    await listening.promise;
  } catch (cause) {
    if (codeOf(cause) !== 'EADDRINUSE') throw cause;
    throw new FolderLockError(
      { code: 'locked', folder },
      `another maya up runs on ${folder}: stop it first (Ctrl-C), or choose a folder with --state`,
      cause,
    );
  }
  return {
    async [Symbol.asyncDispose]() {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}
