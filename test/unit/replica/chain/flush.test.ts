import { describe, expect, test } from '@jest/globals';
import { type BlockDone, blockError } from '../../../../core/block/block-device.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { Op, Status } from '../../../../core/wire/frame.ts';
import { FlushGate } from '../../../../replica/chain/flush-gate.ts';
import { expectSame } from '../../../contract/block-device-checks.ts';
import { SimulatedReplica } from '../../../fixtures/simulated-replica.ts';
import { simulate } from '../../../fixtures/simulation.ts';
import { jsonOf } from '../../../fixtures/wire-client.ts';

describe('R14, the gate:', () => {
  function gate() {
    const running: BlockDone[] = [];
    const answers: string[] = [];
    const flushes = new FlushGate((done) => running.push(done));
    const flush = (name: string) =>
      flushes.flush((error) => answers.push(error === null ? name : `${name} failed`));
    const end = (error: Parameters<BlockDone>[0] = null) => running.shift()?.(error);
    return { flushes, running, answers, flush, end };
  }

  test('a running flush never counts for one that came after it began', () => {
    const { running, answers, flush, end } = gate();
    flush('one');
    flush('two');
    flush('three');
    expect(running).toHaveLength(1);
    end();
    expect(answers).toEqual(['one']);
    expect(running).toHaveLength(1);
    end();
    expect(answers).toEqual(['one', 'two', 'three']);
    expect(running).toHaveLength(0);
  });

  test('a failed flush is never tried again: all later ones fail', async () => {
    const { running, answers, flush, end } = gate();
    flush('one');
    flush('two');
    end(blockError('mediumError', 'EIO'));
    await Promise.resolve();
    flush('three');
    await Promise.resolve();
    expect(answers).toEqual(['one failed', 'two failed', 'three failed']);
    expect(running).toHaveLength(0);
  });

  test('a failure that comes while a flush runs makes that one fail too', () => {
    const { flushes, answers, flush, end } = gate();
    flush('one');
    flushes.fail('the index cannot be written');
    end();
    expect(answers).toEqual(['one failed']);
  });
});

async function attached() {
  const replica = await new SimulatedReplica(simulate(1), 'n1').start();
  return { replica, ...(await replica.attach(1)) };
}

test('R14: a failed fdatasync marks the replica failed, durably; only flushes fail', async () => {
  const { replica, data } = await attached();
  await replica.finish(data.write(0, Buffer.alloc(64 * KiB, 1)));
  const disk = replica.machine.disk();
  disk.addFault({
    operation: 'datasync',
    pathIncludes: '.img',
    countMax: 1,
    effect: { kind: 'error', code: 'EIO' },
  });
  const answer = await replica.finish(data.ask(Op.flush));
  expect(answer?.status).toBe(Status.failed);
  expect(jsonOf(answer)['detail']).toMatch(/flush of volume-head-000/);
  // The disk works again, and the flush must not.
  expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.failed);
  expectSame(await replica.finish(data.read(0, KiB)), Buffer.alloc(KiB, 1));
  expect((await replica.finish(data.write(MiB, Buffer.alloc(KiB, 2))))?.status).toBe(Status.ok);

  for (const end of ['restart', 'powerCut'] as const) {
    await replica[end]();
    const client = await replica.connect();
    const hello = jsonOf(await replica.finish(client.hello(replica.hello())));
    expect(hello['failed']).toBe(true);
    const again = await replica.data(1);
    expect((await replica.finish(again.ask(Op.flush)))?.status).toBe(Status.failed);
  }
});

test('R14: the mark is kept when the disk is full', async () => {
  const { replica, data } = await attached();
  await replica.finish(data.write(0, Buffer.alloc(KiB, 1)));
  const disk = replica.machine.disk();
  disk.capacityBytes -= disk.space().freeBytes;
  const fault = { operation: 'datasync', pathIncludes: '.img', countMax: 1 } as const;
  disk.addFault({ ...fault, effect: { kind: 'error', code: 'EIO' } });
  expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.failed);
  await replica.powerCut();
  const again = await replica.data(1);
  expect((await replica.finish(again.ask(Op.flush)))?.status).toBe(Status.failed);
});

test('R14: what was answered before a kill cannot be flushed after it: failed as well', async () => {
  const { replica, data } = await attached();
  await replica.finish(data.write(0, Buffer.alloc(KiB, 1)));
  replica.machine.disk().addFault({
    operation: 'datasync',
    pathIncludes: '.img',
    countMax: 1,
    effect: { kind: 'error', code: 'EIO' },
  });
  await replica.restart();
  const again = await replica.data(1);
  expect((await replica.finish(again.ask(Op.flush)))?.status).toBe(Status.failed);
});

test('R27: an index entry that cannot be written makes flushes fail, as memory says otherwise', async () => {
  const { replica, data } = await attached();
  await replica.finish(data.write(0, Buffer.alloc(4 * KiB, 1)));
  replica.machine.disk().addFault({
    operation: 'write',
    pathIncludes: '.live',
    countMax: 1,
    effect: { kind: 'error', code: 'EIO' },
  });
  const failed = await replica.finish(data.write(MiB, Buffer.alloc(4 * KiB, 2)));
  expect(failed?.status).toBe(Status.mediumError);
  expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.failed);
});

test('R14: what a flush covered survives a power cut, whatever came during it', async () => {
  for (let seed = 0; seed < 20; seed += 1) {
    const replica = await new SimulatedReplica(simulate(seed), 'n1').start();
    const { data } = await replica.attach(1);
    for (let at = 0; at < 20; at += 1) {
      void data.write(at * 12 * KiB, Buffer.alloc(4 * KiB, at + 1));
    }
    await replica.finish(data.ask(Op.barrier));
    const flush = data.ask(Op.flush);
    void data.write(MiB, Buffer.alloc(MiB, 99));
    expect((await replica.finish(flush))?.status).toBe(Status.ok);
    await replica.powerCut();
    const { data: after } = await replica.attach(2);
    for (let at = 0; at < 20; at += 1) {
      const found = await replica.finish(after.read(at * 12 * KiB, 4 * KiB));
      expectSame(found, Buffer.alloc(4 * KiB, at + 1));
    }
  }
});
