import { describe, expect, test } from '@jest/globals';
import { type BlockDone, blockError } from '../../../../core/block/block-device.ts';
import type { Platform } from '../../../../core/platform/index.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { Op, Status } from '../../../../core/wire/frame.ts';
import { FlushGate } from '../../../../replica/chain/flush-gate.ts';
import { BLOCKS_PER_PAGE } from '../../../../replica/chain/index-page.ts';
import { expectSame } from '../../../contract/block-device-checks.ts';
import { createChain, flushed, openChain, written } from '../../../fixtures/chains.ts';
import { SimulatedReplica } from '../../../fixtures/simulated-replica.ts';
import { filesOf, simulate } from '../../../fixtures/simulation.ts';
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

  test('one that was refused for want of space is tried again', () => {
    const { running, answers, flush, end } = gate();
    flush('one');
    flush('two');
    end(blockError('noSpace', 'ENOSPC'));
    expect(answers).toEqual(['one failed']);
    expect(running).toHaveLength(1);
    end();
    expect(answers).toEqual(['one failed', 'two']);
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

describe('R14, without space:', () => {
  const noSpace = { effect: { kind: 'error', code: 'ENOSPC' } } as const;

  test.each(['.live', '.index'])(
    'a flush that cannot write its %s has forgotten nothing, and a later one does it',
    async (file) => {
      const { replica, data } = await attached();
      await replica.finish(data.write(0, Buffer.alloc(64 * KiB, 1)));
      const fault = { operation: 'write', pathIncludes: file, ...noSpace } as const;
      const end = replica.machine.disk().addFault(fault);
      for (const _attempt of [1, 2]) {
        expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.noSpace);
      }
      end();
      expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.ok);
      await replica.powerCut();
      const after = await replica.data(1);
      expectSame(await replica.finish(after.read(0, 64 * KiB)), Buffer.alloc(64 * KiB, 1));
    },
  );

  test('a mark that cannot be kept fails the replica, and what is answered later is kept', async () => {
    const replica = await new SimulatedReplica(simulate(1), 'n1', { sizeBytes: 128 * MiB }).start();
    const { data } = await replica.attach(1);
    // Two pages of the index, of which the first cannot be written.
    const border = BLOCKS_PER_PAGE * 4 * KiB;
    for (const at of [0, border]) await replica.finish(data.write(at, Buffer.alloc(KiB, 1)));
    const fault = { operation: 'write', pathIncludes: '.live', ...noSpace } as const;
    const end = replica.machine.disk().addFault(fault);
    const across = Buffer.alloc(32 * KiB, 2);
    const failing = await replica.finish(data.write(border - 16 * KiB, across));
    expect(failing?.status).toBe(Status.mediumError);
    end();
    // Its marks are in memory already, and must not be taken for ones that are kept.
    const second = across.subarray(0, 16 * KiB);
    expect((await replica.finish(data.write(border, second)))?.status).toBe(Status.ok);
    expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.failed);
    await replica.restart();
    const after = await replica.data(1);
    expectSame(await replica.finish(after.read(border, 16 * KiB)), second);
    expect((await replica.finish(after.ask(Op.flush)))?.status).toBe(Status.failed);
  });

  test('an fdatasync that fails is a failure all the same', async () => {
    const { replica, data } = await attached();
    await replica.finish(data.write(0, Buffer.alloc(64 * KiB, 1)));
    const fault = { operation: 'datasync', pathIncludes: '.index', countMax: 1 } as const;
    replica.machine.disk().addFault({ ...fault, ...noSpace });
    expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.failed);
    expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.failed);
  });

  test.each(['.live', '.index'])(
    'a replica that was killed waits with its start until %s can be written',
    async (file) => {
      const { replica, data } = await attached();
      await replica.finish(data.write(0, Buffer.alloc(64 * KiB, 1)));
      await replica.kill();
      const fault = { operation: 'write', pathIncludes: file, ...noSpace } as const;
      const end = replica.machine.disk().addFault(fault);
      replica.process = replica.machine.process('replica');
      await expect(replica.open()).rejects.toThrow('no space left in the pool');
      await replica.kill();
      end();
      await replica.restart();
      const after = await replica.data(1);
      expect((await replica.finish(after.ask(Op.flush)))?.status).toBe(Status.ok);
      await replica.powerCut();
      const last = await replica.data(1);
      expectSame(await replica.finish(last.read(0, 64 * KiB)), Buffer.alloc(64 * KiB, 1));
    },
  );

  test('an fdatasync that fails at the start is a failure all the same', async () => {
    const { replica, data } = await attached();
    await replica.finish(data.write(0, Buffer.alloc(64 * KiB, 1)));
    await replica.kill();
    const fault = { operation: 'datasync', pathIncludes: '.index', countMax: 1 } as const;
    replica.machine.disk().addFault({ ...fault, ...noSpace });
    await replica.restart();
    const after = await replica.data(1);
    expect((await replica.finish(after.ask(Op.flush)))?.status).toBe(Status.failed);
  });
});

describe('R14: killed', () => {
  /** The flush takes 50 ms and ends as told; the replica is killed after 10. */
  async function killedInFlush(fails: boolean) {
    const { replica, data } = await attached();
    await replica.finish(data.write(0, Buffer.alloc(64 * KiB, 1)));
    const disk = replica.machine.disk();
    const fault = { operation: 'datasync', pathIncludes: '.img', countMax: 1 } as const;
    disk.addFault({ ...fault, effect: { kind: 'delay', delayMs: 50 } });
    if (fails) disk.addFault({ ...fault, effect: { kind: 'error', code: 'EIO' } });
    void data.ask(Op.flush);
    await replica.simulation.runFor(10);
    await replica.kill();
    replica.process = replica.machine.process('replica');
    await replica.open();
    return { replica, data: await replica.data(1) };
  }

  test('in a flush that fails, a replica knows of the failure afterwards, and for good', async () => {
    const { replica, data } = await killedInFlush(true);
    expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.failed);
    await replica.restart();
    const again = await replica.data(1);
    expect((await replica.finish(again.ask(Op.flush)))?.status).toBe(Status.failed);
  });

  test('in a flush that goes well, it goes on, with all that it had', async () => {
    const { replica, data } = await killedInFlush(false);
    expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.ok);
    await replica.powerCut();
    const after = await replica.data(1);
    expectSame(await replica.finish(after.read(0, 64 * KiB)), Buffer.alloc(64 * KiB, 1));
  });

  test('between a failure and its mark, it needs no kernel that tells of it once more', async () => {
    const { replica, data } = await attached();
    await replica.finish(data.write(0, Buffer.alloc(64 * KiB, 1)));
    const disk = replica.machine.disk();
    const fault = { operation: 'datasync', countMax: 1 } as const;
    disk.addFault({ ...fault, pathIncludes: '.img', effect: { kind: 'error', code: 'EIO' } });
    const mark = { operation: 'write', pathIncludes: '/failed' } as const;
    disk.addFault({ ...mark, effect: { kind: 'error', code: 'EIO' } });
    void data.ask(Op.flush);
    await replica.simulation.runFor(50);
    const stranger = filesOf(replica.machine.process('stranger'));
    await expect(stranger.syncFileSystem('/')).rejects.toMatchObject({ code: 'EIO' });
    await replica.kill();
    disk.clearFaults();
    await replica.restart();
    const again = await replica.data(1);
    expect((await replica.finish(again.ask(Op.flush)))?.status).toBe(Status.failed);
  });

  test('long after the last one, nobody is asked at the next start', async () => {
    const { replica, data } = await attached();
    await replica.finish(data.write(0, Buffer.alloc(64 * KiB, 1)));
    expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.ok);
    await replica.simulation.runFor(3_000);
    const stranger = filesOf(replica.machine.process('stranger'));
    await failWriteBack(replica, stranger);
    await replica.restart();
    const again = await replica.data(1);
    expect((await replica.finish(again.ask(Op.flush)))?.status).toBe(Status.ok);
  });
});

/** Of a file that is nobody's. */
async function failWriteBack(
  replica: SimulatedReplica,
  files: ReturnType<typeof filesOf>,
): Promise<void> {
  const file = await files.create('/stranger');
  await file.write(0, Buffer.alloc(KiB, 1));
  const fault = { operation: 'datasync', pathIncludes: 'stranger', countMax: 1 } as const;
  replica.machine.disk().addFault({ ...fault, effect: { kind: 'error', code: 'EIO' } });
  await expect(file.datasync()).rejects.toMatchObject({ code: 'EIO' });
}

test('R14: all that were killed in a flush in one pool hear of a failure that is told once', async () => {
  const simulation = simulate(1);
  const machine = simulation.machine('n1');
  const setup = machine.process('setup').platform;
  await simulation.finish(setup.files.makeFolder('/pool'));
  const placeOf = (name: string, platform: Platform) => {
    return { platform, folder: `/pool/${name}`, sizeBytes: MiB, poolPath: '/pool' };
  };
  const names = ['one', 'two', 'three'] as const;
  for (const name of names) await simulation.finish(createChain(placeOf(name, setup)));
  const fault = { operation: 'datasync', pathIncludes: '.img' } as const;
  const [one, two, three] = await Promise.all(
    names.map(async (name) => {
      const process = machine.process(name);
      const chain = await simulation.finish(openChain(placeOf(name, process.platform)));
      await simulation.finish(written(chain, 0, Buffer.alloc(64 * KiB, 1)));
      return { process, chain };
    }),
  );
  // Of the third one every flush had ended.
  if (three !== undefined) await simulation.finish(flushed(three.chain));
  await simulation.runFor(3_000);
  machine.disk().addFault({ ...fault, effect: { kind: 'delay', delayMs: 50 } });
  machine.disk().addFault({ ...fault, effect: { kind: 'error', code: 'EIO' } });
  for (const each of [one, two]) each?.chain.flush(() => undefined);
  await simulation.runFor(10);
  for (const each of [one, two, three]) each?.process.kill();
  await simulation.runFor(100);
  machine.disk().clearFaults();
  const failures: string[] = [];
  for (const name of names) {
    const { platform } = machine.process(name);
    const onFailed = (_detail: string, stored: () => void): void => {
      failures.push(name);
      stored();
    };
    await simulation.finish(openChain(placeOf(name, platform), onFailed));
  }
  expect(failures).toEqual(['one', 'two']);
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
