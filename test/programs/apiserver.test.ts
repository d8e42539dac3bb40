import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { statusAt } from '../fixtures/cluster/apiserver-status.ts';
import { RunningProcess, run } from '../fixtures/processes.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const MAYA = fileURLToPath(new URL('../../bin/maya', import.meta.url));

describe('maya apiserver', () => {
  const spawn = (...args: string[]) => new RunningProcess(MAYA, ['apiserver', ...args]);
  const up = (address: string) => waitFor('the apiserver answers', () => statusAt(address), 15_000);

  test('killed with SIGKILL it starts again at once; SIGTERM ends it with status 0', async () => {
    await using folder = await temporaryFolder('main');
    const address = `unix:${folder.path}/apiserver.sock`;
    {
      await using first = spawn('--state', folder.path);
      await up(address);
      expect(await first.end('SIGKILL')).toMatchObject({ signal: 'SIGKILL' });
    }
    await using second = spawn('--state', folder.path);
    await up(address);
    expect(await second.end('SIGTERM')).toEqual({ status: 0, signal: null });
    expect(second.stderr).toContain('"message":"apiserver stops"');
    await expect(stat(join(folder.path, 'apiserver.sock'))).rejects.toThrow('ENOENT');
  });

  test('without a state folder it says how it is used', async () => {
    const answer = await run(MAYA, ['apiserver']);
    expect(answer).toMatchObject({ status: 2, stdout: '' });
    expect(answer.stderr).toMatch(/--state DIR is missing; maya apiserver --help tells more\n/);
  });
});
