import { getSystemErrorName } from 'node:util';
import { loadLibc } from './libc.ts';

/**
 * Whoever writes back pages must not wait for pages to be written back: the kernel frees memory for
 * such a thread without I/O, and throttles it by its own disk only (PR_SET_IO_FLUSHER in prctl(2),
 * Linux 5.6). It is the calling thread's, and goes on to all threads and processes that it starts
 * afterwards, also over execve: so it comes before the libuv pool has its threads.
 *
 * @returns whether it worked: null, or one sentence that says why not.
 */
export type IoFlusher = (on: boolean) => string | null;

export function ioFlusher(): IoFlusher {
  const libc = loadLibc(() => undefined);
  return (on) => {
    const errno = libc === null ? null : libc.setIoFlusher(on);
    if (errno === 0) return null;
    const why = errno === null ? 'koffi cannot be loaded' : `prctl: ${getSystemErrorName(-errno)}`;
    return (
      'when memory is short this process may wait for its own write-back: ' +
      `it cannot be made an I/O flusher, CAP_SYS_RESOURCE is needed (${why})`
    );
  };
}
