import { createConnection } from 'node:net';

/** Whether some process listens on this unix socket. One left behind by a dead process: no. */
export function isServed(path: string): Promise<boolean> {
  const answer = Promise.withResolvers<boolean>();
  const connection = createConnection({ path });
  connection.on('connect', () => answer.resolve(true));
  connection.on('error', () => answer.resolve(false));
  return answer.promise.finally(() => connection.destroy());
}
