import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { readJsonFile, writeJsonFile } from '../../../../agent/state/json-file.ts';
import { JsonFolder } from '../../../../agent/state/json-folder.ts';
import {
  type Attachment,
  attachmentSchema,
  revisionFileSchema,
} from '../../../../agent/state/schemas.ts';
import { nodePlatform } from '../../../../core/platform/node/index.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const { files } = nodePlatform();

test('what was written is read, from a file that only its owner may read', async () => {
  await using folder = await temporaryFolder('state');
  const path = join(folder.path, 'a.json');
  expect(await readJsonFile(files, path, revisionFileSchema)).toBeNull();
  await writeJsonFile(files, path, { revision: 7 });
  expect(await readJsonFile(files, path, revisionFileSchema)).toEqual({
    formatVersion: 1,
    revision: 7,
  });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test.each([
  [
    'cut in half',
    '{"formatVersion": 1, "revi',
    'stateDamaged',
    /is damaged \(it is not whole JSON\)/,
  ],
  ['empty', '', 'stateDamaged', /is damaged/],
  ['with a wrong field', '{"revision": "7"}', 'stateDamaged', /is damaged \(revision: /],
  ['of a newer version', '{"formatVersion": 2}', 'stateNewer', /written by a newer version/],
])('a file %s is refused with one sentence that names it', async (_what, text, code, sentence) => {
  await using folder = await temporaryFolder('state');
  const path = join(folder.path, 'a.json');
  await writeFile(path, text);
  const reading = readJsonFile(files, path, revisionFileSchema);
  await expect(reading).rejects.toMatchObject({ code });
  await expect(reading).rejects.toThrow(sentence);
  await expect(reading).rejects.toThrow(path);
});

function attachment(volumeId: string): Attachment {
  return {
    volumeId,
    volumeName: 'data',
    kind: 'mount',
    door: 'docker',
    initiatorNames: [],
    phase: 'attached',
    bootId: 'boot',
    token: null,
    iqn: null,
    portal: null,
    device: null,
    mountpoint: null,
    processes: [],
    consumers: [],
    published: [],
  };
}

test('one damaged file is set aside and the others are there', async () => {
  await using folder = await temporaryFolder('state');
  const ids = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'];
  const options = { folder: folder.path, prefix: '', schema: attachmentSchema };
  const first = await JsonFolder.open(files, options);
  for (const id of ids) await first.put(id, attachment(id));
  await writeFile(join(folder.path, `${ids[0]}.json`), '{');
  await writeFile(join(folder.path, 'other.tmp'), 'left by a crash');
  const second = await JsonFolder.open(files, options);
  expect(second.ids()).toEqual([ids[1]]);
  expect(second.damage(ids[0] ?? '')).toMatch(/is damaged/);
  await second.put(ids[0] ?? '', attachment(ids[0] ?? ''));
  expect(second.damages()).toEqual([]);
  for (const id of ids) await second.remove(id);
  expect(second.values()).toEqual([]);
  expect(await readdir(folder.path)).toEqual(['other.tmp']);
});
