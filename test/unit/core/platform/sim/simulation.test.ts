import { describe, expect, test } from '@jest/globals';
import { AssertionFailure } from '../../../../../core/assert.ts';
import { SimRandom, SimulationError } from '../../../../../core/platform/sim/index.ts';
import { filesOf, simulate } from '../../../../fixtures/simulation.ts';

/** Timers, files, connections, a partition, a kill and a power cut: some of everything. */
async function busyRun(seed: number) {
  const simulation = simulate(seed);
  const alpha = simulation.machine('alpha');
  const beta = simulation.machine('beta');
  const server = beta.process('server');
  server.platform.network.listen(
    'tcp:0.0.0.0:7000',
    (connection) => ({
      onData: (chunk) => void connection.write(chunk),
      onClose: () => undefined,
    }),
    () => undefined,
  );
  const client = alpha.process('client');
  await simulation.runFor(1);
  const connection = client.platform.network.connect('tcp:beta:7000', {
    onData: () => undefined,
    onClose: () => undefined,
  });
  const files = filesOf(client);
  const { file } = await files.create('/data');
  for (let index = 0; index < 20; index += 1) {
    const data = client.platform.random.bytes(512 + client.platform.random.below(9_000));
    client.platform.clock.timer(client.platform.random.below(50), () => connection.write(data));
    file.write(data, client.platform.random.below(100) * 512, () => undefined);
  }
  await simulation.runFor(20);
  simulation.network.partition(['alpha'], ['beta']);
  await simulation.runFor(20);
  simulation.network.heal();
  await simulation.runFor(20);
  server.kill();
  await simulation.runFor(20);
  alpha.losePower();
  alpha.boot();
  const again = filesOf(alpha.process('client'));
  const found = (await again.exists('/data'))
    ? await (await again.open('/data', 'read')).read(0, 100_000)
    : null;
  return { hash: simulation.trace.hash, count: simulation.trace.count, found };
}

describe('a simulation', () => {
  test('does the same again with the same seed, and something else with another', async () => {
    const first = await busyRun(7);
    expect(await busyRun(7)).toEqual(first);
    expect((await busyRun(8)).hash).not.toBe(first.hash);
    expect(first.count).toBeGreaterThan(60);
  });

  test('lets every promise settle before time goes on', async () => {
    const simulation = simulate(1);
    const { clock } = simulation.machine('alpha').process('one').platform;
    const seen: number[] = [];
    clock.timer(10, () => {
      const chain = async (): Promise<void> => {
        const startMs = simulation.nowMs;
        for (let hop = 0; hop < 500; hop += 1) await Promise.resolve();
        seen.push(simulation.nowMs - startMs);
      };
      void chain();
    });
    clock.timer(10, () => undefined);
    clock.timer(11, () => undefined);
    await simulation.runFor(20);
    expect(seen).toEqual([0]);
  });

  test('calls a timer never before its time by the clock of its machine', async () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const simulation = simulate(seed);
      const { clock } = simulation.machine('alpha').process('one').platform;
      const startMs = clock.nowMs();
      const elapsedMs = await simulation.call<[number]>((done) =>
        clock.timer(4_000, () => done(clock.nowMs() - startMs)),
      );
      expect(elapsedMs[0]).toBeGreaterThanOrEqual(4_000);
      expect(elapsedMs[0]).toBeLessThan(4_002);
    }
  });

  test('gives machines clocks that drift apart', async () => {
    const simulation = simulate(3);
    const [alpha, beta] = ['alpha', 'beta'].map((name) => simulation.machine(name).clock);
    const before = [alpha?.nowMs() ?? 0, beta?.nowMs() ?? 0];
    await simulation.runFor(1_000_000);
    const elapsed = [
      (alpha?.nowMs() ?? 0) - (before[0] ?? 0),
      (beta?.nowMs() ?? 0) - (before[1] ?? 0),
    ];
    expect(elapsed[0]).not.toBe(elapsed[1]);
    for (const ms of elapsed) expect(Math.abs(ms - 1_000_000)).toBeLessThanOrEqual(200);
  });

  test('calls a cancelled timer never', async () => {
    const simulation = simulate(1);
    const { clock } = simulation.machine('alpha').process('one').platform;
    let fired = 0;
    clock
      .timer(5, () => {
        fired += 1;
      })
      .cancel();
    await simulation.runFor(50);
    expect(fired).toBe(0);
  });

  test('puts events of one instant in an order of the seed, or of their making', async () => {
    const orderOf = async (seed: number, shuffleTies: boolean): Promise<string> => {
      const simulation = simulate(seed, { shuffleTies });
      let order = '';
      for (const letter of 'abcdef') {
        simulation.after(5, () => {
          order += letter;
        });
      }
      await simulation.runFor(10);
      return order;
    };
    expect(await orderOf(1, false)).toBe('abcdef');
    const shuffled = new Set<string>();
    for (let seed = 0; seed < 20; seed += 1) shuffled.add(await orderOf(seed, true));
    expect(shuffled.size).toBeGreaterThan(10);
    for (const order of shuffled) expect(order.split('').toSorted().join('')).toBe('abcdef');
  });

  test('tells the seed and the last events when the goal is not reached', async () => {
    const simulation = simulate('the seed');
    simulation
      .machine('alpha')
      .process('one')
      .platform.clock.timer(3, () => undefined);
    const failure = await simulation.runUntil(() => false, 100, 'peace').catch((error) => error);
    expect(failure).toBeInstanceOf(SimulationError);
    expect(failure.code).toBe('notReached');
    expect(failure.message).toMatch(/^seed the seed, .* peace was not reached within 100 ms/);
    expect(failure.message).toContain('alpha/one#1: timer of 3 ms');
  });

  test('stops when code under test throws, with the cause', async () => {
    const simulation = simulate(1);
    const bug = new AssertionFailure('a bug');
    simulation
      .machine('alpha')
      .process('one')
      .platform.clock.timer(3, () => {
        throw bug;
      });
    const failure = await simulation.runFor(10).catch((error) => error);
    expect(failure).toMatchObject({ code: 'crashed', cause: bug });
  });

  test('keeps only the end of a long trace, and a hash of all', async () => {
    const simulation = simulate(1);
    for (let index = 0; index < 5_000; index += 1) simulation.note('test', `event ${index}`);
    expect(simulation.trace.count).toBe(5_000);
    expect(simulation.trace.last(2)).toEqual(['0.000 test: event 4998', '0.000 test: event 4999']);
    expect(simulation.trace.last(10_000)).toHaveLength(2_000);
  });
});

describe('simulated chance', () => {
  test('is even, within its limit, and the same for the same seed', () => {
    const random = new SimRandom('a');
    const counts = [0, 0, 0, 0, 0, 0];
    for (let index = 0; index < 60_000; index += 1) {
      const value = random.below(6);
      counts[value] = (counts[value] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
    expect(new SimRandom('a').bytes(99)).toEqual(new SimRandom('a').bytes(99));
    expect(new SimRandom('a').bytes(99)).not.toEqual(new SimRandom('b').bytes(99));
    expect(new SimRandom('a').fork('x').next()).not.toBe(new SimRandom('a').fork('y').next());
  });

  test('takes limits up to 2^48', () => {
    const random = new SimRandom('a');
    let max = 0;
    for (let index = 0; index < 1_000; index += 1) max = Math.max(max, random.below(2 ** 48));
    expect(max).toBeLessThan(2 ** 48);
    expect(max).toBeGreaterThan(2 ** 47);
    expect(random.uuid()).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
  });
});
