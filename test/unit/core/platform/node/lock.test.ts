import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { NodeFiles } from '../../../../../core/platform/node/files.ts';
import { loadLibc } from '../../../../../core/platform/node/libc.ts';
import { temporaryFolder } from '../../../../fixtures/temporary-folder.ts';

const libraries = [
  ['flock', loadLibc(() => undefined)],
  ['a socket where there is no koffi', null],
] as const;

test.each(libraries)('a file has one lock at a time, by %s', async (_name, libc) => {
  await using folder = await temporaryFolder('lock');
  const path = join(folder.path, 'lock');
  const held = await new NodeFiles(libc).lock(path);
  await expect(new NodeFiles(libc).lock(path)).rejects.toMatchObject({ code: 'EBUSY' });
  await held.release();
  const next = await new NodeFiles(libc).lock(path);
  await next.release();
});
