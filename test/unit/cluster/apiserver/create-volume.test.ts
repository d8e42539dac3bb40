import { describe, expect, test } from '@jest/globals';
import { createVolume } from '../../../../cluster/apiserver/create-volume.ts';
import { deleteVolume } from '../../../../cluster/apiserver/delete-volume.ts';
import type { VolumeDocument } from '../../../../cluster/reconciler/volume.ts';
import { apiError, type CreateVolume } from '../../../../core/api/index.ts';
import { GiB } from '../../../../core/units.ts';
import { refusal } from '../../../fixtures/cluster/problem.ts';
import { SimulatedCluster } from '../../../fixtures/cluster/simulated-cluster.ts';

const create = (cluster: SimulatedCluster, request: CreateVolume) =>
  cluster.ask((context, signal) => createVolume(context, request, { signal }));

async function documents(cluster: SimulatedCluster): Promise<VolumeDocument[]> {
  return (await cluster.volumes()).map(({ value }) => value as VolumeDocument);
}

test('a volume is ready when all folders are minted, with defaults for the rest', async () => {
  const cluster = await SimulatedCluster.started();
  const view = await create(cluster, { name: 'data' });
  expect(view).toMatchObject({
    name: 'data',
    phase: 'ready',
    condition: 'healthy',
    message: '',
    sizeBytes: 5 * GiB,
    replicas: 3,
    fileSystem: 'ext4',
    fileSystemOptions: '',
    pool: null,
    attachment: null,
    target: null,
    consumers: [],
  });
  expect(view.members.map(({ node }) => node).toSorted()).toEqual(['a', 'b', 'c']);
  expect(view.members.every(({ state }) => state === 'inSync')).toBe(true);
  expect(cluster.folders()).toEqual(view.members.map(({ id }) => id).toSorted());
});

test('R6: no record before the last folder is minted, and no folder minted after', async () => {
  const cluster = await SimulatedCluster.started();
  const minted: boolean[] = [];
  for (const node of cluster.nodes) {
    node.refuse = (request) => {
      const { mint, record } = request.body as { mint: boolean; record: unknown };
      minted.push(mint);
      if (mint) expect(record).toMatchObject({ epoch: 0, generation: 1, attachment: null });
      else expect(record).toBeNull();
      return null;
    };
  }
  await create(cluster, { name: 'data' });
  expect(minted).toEqual([true, true, true]);
  const [volume] = await documents(cluster);
  expect(volume?.record).toMatchObject({
    epoch: 0,
    generation: 1,
    targetInstance: null,
    releasedBy: null,
    minInSync: 1,
    fileSystem: { kind: 'ext4', uuid: null, state: 'blank' },
  });
  for (const node of cluster.nodes) node.reboot();
  await cluster.simulation.runFor(5_000);
  expect(minted.slice(3)).toEqual([false, false, false]);
  expect(cluster.nodes.every((node) => [...node.folders.values()][0]?.process === 'running')).toBe(
    true,
  );
});

test('the default is one replica a node when fewer than three are online', async () => {
  const cluster = await SimulatedCluster.started({ nodeCount: 3 });
  cluster.node('c').isUp = false;
  await cluster.simulation.runFor(11_000);
  expect(await create(cluster, { name: 'data' })).toMatchObject({ replicas: 2 });
});

describe('a second create', () => {
  test('with equal options gives the volume that is there', async () => {
    const cluster = await SimulatedCluster.started();
    const first = await create(cluster, { name: 'data', sizeBytes: GiB, replicas: 2 });
    expect(await create(cluster, { name: 'data', sizeBytes: GiB, replicas: 2 })).toEqual(first);
    const explicit = { name: 'data', sizeBytes: GiB, replicas: 2, fileSystem: 'ext4' as const };
    expect(await create(cluster, explicit)).toEqual(first);
    expect(await documents(cluster)).toHaveLength(1);
  });

  test.each<[string, Partial<CreateVolume>]>([
    ['size is 1 GiB (1073741824 bytes), not 2 GiB', { sizeBytes: 2 * GiB }],
    ['size is 1 GiB, not 1073745920 bytes', { sizeBytes: GiB + 4096 }],
    ['replicas is 2, not 1', { replicas: 1 }],
    ['fs is ext4, not xfs', { fileSystem: 'xfs' }],
    ['fsOptions is "", not "-m 0"', { fileSystemOptions: '-m 0' }],
    ['pool is any, not fast', { pool: 'fast' }],
  ])('with another option is refused: %s', async (difference, other) => {
    const cluster = await SimulatedCluster.started();
    const first = { name: 'data', sizeBytes: GiB, replicas: 2 };
    await create(cluster, first);
    const problem = await refusal(create(cluster, { ...first, ...other }));
    expect(problem.code).toBe('exists');
    expect(problem.detail.replaceAll(/ \(\d+ bytes\)/g, '')).toContain(
      difference.replaceAll(/ \(\d+ bytes\)/g, ''),
    );
    expect(await documents(cluster)).toHaveLength(1);
  });

  test('without options is refused when the first had some, else equal', async () => {
    const cluster = await SimulatedCluster.started({ nodeCount: 2 });
    await create(cluster, { name: 'sized', sizeBytes: GiB });
    expect((await refusal(create(cluster, { name: 'sized' }))).code).toBe('exists');
    await create(cluster, { name: 'single', replicas: 1 });
    expect((await refusal(create(cluster, { name: 'single' }))).detail).toContain(
      'replicas is 1, not 3',
    );
    await create(cluster, { name: 'plain' });
    expect(await create(cluster, { name: 'plain' })).toMatchObject({ replicas: 2 });
  });
});

test('twenty creates of one name at once make one volume', async () => {
  const cluster = await SimulatedCluster.started();
  const views = await Promise.all(
    Array.from({ length: 20 }, () => create(cluster, { name: 'data', sizeBytes: GiB })),
  );
  expect(new Set(views.map(({ id }) => id)).size).toBe(1);
  expect(await documents(cluster)).toHaveLength(1);
  expect(cluster.folders()).toHaveLength(3);
});

test('of two creates at once with other options one is refused', async () => {
  const cluster = await SimulatedCluster.started();
  const outcomes = await Promise.allSettled([
    create(cluster, { name: 'data', sizeBytes: GiB }),
    create(cluster, { name: 'data', sizeBytes: 2 * GiB }),
  ]);
  expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
});

test('many volumes at once get ports of their own and never more room than there is', async () => {
  const cluster = await SimulatedCluster.started();
  const names = Array.from({ length: 30 }, (_, index) => `v${index}`);
  const outcomes = await Promise.allSettled(
    names.map((name) => create(cluster, { name, sizeBytes: 10 * GiB, replicas: 2 })),
  );
  const made = outcomes.filter(({ status }) => status === 'fulfilled');
  expect(made).toHaveLength(15);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') {
      expect(outcome.reason).toMatchObject({ data: { code: 'noSpace' } });
    }
  }
  const portals = (await documents(cluster)).map(({ portal }) => portal);
  expect(new Set(portals).size).toBe(15);
  expect(cluster.nodes.map((node) => node.reservedBytes)).toEqual([
    100 * GiB,
    100 * GiB,
    100 * GiB,
  ]);
});

describe('what cannot be placed leaves nothing behind:', () => {
  test('more replicas than nodes', async () => {
    const cluster = await SimulatedCluster.started();
    const problem = await refusal(create(cluster, { name: 'data', replicas: 5 }));
    expect(problem).toEqual({
      code: 'unplaceable',
      detail:
        'volume "data" cannot be placed: it needs 5 replicas, each on its own node, ' +
        'but 3 of 3 nodes are usable; ask for 3 at most, or add nodes',
      volume: 'data',
    });
    expect(await cluster.volumes()).toEqual([]);
  });

  test('a lost node is named', async () => {
    const cluster = await SimulatedCluster.started();
    cluster.node('c').isUp = false;
    await cluster.simulation.runFor(20_000);
    const problem = await refusal(create(cluster, { name: 'data', replicas: 3 }));
    expect(problem.code).toBe('unplaceable');
    expect(problem.detail).toMatch(
      /2 of 3 nodes are usable: c is lost \(silent for \d+ s\); ask for 2 at most/,
    );
  });

  test('pools that are full', async () => {
    const cluster = await SimulatedCluster.started();
    cluster.node('b').totalBytes = 3 * GiB;
    await cluster.simulation.runFor(2_000);
    const problem = await refusal(create(cluster, { name: 'data' }));
    expect(problem.code).toBe('noSpace');
    expect(problem.detail).toContain('but a has 100 GiB, b has 3 GiB, c has 100 GiB free');
    expect(await cluster.volumes()).toEqual([]);
  });

  test('no portal port', async () => {
    const cluster = await SimulatedCluster.started({ ports: { from: 5_000, to: 5_001 } });
    cluster.takenPorts.add(5_000);
    await create(cluster, { name: 'one' });
    const problem = await refusal(create(cluster, { name: 'two' }));
    expect(problem.code).toBe('unavailable');
    expect(problem.detail).toContain('no portal port is left in 5000-5001');
    expect((await documents(cluster)).map(({ portal }) => portal)).toEqual(['127.0.0.1:5001']);
  });
});

describe('when an agent says that it cannot,', () => {
  const full = () => apiError('noSpace', 'the pool is full');

  test('what was made is removed, the name is free, and the agent is named', async () => {
    const cluster = await SimulatedCluster.started();
    cluster.node('b').refuse = ({ method }) => (method === 'PUT' ? full() : null);
    const problem = await refusal(create(cluster, { name: 'data' }));
    expect(problem).toEqual({
      code: 'noSpace',
      detail: 'volume "data": node b: the pool is full; nothing was made',
      volume: 'data',
    });
    expect(cluster.folders()).toEqual([]);
    expect(await cluster.volumes()).toEqual([]);
    cluster.node('b').refuse = () => null;
    expect(await create(cluster, { name: 'data' })).toMatchObject({ phase: 'ready' });
  });

  test('and a node with a folder is away, the tombstone stays until it is back', async () => {
    const cluster = await SimulatedCluster.started();
    const [a, b] = [cluster.node('a'), cluster.node('b')];
    b.refuse = ({ method }) => {
      if (method !== 'PUT') return null;
      if (a.folders.size === 0) return apiError('unavailable', 'not yet');
      a.isUp = false;
      return full();
    };
    const problem = await refusal(create(cluster, { name: 'data' }));
    expect(problem.code).toBe('noSpace');
    expect(problem.detail).toMatch(
      /node b: the pool is full; what was made so far is removed, which waits for node a \(silent/,
    );
    expect(cluster.folders()).toHaveLength(1);
    b.refuse = () => null;
    const again = await refusal(create(cluster, { name: 'data' }));
    expect(again.detail).toMatch(/still being deleted: .* waits for node a \(silent for \d+ s\)/);
    a.isUp = true;
    await cluster.simulation.runFor(5_000);
    expect(cluster.folders()).toEqual([]);
    expect(await cluster.volumes()).toEqual([]);
  });

  test('a fault of the agent is tried a few times first', async () => {
    const cluster = await SimulatedCluster.started();
    let faultCount = 3;
    cluster.node('b').refuse = () => (faultCount-- > 0 ? apiError('internal', 'EACCES') : null);
    expect(await create(cluster, { name: 'data' })).toMatchObject({ phase: 'ready' });
    cluster.node('b').refuse = ({ method }) =>
      method === 'PUT' ? apiError('internal', 'EACCES') : null;
    const problem = await refusal(create(cluster, { name: 'more' }));
    expect(problem).toMatchObject({ code: 'internal', detail: expect.stringContaining('EACCES') });
    expect(cluster.folders()).toHaveLength(3);
  });
});

test('a lost answer is asked for again, and the volume has one folder a node', async () => {
  const cluster = await SimulatedCluster.started();
  const b = cluster.node('b');
  let lostCount = 2;
  b.refuse = (request) => {
    if (lostCount-- <= 0) return null;
    const { refuse } = b;
    b.refuse = () => null;
    b.handle(request);
    b.refuse = refuse;
    return new Error('connection reset');
  };
  await create(cluster, { name: 'data' });
  expect(cluster.nodes.map((node) => node.folders.size)).toEqual([1, 1, 1]);
});

test('a create that takes long says what it waits for, and goes on when asked again', async () => {
  const cluster = await SimulatedCluster.started();
  const c = cluster.node('c');
  c.refuse = () => apiError('unavailable', 'the disk is being checked');
  const startedMs = cluster.simulation.nowMs;
  const problem = await refusal(create(cluster, { name: 'data' }));
  expect(cluster.simulation.nowMs - startedMs).toBeLessThan(101_000);
  expect(problem).toEqual({
    code: 'unavailable',
    detail:
      'volume "data" is not ready yet: it waits for node c (the disk is being checked); ' +
      'create it again to go on waiting',
    volume: 'data',
  });
  c.refuse = () => null;
  expect(await create(cluster, { name: 'data' })).toMatchObject({ phase: 'ready' });
  expect(cluster.folders()).toHaveLength(3);
});

test('a create whose caller has left is made all the same', async () => {
  const cluster = await SimulatedCluster.started();
  const left = new AbortController();
  const creating = createVolume(cluster.context, { name: 'data' }, { signal: left.signal });
  left.abort();
  await expect(cluster.simulation.finish(creating)).rejects.toThrow('aborted');
  expect(await create(cluster, { name: 'data' })).toMatchObject({ phase: 'ready' });
});

test('a create during the deletion of that name makes a new volume after it', async () => {
  const cluster = await SimulatedCluster.started();
  const old = await create(cluster, { name: 'data' });
  const b = cluster.node('b');
  b.refuse = () => apiError('unavailable', 'busy');
  const deleting = cluster.ask((context, signal) => deleteVolume(context, 'data', { signal }));
  await cluster.simulation.runFor(1_000);
  const creating = create(cluster, { name: 'data' });
  await cluster.simulation.runFor(1_000);
  b.refuse = () => null;
  const made = await creating;
  expect(await deleting).toBeNull();
  expect(made.id).not.toBe(old.id);
  expect(cluster.folders()).toEqual(made.members.map(({ id }) => id).toSorted());
});

test('a volume that is deleted while being made is gone, and its creator is told', async () => {
  const cluster = await SimulatedCluster.started();
  cluster.node('c').refuse = ({ method }) =>
    method === 'PUT' ? apiError('unavailable', 'slow') : null;
  const creating = refusal(create(cluster, { name: 'data' }));
  await cluster.simulation.runFor(2_000);
  expect(
    await cluster.ask((context, signal) => deleteVolume(context, 'data', { signal })),
  ).toBeNull();
  expect(await creating).toMatchObject({
    code: 'unavailable',
    detail: expect.stringContaining('deleted while it was being made'),
  });
  expect(cluster.folders()).toEqual([]);
});

test('right after a start the default waits until the known nodes are heard again', async () => {
  const cluster = await SimulatedCluster.started();
  cluster.kill();
  await cluster.start();
  expect(await create(cluster, { name: 'data' })).toMatchObject({ replicas: 3 });
  cluster.node('c').isUp = false;
  cluster.kill();
  await cluster.start();
  const startedMs = cluster.simulation.nowMs;
  expect(await create(cluster, { name: 'more' })).toMatchObject({ replicas: 2 });
  expect(cluster.simulation.nowMs - startedMs).toBeGreaterThan(9_000);
});

test.each([
  ['a name like an id', { name: '123e4567-e89b-42d3-a456-426614174000' }, 'like a volume id'],
  [
    'fs=none with fsOptions',
    { name: 'x', fileSystem: 'none', fileSystemOptions: '-m 0' },
    'fs=none',
  ],
  ['a path in fsOptions', { name: 'x', fileSystemOptions: '-J device=/dev/sda' }, 'fsOptions'],
  ['a shell in fsOptions', { name: 'x', fileSystemOptions: '-L $(reboot)' }, 'fsOptions'],
] as const)('%s is refused', async (_what, request, said) => {
  const cluster = await SimulatedCluster.started();
  const problem = await refusal(create(cluster, request));
  expect(problem).toMatchObject({ code: 'badRequest', detail: expect.stringContaining(said) });
});
