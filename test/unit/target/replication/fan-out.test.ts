import { describe, expect, test } from '@jest/globals';
import { type BlockError, blockError, NO_DATA } from '../../../../core/block/block-device.ts';
import { HOLD_MS } from '../../../../core/limits.ts';
import { MiB } from '../../../../core/units.ts';
import { Op } from '../../../../core/wire/frame.ts';
import type { DataOp, MemberPort, RequestSink } from '../../../../target/replication/ports.ts';
import { ReplicatedVolume } from '../../../../target/replication/volume.ts';
import type { VolumeView } from '../../../../target/replication/volume-view.ts';
import { ManualClock } from '../../../fixtures/manual-clock.ts';

const BLOCK_BYTES = 4096;
const FAILED = blockError('mediumError', 'the medium failed');
const ALL = 0b111;
const SERVING: VolumeView = {
  fan: ALL,
  binding: ALL,
  inSync: ALL,
  readable: ALL,
  preferred: 0,
  reads: true,
  writes: true,
  failure: null,
};

interface Queued {
  readonly op: DataOp;
  readonly text: string;
  readonly sink: RequestSink;
  readonly tag: number;
}

/** A replicated volume over three members that answer when they are told to. */
class Fan {
  readonly clock = new ManualClock();
  /** By slot: what was queued to it and has no answer. */
  readonly queued: readonly Queued[][] = [[], [], []];
  readonly failed: number[] = [];
  /** Ranges that are being made equal, with what ends it. */
  readonly equalising: { readonly range: readonly [number, number]; readonly end: () => void }[] =
    [];
  readonly answers: (readonly [name: string, code: string])[] = [];
  readonly volume = new ReplicatedVolume(MiB, {
    clock: this.clock,
    breaks: new Set(),
    port: (slot) => this.#portOf(slot),
    memberFailed: (slot) => this.failed.push(slot),
    flushFailed: () => undefined,
    equalise: (offsetBytes, lengthBytes, end) =>
      this.equalising.push({ range: [offsetBytes, lengthBytes], end }),
  });

  constructor() {
    this.volume.update(SERVING);
    this.ping();
  }

  ping(): void {
    for (const slot of [0, 1, 2]) this.volume.pinged(slot, this.clock.nowMs());
  }

  write(text: string, offsetBytes = 0): void {
    this.volume.write(offsetBytes, Buffer.alloc(BLOCK_BYTES, text), (error) =>
      this.#answered(text, error),
    );
  }

  read(name: string, offsetBytes = 0): void {
    this.volume.read(offsetBytes, BLOCK_BYTES, (error) => this.#answered(name, error));
  }

  /** The oldest request that the member has is answered. */
  answer(slot: number, error: BlockError | null = null): void {
    const request = this.queued[slot]?.shift();
    if (request === undefined) throw new Error(`nothing is queued to ${slot}`);
    const data = request.op === Op.read ? Buffer.alloc(BLOCK_BYTES) : NO_DATA;
    request.sink.answered(request.tag, error, data);
  }

  textsOf(slot: number): readonly string[] {
    return (this.queued[slot] ?? []).map(({ text }) => text);
  }

  #answered(name: string, error: BlockError | null): void {
    this.answers.push([name, error?.code ?? 'GOOD']);
  }

  #portOf(slot: number): MemberPort {
    const unused = (): never => {
      throw new Error('a volume does nothing but submit');
    };
    return {
      id: `replica-${slot}`,
      open: unused,
      close: unused,
      promise: unused,
      startPings: unused,
      storeRecord: unused,
      rebuild: unused,
      openSession: unused,
      holdSession: unused,
      dropSession: unused,
      submit: (op, _range, payload, sink, tag) => {
        const text = payload?.bytes.toString('latin1', 0, 1) ?? '';
        this.queued[slot]?.push({ op, text, sink, tag });
      },
    };
  }
}

describe('R12:', () => {
  test('every write is queued to every member, in one order', () => {
    const fan = new Fan();
    for (const text of ['a', 'b', 'c']) fan.write(text);
    for (const slot of [0, 1, 2]) expect(fan.textsOf(slot)).toEqual(['a', 'b', 'c']);
  });

  test('a write that was answered BUSY is carried to all, and reads wait for it', async () => {
    const fan = new Fan();
    fan.write('a');
    fan.answer(0);
    await fan.clock.passMs(HOLD_MS + 1_000);
    expect(fan.answers).toEqual([['a', 'busy']]);
    expect(fan.textsOf(2)).toEqual(['a']);
    fan.ping();
    fan.read('read');
    expect(fan.queued[0]).toEqual([]);
    for (const slot of [1, 2]) fan.answer(slot);
    fan.answer(0);
    expect(fan.answers.slice(1)).toEqual([['read', 'GOOD']]);
  });

  test('a write that all failed is answered with the error; its range is made equal first', () => {
    const fan = new Fan();
    fan.write('a', BLOCK_BYTES);
    for (const slot of [0, 1, 2]) fan.answer(slot, FAILED);
    expect(fan.answers).toEqual([['a', 'mediumError']]);
    expect(fan.failed).toEqual([]);
    expect(fan.equalising.map(({ range }) => range)).toEqual([[BLOCK_BYTES, BLOCK_BYTES]]);
    fan.read('read', BLOCK_BYTES);
    fan.write('b', BLOCK_BYTES);
    fan.write('c');
    expect(fan.queued.map((queue) => queue.length)).toEqual([1, 1, 1]);
    fan.equalising[0]?.end();
    expect(fan.queued.flat().filter(({ op }) => op === Op.read)).toHaveLength(1);
  });

  test('a write that one failed and others did is answered when that one is removed', () => {
    const fan = new Fan();
    fan.write('a');
    fan.answer(0);
    fan.answer(1, FAILED);
    fan.answer(2);
    expect(fan.failed).toEqual([1]);
    expect(fan.answers).toEqual([]);
    fan.volume.update({ ...SERVING, fan: 0b101, binding: 0b101, inSync: 0b101, readable: 0b101 });
    expect(fan.answers).toEqual([['a', 'GOOD']]);
    expect(fan.equalising).toEqual([]);
  });

  test('a write that only members did which are gone by now is answered BUSY, whoever failed it', () => {
    const fan = new Fan();
    const [first, second, joined] = [0b001, 0b010, 0b100];
    // The third one is rebuilt meanwhile: it has the write from the first, and was never asked.
    fan.volume.update({
      ...SERVING,
      fan: first | second,
      binding: first | second,
      inSync: first | second,
    });
    fan.write('a');
    fan.answer(0);
    fan.answer(1, FAILED);
    const left = { ...SERVING, fan: joined, inSync: joined, readable: joined };
    fan.volume.update({ ...left, binding: ALL });
    expect(fan.answers).toEqual([['a', 'busy']]);
    expect(fan.equalising).toHaveLength(1);
  });

  test('when each member failed something else, what they failed is asked for again', () => {
    const fan = new Fan();
    for (const [at, text] of ['a', 'b', 'c', 'd'].entries()) fan.write(text, at * BLOCK_BYTES);
    for (const text of ['a', 'b', 'c', 'd']) {
      for (const slot of [0, 1, 2]) fan.answer(slot, 'abc'[slot] === text ? FAILED : null);
    }
    expect(fan.failed).toEqual([0, 1, 2]);
    expect(fan.answers).toEqual([['d', 'GOOD']]);
    fan.volume.nobodyIsRemoved();
    expect(fan.answers.slice(1)).toEqual([
      ['a', 'busy'],
      ['b', 'busy'],
      ['c', 'busy'],
    ]);
    expect(fan.equalising).toHaveLength(3);
    expect(fan.volume.inFlightCount).toBe(0);
  });
});

test('R18: the time of a command counts from when it came, held at first or not', async () => {
  const fan = new Fan();
  fan.volume.update({ ...SERVING, reads: false, writes: false });
  fan.write('a');
  fan.read('read');
  await fan.clock.passMs(HOLD_MS / 2);
  fan.volume.update(SERVING);
  expect(fan.textsOf(0)).toContain('a');
  await fan.clock.passMs(HOLD_MS / 2 + 1_000);
  expect(fan.answers).toEqual([
    ['a', 'busy'],
    ['read', 'busy'],
  ]);
});
