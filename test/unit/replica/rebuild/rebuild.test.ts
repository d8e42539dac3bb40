import { describe, expect, test } from '@jest/globals';
import { SimRandom } from '../../../../core/platform/sim/index.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import {
  Op,
  type RebuildAnswer,
  type RebuildRequest,
  Status,
} from '../../../../core/wire/frame.ts';
import { expectSame, patterned } from '../../../contract/block-device-checks.ts';
import { SimulatedReplica } from '../../../fixtures/simulated-replica.ts';
import { simulate } from '../../../fixtures/simulation.ts';
import { jsonOf, type WireClient } from '../../../fixtures/wire-client.ts';

const SIZE_BYTES = MiB;
const REBUILD = 'rebuild-1';
const DATA_BYTES = 256 * KiB;
const STALE = Buffer.alloc(64 * KiB, 'stale');

/** A source in sync with one target, and a member that holds something else. */
class Rig {
  readonly source: SimulatedReplica;
  readonly member: SimulatedReplica;
  sourceData!: WireClient;
  control!: WireClient;

  constructor(seed: number | string) {
    const simulation = simulate(seed);
    const options = { sizeBytes: SIZE_BYTES };
    this.source = new SimulatedReplica(simulation, 'n1', options);
    this.member = new SimulatedReplica(simulation, 'n2', options);
  }

  async start(): Promise<this> {
    await this.source.start();
    await this.member.start();
    const stale = await this.member.attach(1);
    await this.finish(stale.data.write(0, STALE));
    await this.finish(stale.data.ask(Op.flush));
    await this.source.control(2);
    this.sourceData = await this.source.data(2);
    this.control = await this.member.control(2);
    return this;
  }

  finish<Value>(promise: Promise<Value>): Promise<Value> {
    return this.source.finish(promise);
  }

  async order(order: RebuildRequest) {
    const answer = await this.finish(this.control.askJson(Op.rebuild, order));
    return { status: answer?.status, body: jsonOf(answer) };
  }

  /** An order that must go well. */
  async ordered(action: Exclude<RebuildRequest['action'], 'copy'>): Promise<RebuildAnswer> {
    const { status, body } = await this.order({ action, rebuildId: REBUILD });
    expect(status).toBe(Status.ok);
    return body as unknown as RebuildAnswer;
  }

  async copy(): Promise<void> {
    const source = { address: this.source.address, replicaId: this.source.id };
    const { status, body } = await this.order({ action: 'copy', rebuildId: REBUILD, source });
    expect(status).toBe(Status.ok);
    expect(['copying', 'copied']).toContain(body['phase']);
  }

  /** @returns what `status` says when it is over. */
  async copied(): Promise<RebuildAnswer> {
    for (;;) {
      const answer = await this.ordered('status');
      if (answer.phase !== 'copying') return answer;
      await this.source.simulation.runFor(5);
    }
  }

  async contentOf(client: WireClient): Promise<Buffer> {
    return this.finish(client.read(0, SIZE_BYTES));
  }
}

/** Whole, odd and tiny writes, and unmaps, as a file system would never do them. */
function randomChange(random: SimRandom, step: number): [op: number, at: number, data: Buffer] {
  const sectors = SIZE_BYTES / 512;
  const count = 1 + random.below(random.pick([1, 7, 8, 64, 200]));
  const at = random.below(sectors - count + 1) * 512;
  const op = random.chance(0.25) ? Op.unmap : Op.write;
  return [op, at, patterned(count * 512, step)];
}

function send(client: WireClient, [op, offsetBytes, data]: [number, number, Buffer]) {
  if (op === Op.write) return client.write(offsetBytes, Buffer.from(data));
  return client.ask(op, { offsetBytes, lengthBytes: data.length });
}

test.each(Array.from({ length: 6 }, (_none, seed) => seed))(
  'R22: a rebuild under live writes ends with the bytes of its source, seed %i',
  async (seed) => {
    const rig = await new Rig(`live ${seed}`).start();
    const random = new SimRandom(`live ${seed}`);
    // What is copied may be long on its way: live changes overtake it.
    if (seed % 2 === 1) rig.source.simulation.network.setLink('n1', 'n2', { latencyMs: [5, 40] });
    for (let step = 0; step < 30; step += 1) {
      await rig.finish(send(rig.sourceData, randomChange(random, step)));
    }
    await rig.ordered('begin');
    const live = await rig.member.data(2, REBUILD);
    const answers: Promise<unknown>[] = [];
    const both = (step: number) => {
      const change = randomChange(random, 1000 + step);
      answers.push(send(rig.sourceData, change), send(live, change));
    };
    // Some before the copy starts: parts of blocks wait for their source.
    for (let step = 0; step < 10; step += 1) both(step);
    await rig.finish(rig.sourceData.ask(Op.barrier));
    await rig.copy();
    let step = 10;
    for (;;) {
      both(step);
      step += 1;
      if (random.chance(0.2)) answers.push(live.ask(Op.flush));
      const { phase } = await rig.ordered('status');
      if (phase !== 'copying') break;
    }
    for (let more = 0; more < 10; more += 1) both(step + more);
    const ends = (await rig.finish(Promise.all(answers))) as ({ status: number } | null)[];
    expect(ends.map((end) => end?.status)).toEqual(ends.map(() => Status.ok));
    expect(await rig.ordered('status')).toMatchObject({ phase: 'copied', error: null });

    const region = { offsetBytes: 0, lengthBytes: SIZE_BYTES };
    const [one, two] = await rig.finish(
      Promise.all([rig.sourceData.ask(Op.checksum, region), live.ask(Op.checksum, region)]),
    );
    expect(one?.payload.equals(two?.payload ?? Buffer.alloc(0))).toBe(true);
    expect((await rig.ordered('commit')).phase).toBe('committed');
    expect((await rig.ordered('finish')).phase).toBe('none');

    const expected = await rig.contentOf(rig.sourceData);
    expectSame(await rig.contentOf(live), expected);
    await rig.member.powerCut();
    expectSame(await rig.contentOf(await rig.member.data(2)), expected);
  },
);

async function written(seed: string): Promise<Rig> {
  const rig = await new Rig(seed).start();
  await rig.finish(rig.sourceData.write(0, patterned(DATA_BYTES, 1)));
  return rig;
}

test('R22: an unmap, or a write, that overtakes the copy on its way is not undone by it', async () => {
  for (let seed = 0; seed < 12; seed += 1) {
    const rig = await written(`overtakes ${seed}`);
    rig.source.simulation.network.setLink('n1', 'n2', { latencyMs: [20, 20] });
    await rig.ordered('begin');
    const live = await rig.member.data(2, REBUILD);
    await rig.copy();
    // Connect, hello, count, list, read: one of the moments is between read and arrival.
    await rig.source.simulation.runFor(seed * 20);
    const both = [rig.sourceData, live].flatMap((client) => [
      client.ask(Op.unmap, { offsetBytes: 16 * KiB, lengthBytes: 64 * KiB }),
      client.write(128 * KiB + 512, Buffer.alloc(4 * KiB, 7)),
    ]);
    await rig.finish(Promise.all(both));
    expect((await rig.copied()).phase).toBe('copied');
    expectSame(await rig.contentOf(live), await rig.contentOf(rig.sourceData));
  }
});

test('R23: the stale copy goes only when the rebuild is finished', async () => {
  const rig = await written('stale');
  const folders = async () => {
    await rig.source.simulation.runFor(1_000);
    const names = await rig.finish(rig.member.files.list(rig.member.folder));
    return names.filter((name) => name.includes('layers'));
  };
  await rig.ordered('begin');
  expect(await folders()).toEqual(['layers-1', 'layers-2']);
  await rig.copy();
  await rig.copied();
  await rig.ordered('commit');
  expect(await folders()).toEqual(['layers-1', 'layers-2']);
  await rig.ordered('finish');
  expect(await folders()).toEqual(['layers-2']);
});

test('R23: a replica that is stopped before the commit has its stale copy, and nothing else', async () => {
  for (const end of ['restart', 'powerCut'] as const) {
    const rig = await written(end);
    await rig.ordered('begin');
    await rig.copy();
    await rig.copied();
    await rig.member[end]();
    rig.control = await rig.member.control(2);
    expect((await rig.ordered('status')).phase).toBe('none');
    const data = await rig.member.data(2);
    expectSame(await rig.finish(data.read(0, STALE.length)), STALE);
    await rig.source.simulation.runFor(1_000);
    const names = await rig.finish(rig.member.files.list(rig.member.folder));
    expect(names.filter((name) => name.includes('layers'))).toEqual(['layers-1']);
  }
});

test('R24: a replica that is stopped after the commit is the new copy, under either name', async () => {
  for (const end of ['restart', 'powerCut'] as const) {
    const rig = await written(end);
    await rig.ordered('begin');
    await rig.copy();
    await rig.copied();
    await rig.ordered('commit');
    await rig.member[end]();
    rig.control = await rig.member.control(2);
    expect((await rig.ordered('status')).phase).toBe('committed');
    expect((await rig.ordered('commit')).phase).toBe('committed');
    for (const rebuildId of [REBUILD, null]) {
      const data = await rig.member.data(2, rebuildId);
      expectSame(await rig.finish(data.read(0, DATA_BYTES)), patterned(DATA_BYTES, 1));
    }
    await rig.ordered('finish');
    await rig.source.simulation.runFor(1_000);
    const names = await rig.finish(rig.member.files.list(rig.member.folder));
    expect(names.filter((name) => name.includes('layers'))).toEqual(['layers-2']);
  }
});

test('R23: at whatever moment of a commit power is lost, the old copy is there or the new one', async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 10; seed += 1) {
    const rig = await written(`commit ${seed}`);
    await rig.ordered('begin');
    await rig.copy();
    await rig.copied();
    void rig.control.askJson(Op.rebuild, { action: 'commit', rebuildId: REBUILD });
    await rig.source.simulation.runFor(rig.source.simulation.random.below(200) / 10);
    await rig.member.powerCut();
    await rig.member.control(2);
    const data = await rig.member.data(2);
    const content = await rig.finish(data.read(0, STALE.length));
    const isOld = content.equals(STALE);
    if (!isOld) expectSame(content, patterned(DATA_BYTES, 1).subarray(0, STALE.length));
    seen.add(isOld ? 'old' : 'new');
  }
  expect([...seen].sort()).toEqual(['new', 'old']);
});

describe('no room:', () => {
  test('a pool that is full begins no rebuild, and keeps the stale copy', async () => {
    const rig = await written('full');
    const disk = rig.member.machine.disk();
    disk.capacityBytes -= disk.space().freeBytes - MiB;
    const { status, body } = await rig.order({ action: 'begin', rebuildId: REBUILD });
    expect(status).toBe(Status.refused);
    expect(body).toEqual({ code: 'noRoom', detail: expect.stringMatching(/1 MiB free/) });
    const data = await rig.member.data(2);
    expectSame(await rig.finish(data.read(0, STALE.length)), STALE);
  });

  test('what does not fit is known before anything is copied', async () => {
    const rig = await written('large');
    const disk = rig.member.machine.disk();
    disk.capacityBytes -= disk.space().freeBytes - 16 * MiB - 128 * KiB;
    await rig.ordered('begin');
    await rig.copy();
    const answer = await rig.copied();
    expect(answer).toMatchObject({ phase: 'failed', copiedBytes: 0, totalBytes: DATA_BYTES });
    expect(answer.error).toMatch(/no room.*needs 16.3 MiB/);
  });
});

test('a source that breaks away fails the rebuild, and what waits for it', async () => {
  const rig = await written('break');
  await rig.ordered('begin');
  const live = await rig.member.data(2, REBUILD);
  rig.source.machine.disk().hang();
  await rig.copy();
  const part = live.write(512, Buffer.alloc(512, 7));
  await rig.source.simulation.runFor(100);
  await rig.source.kill().catch(() => undefined);
  rig.source.machine.losePower();
  const answer = await rig.copied();
  expect(answer.phase).toBe('failed');
  expect(answer.error).toMatch(/^the source tcp:n1:7000 failed: /);
  expect((await rig.finish(part))?.status).toBe(Status.mediumError);
  expect((await rig.order({ action: 'commit', rebuildId: REBUILD })).status).toBe(
    Status.badRequest,
  );
});

test('a source that is silent is given up', async () => {
  const rig = await written('silent');
  await rig.ordered('begin');
  rig.source.machine.disk().hang();
  await rig.copy();
  await rig.source.simulation.runFor(15_000);
  expect(await rig.ordered('status')).toMatchObject({
    phase: 'failed',
    error: expect.stringMatching(/does not answer/),
  });
});

test('R17: who was paused itself does not hold the silence against its source', async () => {
  const rig = await new Rig('paused').start();
  await rig.finish(rig.sourceData.write(0, patterned(DATA_BYTES, 1)));
  await rig.ordered('begin');
  const { simulation } = rig.source;
  simulation.network.setLink('n1', 'n2', { latencyMs: [200, 200] });
  await rig.copy();
  await simulation.runFor(700);
  // Asked, and the answer does not come through.
  simulation.network.block('n1', 'n2');
  await simulation.runFor(100);
  rig.member.process.pause();
  await simulation.runFor(14_000);
  simulation.network.heal();
  await simulation.runFor(1_000);
  rig.member.process.resume();
  expect((await rig.copied()).phase).toBe('copied');
});

test('a source that refuses says why', async () => {
  const rig = await written('refused');
  await rig.ordered('begin');
  await rig.source.control(3);
  await rig.copy();
  const answer = await rig.copied();
  expect(answer).toMatchObject({ phase: 'failed', error: expect.stringMatching(/fenced/) });
});

test('R9: a newer promise stops the copy, and nothing of it lands in the next session', async () => {
  const rig = await written('newer');
  await rig.ordered('begin');
  rig.member.machine.disk().addFault({
    operation: 'write',
    pathIncludes: 'layers-2/volume-head-000.img',
    effect: { kind: 'delay', delayMs: 4_000 },
  });
  await rig.copy();
  await rig.source.simulation.runFor(200);
  await rig.member.control(3);
  const started = rig.source.simulation.nowMs;
  const client = await rig.member.connect();
  const hello = rig.member.hello({ role: 'data', epoch: 3, instance: 'target-3' });
  expect((await rig.finish(client.hello(hello)))?.status).toBe(Status.ok);
  expect(rig.source.simulation.nowMs - started).toBeGreaterThan(2_000);
  rig.control = await rig.member.control(3);
  expect(await rig.ordered('status')).toMatchObject({
    phase: 'failed',
    error: 'a newer target took over',
  });
  expectSame(await rig.finish(client.read(0, STALE.length)), STALE);
});

test('begin again starts from nothing, and ends the session of the former one', async () => {
  const rig = await written('again');
  await rig.ordered('begin');
  const live = await rig.member.data(2, REBUILD);
  await rig.finish(live.write(768 * KiB, Buffer.alloc(4 * KiB, 9)));
  await rig.ordered('begin');
  expect(await rig.finish(live.ask(Op.flush))).toBeNull();
  await rig.copy();
  await rig.copied();
  const data = await rig.member.data(2, REBUILD);
  expectSame(await rig.finish(data.read(768 * KiB, 4 * KiB)), Buffer.alloc(4 * KiB));
});

test('a rebuild that is abandoned leaves the stale copy and nothing else', async () => {
  const rig = await written('abandon');
  await rig.ordered('begin');
  const live = await rig.member.data(2, REBUILD);
  const part = live.write(512, Buffer.alloc(512, 7));
  await rig.source.simulation.runFor(100);
  expect((await rig.ordered('abandon')).phase).toBe('none');
  expect((await rig.finish(part))?.status).toBe(Status.mediumError);
  await rig.source.simulation.runFor(1_000);
  const names = await rig.finish(rig.member.files.list(rig.member.folder));
  expect(names.filter((name) => name.includes('layers'))).toEqual(['layers-1']);
  const refused = await rig.member.connect();
  const hello = rig.member.hello({
    role: 'data',
    epoch: 2,
    instance: 'target-2',
    rebuildId: REBUILD,
  });
  expect(jsonOf(await rig.finish(refused.hello(hello)))['code']).toBe('noSuchRebuild');
});

test('orders out of their turn are refused, with what is wrong', async () => {
  const rig = await written('order');
  const source = { address: rig.source.address, replicaId: rig.source.id };
  for (const order of [
    { action: 'copy', rebuildId: REBUILD, source },
    { action: 'commit', rebuildId: REBUILD },
    { action: 'finish', rebuildId: REBUILD },
  ] as const) {
    const { status, body } = await rig.order(order);
    expect([status, body['code']]).toEqual([Status.refused, 'noSuchRebuild']);
  }
  await rig.ordered('begin');
  const early = await rig.order({ action: 'commit', rebuildId: REBUILD });
  expect(early.status).toBe(Status.badRequest);
  expect(early.body['detail']).toMatch(/is empty and cannot be committed/);
  await rig.copy();
  await rig.copied();
  const twice = await rig.order({ action: 'copy', rebuildId: REBUILD, source });
  expect(twice.status).toBe(Status.badRequest);
  for (const body of [null, {}, { action: 'begin' }, { action: 'x', rebuildId: 'r' }]) {
    const answer = await rig.finish(rig.control.askJson(Op.rebuild, body));
    expect(answer?.status).toBe(Status.badRequest);
  }
});

test('R14: a failed replica is whole again when it is rebuilt', async () => {
  const rig = await written('failed');
  const stale = await rig.member.data(2);
  const fault = { operation: 'datasync', pathIncludes: '.img', countMax: 1 } as const;
  rig.member.machine.disk().addFault({ ...fault, effect: { kind: 'error', code: 'EIO' } });
  expect((await rig.finish(stale.ask(Op.flush)))?.status).toBe(Status.failed);
  await rig.ordered('begin');
  await rig.copy();
  await rig.copied();
  await rig.ordered('commit');
  await rig.ordered('finish');
  await rig.member.restart();
  const client = await rig.member.connect();
  const hello = jsonOf(await rig.finish(client.hello(rig.member.hello())));
  expect(hello['failed']).toBe(false);
  const data = await rig.member.data(2);
  expect((await rig.finish(data.ask(Op.flush)))?.status).toBe(Status.ok);
});

test('R6: a replica whose layers are lost is rebuilt beside them', async () => {
  const rig = await written('lost');
  await rig.member.kill();
  rig.member.process = rig.member.machine.process('replica');
  await rig.finish(rig.member.files.remove(`${rig.member.folder}/layers-1/chain.json`));
  await rig.member.open();
  rig.control = await rig.member.control(2);
  await rig.ordered('begin');
  await rig.copy();
  await rig.copied();
  await rig.ordered('commit');
  await rig.ordered('finish');
  const data = await rig.member.data(2);
  expectSame(await rig.finish(data.read(0, DATA_BYTES)), patterned(DATA_BYTES, 1));
});

test('a rebuild that cannot be flushed is not committed', async () => {
  const rig = await written('unflushed');
  await rig.ordered('begin');
  await rig.copy();
  await rig.copied();
  const fault = { operation: 'datasync', pathIncludes: 'layers-2' } as const;
  rig.member.machine.disk().addFault({ ...fault, effect: { kind: 'error', code: 'EIO' } });
  const { status } = await rig.order({ action: 'commit', rebuildId: REBUILD });
  expect(status).toBe(Status.mediumError);
  const data = await rig.member.data(2);
  expectSame(await rig.finish(data.read(0, STALE.length)), STALE);
});
