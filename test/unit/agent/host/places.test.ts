import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { nodePlaces } from '../../../../agent/host/places.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

test('a path that can be nothing is missing: too long a name, or below a file', async () => {
  await using folder = await temporaryFolder('places');
  await writeFile(join(folder.path, 'file'), '');
  for (const name of ['x'.repeat(300), 'file/below', 'gone']) {
    const path = join(folder.path, name);
    expect(await nodePlaces.kindOf(path)).toBe('missing');
    expect(await nodePlaces.remove(path)).toBe(true);
  }
  expect(await nodePlaces.kindOf(join(folder.path, 'file'))).toBe('emptyFile');
});
