import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { apiError } from '../../../core/api/index.ts';
import { CodedError } from '../../../core/errors.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { SERVER, Shell } from './shell.ts';

test('the apiserver is where --server, the environment or the user say', async () => {
  const addressOf = async (line: string, environment: Record<string, string>, isRoot = true) => {
    const shell = new Shell();
    Object.assign(shell, { environment, isRoot });
    await shell.run(line);
    return shell.addresses[0];
  };
  const all = { OPENEBS_APISERVER: 'http://127.0.0.1:5656', OPENEBS_STATE: '/srv/o' };
  expect(await addressOf('status --server unix:/a.sock', all)).toBe('unix:/a.sock');
  expect(await addressOf('--server /a.sock status', all)).toBe('unix:/a.sock');
  expect(await addressOf('status', all)).toBe('http://127.0.0.1:5656');
  expect(await addressOf('status', { OPENEBS_STATE: '/srv/o', OPENEBS_APISERVER: '' })).toBe(
    'unix:/srv/o/apiserver.sock',
  );
  expect(await addressOf('status', {})).toBe(SERVER);
  expect(await addressOf('status', {}, false)).toBe(
    'unix:/home/me/.local/share/openebs/apiserver.sock',
  );
});

test('an address that is none is a misuse', async () => {
  for (const address of ['localhost:5656', 'ftp://x', 'unix:relative']) {
    const answer = await new Shell().run(`status --server ${address}`);
    expect(answer).toEqual({
      status: 2,
      stdout: '',
      stderr:
        `mayactl: "${address}" is no address of an apiserver: ` +
        'give unix:/path or http://host:port\n',
    });
  }
});

class TransportError extends CodedError<{
  readonly code: 'unreachable';
  readonly address: string;
}> {}

function unreachable(address: string, code: string) {
  return {
    request: async () => {
      const cause = Object.assign(new Error(`connect ${code}`), { code });
      throw new TransportError({ code: 'unreachable', address }, `${address}: ${code}`, cause);
    },
  };
}

test('an apiserver that does not answer is one sentence with what to do', async () => {
  const shell = new Shell();
  shell.elsewhere = unreachable(SERVER, 'ENOENT');
  expect(await shell.run('volume list')).toEqual({
    status: 1,
    stdout: '',
    stderr:
      `mayactl: no apiserver answers at ${SERVER}: start the cluster with "make up" ` +
      '(or bin/maya up), or say where it is with --server or OPENEBS_APISERVER\n',
  });
  shell.elsewhere = unreachable(SERVER, 'EACCES');
  expect((await shell.run('volume list')).stderr).toBe(
    `mayactl: ${SERVER} may not be opened by this user: run mayactl as root\n`,
  );
});

test('a problem that the apiserver tells is said in its own words', async () => {
  const shell = new Shell();
  shell.apiserver.before = () => {
    throw apiError('unavailable', 'the store is locked by another process: stop it');
  };
  const { stderr } = await shell.run('volume list');
  expect(stderr).toBe('mayactl: the store is locked by another process: stop it\n');
});

test.each([
  ['volume create data --sise 1G', "unknown option '--sise'; valid options: --size, --replicas,"],
  ['volume creat data', "unknown command 'creat'; valid commands: create, list, show,"],
  ['volume show', "missing required argument 'name'; usage: mayactl volume show"],
  ['volume show a b', 'too many arguments'],
  ['volume list -o xml', 'Allowed choices are table, json, yaml'],
  ['volume create data --size', 'argument missing'],
  ['bogus', "unknown command 'bogus'; valid commands: volume, node, status,"],
  ['completion tcsh', 'there is no completion for "tcsh"; there is for: bash, zsh, fish'],
])('mayactl %s is a misuse that names what is valid', async (line, sentence) => {
  const answer = await new Shell().run(line);
  expect(answer.status).toBe(2);
  expect(answer.stdout).toBe('');
  expect(answer.stderr).toMatch(/^mayactl: [^\n]*\n$/);
  expect(answer.stderr).toContain(sentence);
});

test('completion asks the program that is typed, wherever it is', async () => {
  await using folder = await temporaryFolder('completion');
  const { stdout: script } = await new Shell().run('completion bash');
  const program = join(folder.path, 'mayactl');
  writeFileSync(program, '#!/bin/sh\necho "$@" >&2\necho data\n', { mode: 0o755 });
  const typed = `${script}COMP_WORDS=(${program} volume show ''); COMP_CWORD=3
_mayactl; echo "\${COMPREPLY[@]}"`;
  const bash = spawnSync('bash', ['-c', typed], { encoding: 'utf8' });
  expect(bash.stdout).toBe('data\n');
});

test('help is a success on stdout; no command at all is a misuse on stderr', async () => {
  const help = await new Shell().run('volume create --help');
  expect(help).toMatchObject({ status: 0, stderr: '' });
  expect(help.stdout).toContain('--replicas <count>');
  expect(help.stdout).toContain('--server <address>');
  const nothing = await new Shell().run('');
  expect(nothing).toMatchObject({ status: 2, stdout: '' });
  expect(nothing.stderr).toContain('Usage: mayactl');
});

test('colours are for terminals, and NO_COLOR or a dumb terminal have none', async () => {
  const shell = new Shell();
  shell.apiserver.addVolume('data');
  const escape = '\u001b[32mhealthy\u001b[0m';
  expect((await shell.run('volume list')).stdout).not.toContain('\u001b');
  shell.isTerminal = true;
  expect((await shell.run('volume list')).stdout).toContain(escape);
  for (const environment of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
    shell.environment = environment;
    expect((await shell.run('volume list')).stdout).not.toContain('\u001b');
  }
});

test('what comes over the network cannot steer the terminal', async () => {
  const shell = new Shell();
  shell.apiserver.addVolume('data', { condition: 'degraded', message: 'a\u001b[2Jb\nc' });
  for (const line of ['volume list', 'volume show data']) {
    const { stdout } = await shell.run(line);
    expect(stdout).not.toContain('\u001b');
    expect(stdout).toContain('a [2Jb c');
  }
});

/** Starts `volume list`, which waits until the returned function lets it go on. */
function slowList(shell: Shell) {
  const asked = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  shell.apiserver.before = async () => {
    asked.resolve();
    await goOn.promise;
  };
  return { listed: shell.run('volume list'), asked: asked.promise, goOn: () => goOn.resolve() };
}

test('what takes longer than a second is said: one line without a terminal', async () => {
  const shell = new Shell();
  const { listed, asked, goOn } = slowList(shell);
  await asked;
  shell.passMs(900);
  expect(shell.stderr).toBe('');
  shell.passMs(200);
  shell.passMs(200);
  expect(shell.stderr).toBe('listing volumes ...\n');
  goOn();
  expect((await listed).status).toBe(0);
  expect(shell.runningClockCount).toBe(0);
});

test('on a terminal it is a spinner with the time, gone at the end', async () => {
  const shell = new Shell();
  shell.isTerminal = true;
  shell.apiserver.addVolume('data');
  const { listed, asked, goOn } = slowList(shell);
  await asked;
  shell.passMs(3_200);
  const clearLine = '\r\u001b[K';
  expect(shell.stderr.slice(0, clearLine.length)).toBe(clearLine);
  expect(shell.stderr.slice(clearLine.length)).toMatch(/^\S listing volumes \(3 s\)$/);
  goOn();
  await listed;
  expect(shell.stderr.endsWith(clearLine)).toBe(true);
});

test('Ctrl-C ends the wait with a sentence and status 130', async () => {
  const shell = new Shell();
  const created = Promise.withResolvers<void>();
  shell.apiserver.before = async ({ signal }) => {
    created.resolve();
    const aborted = Promise.withResolvers<void>();
    signal?.addEventListener('abort', () => aborted.reject(new Error('aborted')));
    await aborted.promise;
  };
  const running = shell.run('volume create data');
  await created.promise;
  shell.interrupt.abort();
  expect(await running).toEqual({
    status: 130,
    stdout: '',
    stderr: 'mayactl: interrupted while creating volume "data"; the cluster may still finish it\n',
  });
});
