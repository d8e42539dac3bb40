import { expect, test } from '@jest/globals';
import { LocalCluster } from '../../../../bin/local/cluster.ts';
import { layoutOf } from '../../../../bin/local/layout.ts';
import { stopText } from '../../../../bin/local/words.ts';
import { type ShutdownAnswer, shutdownSchema } from '../../../../core/api/index.ts';
import type { HttpRequest, HttpTransport } from '../../../../core/platform/index.ts';
import { FakeApiserver } from '../../../fixtures/fake-apiserver.ts';
import { ManualClock, settle } from '../../../fixtures/manual-clock.ts';
import { FakeProcesses, MemoryRunRecord } from './fake-processes.ts';

type InUse = ShutdownAnswer['inUse'];

/** A cluster of two nodes whose processes and agents are played by the test. */
class Stage {
  readonly processes = new FakeProcesses();
  readonly clock = new ManualClock();
  readonly record = new MemoryRunRecord();
  readonly apiserver = new FakeApiserver();
  readonly said: string[] = [];
  /** Every stage that was asked of an agent, in order. */
  readonly stages: string[] = [];
  readonly inUse = new Map<string, InUse>();
  readonly away = new Set<string>();
  /** Sockets that somebody listens on. */
  readonly served = new Set<string>();
  readonly never = new AbortController().signal;
  readonly cluster: LocalCluster;

  constructor(dockerSocket: string | null = null) {
    const docker = dockerSocket !== null;
    const options = { nodeCount: 2, docker, dockerSocket, portalPorts: null };
    const layout = layoutOf({ state: '/state', ...options }, ['maya']);
    const { processes, clock, record } = this;
    this.cluster = new LocalCluster(layout, {
      processes,
      clock,
      record,
      say: (line) => void this.said.push(line),
      transport: (address) => this.#transport(address),
      isServed: async (path) => this.served.has(path),
    });
  }

  async start(): Promise<void> {
    const started = this.cluster.start(this.never);
    this.apiserver.addNode('node-1');
    this.apiserver.addNode('node-2');
    await this.clock.passMs(1_000);
    await started;
  }

  #transport(address: string): HttpTransport {
    if (address === 'unix:/state/apiserver.sock') return this.apiserver;
    const node = address.replace('unix:/state/', '').replace('/agent.sock', '');
    return { request: async (request) => this.#agentAnswer(node, request) };
  }

  #agentAnswer(node: string, { path, body }: HttpRequest) {
    if (this.away.has(node)) throw new Error('connect ECONNREFUSED');
    if (path === '/v1/info') return { status: 200, body: infoOf(node) };
    const { stage, force = false } = shutdownSchema.parse(body);
    this.stages.push(`${node} ${stage}${force ? ' forced' : ''}`);
    if (stage === 'exit') this.#processOf(node)?.end('status 0');
    return { status: 200, body: { inUse: this.inUse.get(node) ?? [] } };
  }

  #processOf(node: string) {
    return this.processes.all.find(({ argv }) => argv.includes(node));
  }
}

function infoOf(node: string) {
  return {
    node,
    version: '0.1.0',
    zone: null,
    pid: 1,
    apiserver: 'unix:/state/apiserver.sock',
    apiserverReachable: true,
    attachMethod: 'userspace',
    attachMethodReason: '',
    warnings: [],
  };
}

const use: InUse[number] = {
  volume: 'data',
  mountpoint: '/state/node-2/mnt/7',
  consumers: ['docker:4f2a77aa00bb11', 'mayactl'],
  holders: ['pid 123 (postgres)'],
};

test('a cluster is started when every node is online, and not before', async () => {
  const stage = new Stage();
  let isStarted = false;
  void stage.cluster.start(stage.never).then(() => (isStarted = true));
  await stage.clock.passMs(200);
  stage.apiserver.addNode('node-1');
  stage.apiserver.addNode('node-2', { state: 'lost' });
  await stage.clock.passMs(1_000);
  expect(isStarted).toBe(false);
  stage.apiserver.nodes.splice(1, 1);
  stage.apiserver.addNode('node-2');
  await stage.clock.passMs(100);
  expect(isStarted).toBe(true);
  expect(stage.processes.all.map(({ argv }) => argv.slice(0, 2).join(' '))).toEqual([
    'maya apiserver',
    'maya agent',
    'maya agent',
  ]);
});

test('a node that the store remembers is not online before its agent says so', async () => {
  const stage = new Stage();
  stage.away.add('node-2');
  stage.apiserver.addNode('node-1');
  stage.apiserver.addNode('node-2');
  let isStarted = false;
  void stage.cluster.start(stage.never).then(() => (isStarted = true));
  await stage.clock.passMs(1_000);
  expect(isStarted).toBe(false);
  stage.away.clear();
  await stage.clock.passMs(100);
  expect(isStarted).toBe(true);
});

test('a service that ends again and again ends the start, and is named', async () => {
  const stage = new Stage();
  const started = stage.cluster.start(stage.never);
  const failed = expect(started).rejects.toMatchObject({
    data: { code: 'ended', service: 'node-1', logPath: '/state/logs/node-1.log' },
  });
  for (let round = 0; round < 6; round += 1) {
    const running = stage.processes.all.findLast(({ argv }) => argv.includes('node-1'));
    running?.end('status 1');
    await stage.clock.passMs(2_000);
  }
  await failed;
});

test('a node of an earlier run that this one would not look after ends the start', async () => {
  const stage = new Stage();
  const { identity } = await stage.processes.spawn(['maya', 'agent']);
  stage.record.write('node-3', { identity, argv: ['maya', 'agent'] });
  await expect(stage.cluster.start(stage.never)).rejects.toThrow('node-3 still runs');
  expect(stage.processes.all.length).toBe(1);
  stage.processes.last.end('status 0');
  await stage.start();
});

test('a node that does not come online in a minute ends the start', async () => {
  const stage = new Stage();
  stage.apiserver.addNode('node-1');
  const failed = expect(stage.cluster.start(stage.never)).rejects.toMatchObject({
    data: { code: 'late', service: 'node-2' },
  });
  await stage.clock.passMs(61_000);
  await failed;
});

test("another cluster's Docker plugin is named before anything is started", async () => {
  const stage = new Stage('/run/docker/plugins/openebs.sock');
  stage.served.add('/run/docker/plugins/openebs.sock');
  await expect(stage.cluster.start(stage.never)).rejects.toMatchObject({
    data: { code: 'served', service: 'node-1' },
    message: expect.stringMatching(/serves \/run\/docker\/plugins\/openebs.sock: .*--no-docker/),
  });
  expect(stage.processes.all).toEqual([]);
});

test('the Docker plugin of a node that is taken over is our own', async () => {
  const stage = new Stage('/run/docker/plugins/openebs.sock');
  await stage.start();
  stage.served.add('/run/docker/plugins/openebs.sock');
  const count = stage.processes.all.length;
  await stage.cluster.start(stage.never);
  expect(stage.processes.all.length).toBe(count);
});

test('a stop goes stage by stage over all nodes, the apiserver last', async () => {
  const stage = new Stage();
  await stage.start();
  expect(await stage.cluster.stop({ force: false, signal: stage.never })).toEqual({
    kind: 'stopped',
  });
  expect(stage.stages).toEqual(
    ['check', 'attachments', 'instances', 'exit'].flatMap((name) => [
      `node-1 ${name}`,
      `node-2 ${name}`,
    ]),
  );
  expect(stage.processes.all.map(({ isRunning, signals }) => [isRunning, signals])).toEqual([
    [false, ['SIGTERM']],
    [false, []],
    [false, []],
  ]);
  await stage.clock.passMs(60_000);
  expect(stage.processes.all.length).toBe(3);
  expect(stage.clock.timerCount).toBe(0);
  expect(stage.record.entries.size).toBe(0);
});

test('a volume in use keeps everything as it is, and its users are named', async () => {
  const stage = new Stage();
  await stage.start();
  stage.inUse.set('node-2', [use]);
  const outcome = await stage.cluster.stop({ force: false, signal: stage.never });
  expect(outcome).toEqual({ kind: 'inUse', uses: [{ ...use, node: 'node-2' }] });
  expect(stage.stages).toEqual(['node-1 check', 'node-2 check']);
  expect(stage.processes.all.every(({ isRunning }) => isRunning)).toBe(true);
  const text = stopText(outcome, 'mayactl');
  expect(text).toContain('volume data on node-2, /state/node-2/mnt/7\n');
  expect(text).toContain('used by a container (docker mount 4f2a77aa00bb)\n');
  expect(text).toContain('used by mayactl\n');
  expect(text).toContain('open in pid 123 (postgres)\n');
});

test('a volume taken into use during the stop ends the stop before any replica', async () => {
  const stage = new Stage();
  await stage.start();
  const stopping = stage.cluster.stop({ force: false, signal: stage.never });
  stage.inUse.set('node-1', []);
  const push = stage.stages.push.bind(stage.stages);
  stage.stages.push = (...names) => {
    if (names[0] === 'node-1 attachments') stage.inUse.set('node-1', [use]);
    return push(...names);
  };
  expect((await stopping).kind).toBe('inUse');
  expect(stage.stages).not.toContain('node-1 instances');
  // A node that had nothing in use has let go of its volumes: it must not stay closed.
  expect(stage.stages.slice(-2)).toEqual(['node-1 resume', 'node-2 resume']);
});

test('by force the stages are the same; an agent that does not answer is passed over', async () => {
  const stage = new Stage();
  await stage.start();
  stage.inUse.set('node-2', [use]);
  stage.away.add('node-1');
  const stopping = stage.cluster.stop({ force: true, signal: stage.never });
  await stage.clock.passMs(120_000);
  expect(await stopping).toEqual({ kind: 'stopped' });
  expect(stage.stages).toEqual([
    'node-2 check forced',
    'node-2 attachments forced',
    'node-2 instances forced',
    'node-2 exit forced',
  ]);
  expect(stage.said.filter((line) => line.startsWith('node-1: '))).toHaveLength(3);
  expect(stage.processes.all.every(({ isRunning }) => !isRunning)).toBe(true);
});

test('without force an agent that does not answer keeps everything as it is', async () => {
  const stage = new Stage();
  await stage.start();
  stage.away.add('node-1');
  const stopping = stage.cluster.stop({ force: false, signal: stage.never });
  await stage.clock.passMs(16_000);
  expect(await stopping).toEqual({
    kind: 'failed',
    problems: [expect.stringContaining('node-1: node-1 cannot be reached')],
  });
  expect(stage.stages).toEqual(['node-2 check']);
});

test('an agent that was just restarting is waited for', async () => {
  const stage = new Stage();
  await stage.start();
  stage.away.add('node-1');
  const stopping = stage.cluster.stop({ force: false, signal: stage.never });
  await stage.clock.passMs(3_000);
  stage.away.clear();
  await stage.clock.passMs(1_000);
  expect(await stopping).toEqual({ kind: 'stopped' });
});

test('leaving the volumes ends agents and apiserver without asking for any shutdown', async () => {
  const stage = new Stage();
  await stage.start();
  await stage.cluster.leaveVolumes();
  await settle();
  expect(stage.stages).toEqual([]);
  expect(stage.processes.all.every(({ isRunning }) => !isRunning)).toBe(true);
});
