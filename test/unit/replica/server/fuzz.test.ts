/** Somebody who has the token and says anything: the replica answers, and lives on. */
import { expect, test } from '@jest/globals';
import { type SimProcess, SimRandom } from '../../../../core/platform/sim/index.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { Op, Status } from '../../../../core/wire/frame.ts';
import { expectSame, patterned } from '../../../contract/block-device-checks.ts';
import { recordOf, SimulatedReplica } from '../../../fixtures/simulated-replica.ts';
import { simulate } from '../../../fixtures/simulation.ts';
import type { WireClient } from '../../../fixtures/wire-client.ts';

const SIZE_BYTES = 4 * MiB;
const OPS = Object.values(Op) as unknown as [number, ...number[]];
const OFFSETS = [0, 1, 512, 4 * KiB, MiB, SIZE_BYTES - 512, SIZE_BYTES, 2 ** 40] as const;
const LENGTHS = [0, 1, 512, 4 * KiB, MiB, 4 * MiB, 4 * MiB + 512, 2 ** 30, 2 ** 32 - 1] as const;

/** Above all of this: where the data that must stay is. */
const FREE_BYTES = SIZE_BYTES - 64 * KiB;

function payloadOf(random: SimRandom, op: number): Buffer | null {
  const rebuildId = random.pick(['one', 'two', '../x', '']);
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  switch (op) {
    case Op.write:
      return Buffer.alloc(random.pick([0, 512, 513, 4 * KiB, 64 * KiB]), random.below(256));
    case Op.promise:
      return json(
        random.pick<unknown>([{ epoch: 1, instance: 'target-1' }, { epoch: 0 }, [], null]),
      );
    case Op.record:
      return json(random.pick([recordOf(1, random.below(4)), recordOf(9, 9), {}, 'record', null]));
    case Op.rebuild: {
      const source = { address: random.pick(['tcp:n1:7000', 'tcp:n9:1', 'x']), replicaId: 'r' };
      const action = random.pick(['begin', 'copy', 'status', 'commit', 'abandon', 'x']);
      return json({ action, rebuildId, source });
    }
    case Op.extents:
      return Buffer.alloc(random.pick([0, 3, 8, 9]), random.below(256));
    default:
      return random.chance(0.1) ? Buffer.alloc(100, random.below(256)) : null;
  }
}

function askAnything(random: SimRandom, client: WireClient): void {
  const op = random.chance(0.9) ? random.pick(OPS) : random.below(128);
  const payload = payloadOf(random, op);
  const lengthBytes = op === Op.write && payload !== null ? payload.length : random.pick(LENGTHS);
  const epoch = random.chance(0.9) ? 1 : random.below(4);
  const changes = op === Op.write || op === Op.unmap;
  const offsetBytes = random.pick(OFFSETS);
  // What lies at the end must be there afterwards.
  if (changes && offsetBytes + lengthBytes > FREE_BYTES && offsetBytes < SIZE_BYTES) return;
  void client.ask(op, { offsetBytes, lengthBytes, epoch, payload });
}

test.each(Array.from({ length: 6 }, (_none, seed) => seed))(
  'whatever a holder of the token asks, the replica lives on and keeps what it has, seed %i',
  async (seed) => {
    const random = new SimRandom(`wire ${seed}`);
    const simulation = simulate(`wire ${seed}`);
    const replica = await new SimulatedReplica(simulation, 'n1', { sizeBytes: SIZE_BYTES }).start();
    const { data } = await replica.attach(1);
    const kept = patterned(64 * KiB, seed);
    await replica.finish(data.write(FREE_BYTES, Buffer.from(kept)));
    const process: SimProcess = replica.process;
    for (let round = 0; round < 25; round += 1) {
      const role = random.pick(['control', 'data', 'source'] as const);
      const client = await replica.connect();
      if (random.chance(0.95)) {
        const pair = { epoch: 1, instance: 'target-1', rebuildId: random.pick([null, 'one']) };
        await replica.finish(client.hello(replica.hello({ role, ...pair })));
      }
      for (let count = random.below(40); count > 0; count -= 1) askAnything(random, client);
      await simulation.runFor(random.below(30));
      if (random.chance(0.5)) client.connection.destroy();
    }
    expect(process.state).toBe('running');
    const again = await replica.data(1);
    expectSame(await replica.finish(again.read(FREE_BYTES, 64 * KiB)), kept);
    expect((await replica.finish(again.ask(Op.flush)))?.status).toBe(Status.ok);
  },
);
