import { once } from 'node:events';
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { createConnection, type Server } from 'node:net';
import { dirname } from 'node:path';
import { CodedError, codeOf } from '../../core/errors.ts';

/** sockaddr_un holds 108 bytes with the closing zero. */
const PATH_BYTES_MAX = 107;

export class SocketError extends CodedError<{
  readonly code: 'served' | 'notASocket' | 'pathTooLong';
  readonly path: string;
}> {
  override readonly name = 'SocketError';
}

/**
 * Listens on a unix socket that only its owner may open (0600). A socket left behind by a process
 * that died is replaced; one that somebody serves, or a file that is no socket, never is.
 * The folder is made if it is not there (0755, as dockerd makes /run/docker/plugins).
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
    throw new SocketError(
      { code: 'pathTooLong', path },
      `socket ${path}: the path is longer than ${PATH_BYTES_MAX} bytes; choose a shorter one`,
    );
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await removeDeadSocket(path);
  // bind() happens within listen(): nobody can connect before the mode is right.
  const umask = process.umask(0o177);
  try {
    server.listen({ path });
  } finally {
    process.umask(umask);
  }
  await once(server, 'listening');
  await chmod(path, 0o600);
}

async function removeDeadSocket(path: string): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  });
  if (found === null) return;
  if (!found.isSocket()) {
    throw new SocketError(
      { code: 'notASocket', path },
      `socket ${path}: a file that is no socket is in its place; move it away`,
    );
  }
  if (await isServed(path)) {
    throw new SocketError(
      { code: 'served', path },
      `socket ${path}: another process serves it; stop that one or choose another path`,
    );
  }
  await unlink(path).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error;
  });
}

/** Only a refusal proves that nobody listens; any other failure counts as served. */
async function isServed(path: string): Promise<boolean> {
  const connection = createConnection({ path });
  try {
    await once(connection, 'connect');
    return true;
  } catch (error) {
    return codeOf(error) !== 'ECONNREFUSED' && codeOf(error) !== 'ENOENT';
  } finally {
    connection.destroy();
  }
}
