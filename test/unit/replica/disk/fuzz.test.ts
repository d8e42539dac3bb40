/** Random damage to random metadata: refused, an error, or the right bytes; never other bytes. */
import { expect, test } from '@jest/globals';
import { SimRandom } from '../../../../core/platform/sim/index.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { Op, Status } from '../../../../core/wire/frame.ts';
import { StorageError } from '../../../../replica/index.ts';
import { expectSame, patterned } from '../../../contract/block-device-checks.ts';
import { SimulatedReplica } from '../../../fixtures/simulated-replica.ts';
import { filesOf, simulate } from '../../../fixtures/simulation.ts';
import { jsonOf } from '../../../fixtures/wire-client.ts';

const SIZE_BYTES = MiB;
const FILES = [
  'identity.json',
  'promise',
  'failed',
  'record',
  'current',
  'layers-1/chain.json',
  'layers-1/volume-head-000.index',
  'layers-1/volume-head-000.live',
] as const;

/** An index where zeros came is not among them: what was never written looks like that. */
function damaged(content: Buffer, random: SimRandom, isIndex: boolean): Buffer {
  const at = random.below(content.length);
  const length = 1 + random.below(content.length - at);
  switch (random.pick(isIndex ? [0, 1, 3, 5] : [0, 1, 2, 3, 4, 5])) {
    case 0:
      return content.subarray(0, at);
    case 1:
      return Buffer.concat([content, random.bytes(1 + random.below(5000))]);
    case 2:
      return content.fill(0, at, at + length);
    case 3:
      random.bytes(length).copy(content, at);
      return content;
    case 4:
      content.copy(content, at, 0, length);
      return content;
    default:
      for (let flips = 1 + random.below(4); flips > 0; flips -= 1) {
        // Mostly where something is.
        const place = random.below(
          random.chance(0.7) ? Math.min(8300, content.length) : content.length,
        );
        content[place] = (content[place] ?? 0) ^ (1 << random.below(8));
      }
      return content;
  }
}

async function damageOne(replica: SimulatedReplica, random: SimRandom): Promise<void> {
  const name = random.pick(FILES);
  const path = `${replica.folder}/${name}`;
  const content = await replica.finish(replica.files.readWhole(path, MiB));
  const file = await filesOf(replica.process).open(path);
  const after = damaged(Buffer.from(content), random, /index|live/.test(name));
  await replica.simulation.call<[Error | null]>((done) => file.file.truncate(after.length, done));
  if (after.length > 0) await file.write(0, after);
  await file.close();
}

async function readAll(replica: SimulatedReplica, expected: Buffer): Promise<'read' | 'failed'> {
  const data = await replica.data(1);
  for (let at = 0; at < SIZE_BYTES; at += 64 * KiB) {
    const range = { offsetBytes: at, lengthBytes: 64 * KiB };
    const answer = await replica.finish(data.ask(Op.read, range));
    if (answer?.status !== Status.ok) {
      expect(answer?.status).toBe(Status.mediumError);
      return 'failed';
    }
    expectSame(answer.payload, expected.subarray(at, at + 64 * KiB));
  }
  return 'read';
}

async function outcomeOf(replica: SimulatedReplica, expected: Buffer): Promise<string> {
  try {
    await replica.open();
  } catch (error) {
    expect(error).toBeInstanceOf(StorageError);
    return 'thrown';
  }
  for (const role of ['control', 'data'] as const) {
    const client = await replica.connect();
    const pair = role === 'data' ? { epoch: 1, instance: 'target-1' } : {};
    const answer = await replica.finish(client.hello(replica.hello({ role, ...pair })));
    if (answer?.status === Status.refused) {
      const refusal = jsonOf(answer);
      expect(refusal['code']).toBe('lostIdentity');
      expect(refusal['detail']).toMatch(/^\/pool\/.*(damaged|missing)/);
      return 'refused';
    }
    expect(answer?.status).toBe(Status.ok);
  }
  return readAll(replica, expected);
}

test('damaged metadata never becomes other data, a hang or an unknown error', async () => {
  const outcomes = new Map<string, number>();
  for (let seed = 0; seed < 40; seed += 1) {
    const random = new SimRandom(`damage ${seed}`);
    const simulation = simulate(`damage ${seed}`);
    const replica = await new SimulatedReplica(simulation, 'n1', { sizeBytes: SIZE_BYTES }).start();
    const { data } = await replica.attach(1);
    const expected = Buffer.alloc(SIZE_BYTES);
    for (const at of [0, 256 * KiB, 512 * KiB + 512]) {
      const bytes = patterned(96 * KiB, at);
      bytes.copy(expected, at);
      await replica.finish(data.write(at, bytes));
    }
    await replica.finish(data.ask(Op.flush));
    // Killed or without power: its index is the one of this boot or the durable one.
    const isBooted = random.chance(0.5);
    if (isBooted) {
      replica.machine.losePower();
      replica.machine.boot();
    } else {
      await replica.kill();
    }
    replica.process = replica.machine.process('replica');
    await damageOne(replica, random);
    const outcome = await outcomeOf(replica, expected);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  expect([...outcomes.keys()].sort()).toEqual(expect.arrayContaining(['read', 'refused']));
});
