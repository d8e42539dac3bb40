import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseCommandLine, UsageError } from '../../../../plugins/mesos/command-line.ts';
import { failed, Isolator, misused, said } from './isolator.ts';

const DRIVER = '--volumedriver=openebs';

test('flags stand anywhere, with = or a space, in any case', () => {
  const command = { kind: 'mount', name: 'data', options: { size: '1G' }, explicitCreate: false };
  for (const line of [
    '--volumedriver=openebs mount --volumename=data --volumeopts=size=1G',
    'mount --volumeDriver openebs --volumeName data --volumeopts size=1G --explicitcreate=false',
  ]) {
    expect(parseCommandLine(line.split(' '))).toEqual({ command, agent: null });
  }
});

test('an option is cut at its first = only, and not at commas', () => {
  const value = '--volumeopts=fsOptions=-E lazy_itable_init=0,nodiscard -m 1';
  const { command } = parseCommandLine(['create', DRIVER, '--volumename=data', value]);
  expect(command).toMatchObject({
    options: { fsOptions: '-E lazy_itable_init=0,nodiscard -m 1' },
  });
});

test.each([
  ['frobnicate', 'there is no command "frobnicate"; there are: mount, unmount'],
  ['mount', 'name the driver: --volumedriver=openebs'],
  ['mount --volumedriver=rexray --volumename=a', '"rexray" is not behind this command'],
  ['mount --volumedriver=openebs', 'name the volume: --volumename=NAME'],
  ['mount --volumedriver=openebs --volumename=a --volumename=b', '--volumename is given twice'],
  ['mount --volumedriver=openebs --volumename', '--volumename lacks its value'],
  ['mount a --volumedriver=openebs --volumename=a', '"a" is one word too many'],
  ['mount --volumedriver=openebs --volumename=a --volumeopts=size', 'is not KEY=VALUE'],
  ['mount --volumedriver=openebs --volumename=a --volumeopts==1', 'is not KEY=VALUE'],
  [
    'mount --volumedriver=openebs --volumename=a --volumeopts=size=1G --volumeopts=size=2G',
    '"size" is given twice',
  ],
  ['mount --volumedriver=openebs --volumename=a --explicitcreate=maybe', 'neither true nor false'],
  ['unmount --volumedriver=openebs --volumename=a --volumeopts=size=1G', 'does not go with'],
  ['mount --colour=red', 'there is no option "--colour=red"; valid options: --volumedriver'],
  ['mount -volumename=a', 'there is no option "-volumename=a"'],
])('%s is misused', async (line, sentence) => {
  const isolator = new Isolator();
  const answer = await isolator.run(...line.split(' '));
  expect(answer).toEqual(misused(expect.stringContaining(sentence)));
  expect(isolator.agent.requests).toEqual([]);
});

test('whatever words come, they are a command or one sentence', () => {
  const word = fc.oneof(
    fc.constantFrom('mount', 'list', DRIVER, '--volumename=a', '--volumeopts', '--help', '-'),
    fc.string(),
    fc.string().map((text) => `--${text}`),
  );
  fc.assert(
    fc.property(fc.array(word), (argv) => {
      try {
        parseCommandLine(argv);
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        expect(error.message).toMatch(/\S/);
      }
    }),
  );
});

test('help and version ask nobody', async () => {
  const isolator = new Isolator();
  for (const words of [[], ['help'], ['--help'], ['mount', '-h']]) {
    expect(await isolator.run(...words)).toEqual(said(expect.stringMatching(/^Usage: /) as never));
  }
  expect(await isolator.run('version')).toEqual(said('OpenEBS dvdcli 0.1.0\n'));
  expect(isolator.addresses).toEqual([]);
});

test('create, get, path, list and remove do as the original does', async () => {
  const isolator = new Isolator();
  const run = (kind: string, ...more: string[]) =>
    isolator.run(kind, DRIVER, '--volumename=data', ...more);
  const gone = failed('dvdcli: volume "data" does not exist\n');
  expect(await run('get')).toEqual(gone);
  expect(await run('path')).toEqual(gone);
  expect(await run('create', '--volumeopts=size=1G')).toEqual(said(''));
  expect(await run('get')).toEqual(said('data\n'));
  expect(await run('path')).toEqual(said(''));
  const { stdout } = await run('mount');
  expect(await run('path')).toEqual(said(stdout));
  isolator.agent.addVolume('other');
  expect(await isolator.run('list', DRIVER)).toEqual(said('data\nother\n'));
  expect(await run('remove')).toEqual(failed(expect.stringContaining('is in use by')));
  await run('unmount');
  expect(await run('remove')).toEqual(said(''));
  expect(await isolator.run('list', DRIVER)).toEqual(said('other\n'));
});

test("the agent is the one that is told, else the machine's, else the first of maya up", async () => {
  const isolator = new Isolator();
  const addressOf = async (...more: string[]) => {
    isolator.addresses.length = 0;
    await isolator.run('list', DRIVER, ...more);
    return isolator.addresses[0];
  };
  expect(await addressOf('--agent=http://127.0.0.1:9')).toBe('http://127.0.0.1:9');
  expect(await addressOf()).toBe('unix:/state/agent.sock');
  isolator.environment = { OPENEBS_AGENT: '/a.sock' };
  expect(await addressOf()).toBe('unix:/a.sock');
  isolator.environment = { OPENEBS_AGENT: '' };
  isolator.paths = ['/var/lib/openebs/node-1'];
  expect(await addressOf()).toBe('unix:/var/lib/openebs/node-1/agent.sock');
  isolator.paths.push('/var/lib/openebs/agent');
  expect(await addressOf()).toBe('unix:/var/lib/openebs/agent/agent.sock');
  isolator.isRoot = false;
  expect(await isolator.run('list', DRIVER)).toEqual(
    misused(expect.stringContaining('in /home/me/.local/share/openebs')),
  );
  isolator.environment = { OPENEBS_STATE: '/s' };
  isolator.paths = ['/s/node-1'];
  expect(await addressOf()).toBe('unix:/s/node-1/agent.sock');
  expect(await isolator.run('list', DRIVER, '--agent=here')).toEqual(
    misused(expect.stringContaining('no address of an agent')),
  );
});
