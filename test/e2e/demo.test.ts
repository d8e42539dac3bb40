/** `make demo` without its set-up: the story of the README must stay true. */
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';
import { needs } from '../fixtures/needs.ts';
import { run } from '../fixtures/processes.ts';
import { CLUSTER_COMMANDS } from '../fixtures/rigs/cluster.ts';
import { lastingLeftovers } from '../fixtures/rigs/leftovers.ts';

const DEMO = fileURLToPath(new URL('../../bin/demo.ts', import.meta.url));
const TIMEOUT_MS = 300_000;
const command = [...CLUSTER_COMMANDS, 'fsck.ext4'];

needs({ linux: true, root: true, command }).test(
  'the demo tells its story to the end, exits 0 and leaves nothing behind',
  async () => {
    const node = ['--disable-warning=ExperimentalWarning', DEMO];
    const answer = await run(process.execPath, node, { timeoutMs: TIMEOUT_MS });
    if (answer.status !== 0) throw new Error(`${answer.stdout}\n${answer.stderr}`);
    process.stdout.write(answer.stdout);
    expect(answer.stderr).toBe('');
    expect(answer.stdout).toContain('no byte was lost');
    const folder = /\/\S*openebs-demo-\w+/.exec(answer.stdout)?.[0];
    if (folder === undefined) throw new Error('the demo did not say where it works');
    expect(await lastingLeftovers(folder)).toEqual([]);
    await expect(stat(folder)).rejects.toMatchObject({ code: 'ENOENT' });
  },
  TIMEOUT_MS,
);
