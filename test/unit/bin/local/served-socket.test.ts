import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { isServed } from '../../../../bin/local/served-socket.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

test('a socket is served as long as somebody listens; a file or nothing is not', async () => {
  await using folder = await temporaryFolder('served');
  const path = join(folder.path, 'sock');
  expect(await isServed(path)).toBe(false);
  const server = createServer((connection) => connection.destroy());
  await new Promise<void>((resolve) => void server.listen(path, resolve));
  expect(await isServed(path)).toBe(true);
  await new Promise((resolve) => server.close(resolve));
  expect(await isServed(path)).toBe(false);
  writeFileSync(path, '');
  expect(await isServed(path)).toBe(false);
});
