import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const bin = fileURLToPath(new URL('../../bin', import.meta.url));

function run(
  program: string,
  args: readonly string[],
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(program, [...args], { encoding: 'utf8' });
}

test('maya names its subcommands', () => {
  const help = run(join(bin, 'maya'), ['--help']);
  expect(help.status).toBe(0);
  for (const name of ['up', 'agent', 'apiserver', 'csi', 'provisioner', 'target', 'replica']) {
    expect(help.stdout).toContain(`  ${name} `);
  }
});

test('maya without a subcommand prints the usage as an error', () => {
  const result = run(join(bin, 'maya'), []);
  expect(result.status).toBe(2);
  expect(result.stdout).toBe('');
  expect(result.stderr).toContain('Usage: maya');
});

test('every subcommand has a help, as a success on stdout', () => {
  for (const name of ['up', 'agent', 'apiserver', 'csi', 'provisioner', 'target', 'replica']) {
    const { status, stdout, stderr } = run(join(bin, 'maya'), [name, '--help']);
    expect([name, status, stderr]).toEqual([name, 0, '']);
    expect(stdout).toContain(`Usage: maya ${name} `);
  }
});

test('an unknown subcommand is refused with one sentence, also one that objects inherit', () => {
  for (const name of ['tarjet', 'constructor']) {
    const result = run(join(bin, 'maya'), [name]);
    expect(result.status).toBe(2);
    expect(result.stderr).toBe(
      `maya: there is no subcommand "${name}"; there are: up, agent, apiserver, csi, provisioner, ` +
        'target, replica.\n',
    );
  }
});

test('node24 runs Node 24 or newer and hands its exit status through', () => {
  const node24 = join(bin, 'node24');
  const version = run(node24, ['--print', 'process.versions.node']).stdout;
  expect(Number(version.split('.')[0])).toBeGreaterThanOrEqual(24);
  expect(run(node24, ['--eval', 'process.exit(7)']).status).toBe(7);
});

test('compiled code is kept in an own node_modules, or where the environment says', () => {
  const node24 = join(bin, 'node24');
  const print = ['--print', 'process.env.NODE_COMPILE_CACHE'];
  const env = (folder: string) => ({ ...process.env, NODE_COMPILE_CACHE: folder });
  const given = spawnSync(node24, print, { encoding: 'utf8', env: env('/dev/null/nowhere') });
  expect(given.stdout).toBe('/dev/null/nowhere\n');
  const isOwn = statSync(join(bin, '../node_modules')).uid === process.getuid?.();
  const own = spawnSync(node24, print, { encoding: 'utf8', env: env('') });
  expect(own.stdout.endsWith('/node_modules/.cache/node\n')).toBe(isOwn);
});

test('a symbolic link to maya works from anywhere', () => {
  const folder = mkdtempSync(join(tmpdir(), 'maya-link-'));
  try {
    symlinkSync(join(bin, 'maya'), join(folder, 'maya'));
    expect(run(join(folder, 'maya'), ['help']).status).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
