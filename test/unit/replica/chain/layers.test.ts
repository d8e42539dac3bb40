/** Chains of several layers: what shows through, what is filled up, what survives a crash. */
import { describe, expect, test } from '@jest/globals';
import { type SimMachine, SimRandom } from '../../../../core/platform/sim/index.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import type { Chain } from '../../../../replica/chain/index.ts';
import { expectSame, patterned } from '../../../contract/block-device-checks.ts';
import {
  type ChainPlace,
  createChain,
  flushed,
  freezeHead,
  openChain,
  readFrom,
  unmapped,
  written,
} from '../../../fixtures/chains.ts';
import { simulate } from '../../../fixtures/simulation.ts';

const BLOCK = 4 * KiB;
const SIZE_BYTES = 2 * MiB;

class Rig {
  readonly machine: SimMachine;
  process;
  chain: Chain | null = null;

  constructor(seed: number | string) {
    this.machine = simulate(seed).machine('n1');
    this.process = this.machine.process('replica');
  }

  get place(): ChainPlace {
    return { platform: this.process.platform, folder: '/layers-1', sizeBytes: SIZE_BYTES };
  }

  run<Value>(promise: Promise<Value>): Promise<Value> {
    return this.machine.simulation.finish(promise);
  }

  async create(): Promise<this> {
    await this.run(createChain(this.place));
    await this.run(this.process.platform.files.syncFolder('/'));
    return this;
  }

  async open(): Promise<Chain> {
    this.chain = await this.run(openChain(this.place));
    return this.chain;
  }

  /** Flushes, closes, freezes the head, opens again with a new one. */
  async snapshot(name: string): Promise<Chain> {
    const { chain } = this;
    if (chain === null) throw new Error('the chain is open');
    await this.run(flushed(chain));
    await this.run(chain.close());
    await this.run(freezeHead(this.place, name));
    return this.open();
  }

  async kill(): Promise<Chain> {
    const { simulation } = this.machine;
    let gone = false;
    this.process.onGone(() => {
      gone = true;
    });
    this.process.kill();
    await simulation.runUntil(() => gone);
    this.process = this.machine.process('replica');
    return this.open();
  }

  async powerCut(): Promise<Chain> {
    this.machine.losePower();
    this.machine.boot();
    this.process = this.machine.process('replica');
    return this.open();
  }
}

test('the newest layer that has a block gives it; where none has it, it is zeros', async () => {
  const rig = await new Rig(1).create();
  let chain = await rig.open();
  await rig.run(written(chain, 0, Buffer.alloc(4 * BLOCK, 1)));
  chain = await rig.snapshot('one');
  await rig.run(written(chain, BLOCK, Buffer.alloc(BLOCK, 2)));
  chain = await rig.snapshot('two');
  await rig.run(written(chain, 2 * BLOCK, Buffer.alloc(BLOCK, 3)));
  const expected = Buffer.concat([1, 2, 3, 1, 0].map((value) => Buffer.alloc(BLOCK, value)));
  expectSame(await rig.run(readFrom(chain, 0, 5 * BLOCK)), expected);
  expectSame(
    await rig.run(readFrom(chain, 512, 3 * BLOCK)),
    expected.subarray(512, 512 + 3 * BLOCK),
  );
});

test('an unmap over an older layer reads as zeros, also after the next snapshot', async () => {
  const rig = await new Rig(1).create();
  let chain = await rig.open();
  await rig.run(written(chain, 0, Buffer.alloc(3 * BLOCK, 1)));
  chain = await rig.snapshot('one');
  await rig.run(unmapped(chain, BLOCK, BLOCK));
  const expected = Buffer.concat([1, 0, 1].map((value) => Buffer.alloc(BLOCK, value)));
  expectSame(await rig.run(readFrom(chain, 0, 3 * BLOCK)), expected);
  chain = await rig.snapshot('two');
  expectSame(await rig.run(readFrom(chain, 0, 3 * BLOCK)), expected);
  await rig.run(written(chain, BLOCK + 512, Buffer.alloc(512, 7)));
  expected.fill(7, BLOCK + 512, BLOCK + 1024);
  expectSame(await rig.run(readFrom(chain, 0, 3 * BLOCK)), expected);
});

test('R27: part of a block of an older layer is filled up, and written as one whole block', async () => {
  const rig = await new Rig(1).create();
  let chain = await rig.open();
  const older = patterned(4 * BLOCK, 1);
  await rig.run(written(chain, 0, Buffer.from(older)));
  chain = await rig.snapshot('one');
  const data = patterned(2 * BLOCK, 2);
  await rig.run(written(chain, BLOCK + 1024, Buffer.from(data)));
  data.copy(older, BLOCK + 1024);
  expectSame(await rig.run(readFrom(chain, 0, 4 * BLOCK)), older);
  const writes = rig.machine.simulation.trace
    .last(200)
    .filter((line) => /write \S*volume-head-000\.img/.test(line));
  expect(writes.at(-1)).toMatch(new RegExp(`${BLOCK}\\+${3 * BLOCK}$`));
});

test('R27: what an unanswered write left in the file never shows', async () => {
  const rig = await new Rig(1).create();
  const chain = await rig.open();
  // The data lands, the process dies before the index entry does.
  rig.machine.disk().addFault({
    operation: 'write',
    pathIncludes: '.live',
    effect: { kind: 'delay', delayMs: 60_000 },
  });
  chain.write(0, Buffer.alloc(BLOCK, 0xdd), () => undefined);
  await rig.machine.simulation.runFor(1_000);
  rig.machine.disk().clearFaults();
  rig.process.kill({ reapedAtOnce: true });
  rig.process = rig.machine.process('replica');
  const after = await rig.open();
  expectSame(await rig.run(readFrom(after, 0, BLOCK)), Buffer.alloc(BLOCK));
  await rig.run(written(after, 512, Buffer.alloc(512, 1)));
  const expected = Buffer.alloc(BLOCK);
  expected.fill(1, 512, 1024);
  expectSame(await rig.run(readFrom(after, 0, BLOCK)), expected);
});

test('space comes back when what is unmapped is nowhere below', async () => {
  const rig = await new Rig(1).create();
  const chain = await rig.open();
  const { files } = rig.process.platform;
  const allocated = () => rig.run(files.allocatedBytes('/layers-1/volume-head-000.img'));
  await rig.run(written(chain, 0, Buffer.alloc(MiB, 1)));
  expect(await allocated()).toBe(MiB);
  await rig.run(unmapped(chain, 0, MiB));
  expect(await allocated()).toBe(0);
});

test('reading what was never written touches no data file', async () => {
  const rig = await new Rig(1).create();
  const chain = await rig.open();
  rig.machine.disk().addFault({
    operation: 'read',
    pathIncludes: '.img',
    effect: { kind: 'error', code: 'EIO' },
  });
  expectSame(await rig.run(readFrom(chain, 0, MiB)), Buffer.alloc(MiB));
});

test('an index of many pages, some far apart, is there after a kill and a power cut', async () => {
  const rig = await new Rig('pages').create();
  const place = { ...rig.place, folder: '/large', sizeBytes: 1024 * MiB };
  await rig.run(createChain(place));
  await rig.run(rig.process.platform.files.syncFolder('/'));
  const open = () => rig.run(openChain({ ...place, platform: rig.process.platform }));
  const places = [0, 60, 64, 128, 200, 700, 1023].map((at) => at * MiB + 8 * KiB);
  let chain = await open();
  for (const at of places) await rig.run(written(chain, at, patterned(BLOCK, at)));
  rig.process.kill();
  await rig.machine.simulation.runFor(1_000);
  rig.process = rig.machine.process('replica');
  chain = await open();
  for (const at of places)
    expectSame(await rig.run(readFrom(chain, at, BLOCK)), patterned(BLOCK, at));
  // Opening made it durable.
  rig.machine.losePower();
  rig.machine.boot();
  rig.process = rig.machine.process('replica');
  chain = await open();
  for (const at of places)
    expectSame(await rig.run(readFrom(chain, at, BLOCK)), patterned(BLOCK, at));
});

const STEPS = 120;

/** What a 512-byte sector may read as: the values it had since the last flush that was answered. */
class Model {
  readonly #possible: Set<number>[];

  constructor(sectors: number) {
    this.#possible = Array.from({ length: sectors }, () => new Set([0]));
  }

  /** @param sure false: it may have happened or not. */
  set(first: number, count: number, value: number): void {
    for (let sector = first; sector < first + count; sector += 1) {
      this.#possible[sector]?.delete(value);
      this.#possible[sector]?.add(value);
    }
  }

  /** The last value is the only one. */
  settle(): void {
    for (const values of this.#possible) {
      const last = [...values].at(-1);
      values.clear();
      if (last !== undefined) values.add(last);
    }
  }

  /** What was read now is the only value from here on (promise 2). */
  check(content: Buffer, exact: boolean): void {
    for (const [sector, values] of this.#possible.entries()) {
      const bytes = content.subarray(sector * 512, (sector + 1) * 512);
      const value = bytes.readUInt32LE(0);
      const expected = Buffer.alloc(512);
      for (let at = 0; at < 512; at += 4) expected.writeUInt32LE(value, at);
      expectSame(bytes, expected);
      const allowed = exact ? [[...values].at(-1)] : [...values];
      if (!allowed.includes(value)) {
        throw new Error(`sector ${sector} is ${value}, allowed: ${allowed.join(' ')}`);
      }
      values.clear();
      values.add(value);
    }
  }
}

function sectorsOf(count: number, value: number): Buffer {
  const data = Buffer.alloc(count * 512);
  for (let at = 0; at < data.length; at += 4) data.writeUInt32LE(value, at);
  return data;
}

describe.each([
  ['a kill', 'kill', 20],
  ['a power cut', 'powerCut', 20],
] as const)('R27, random writes, unmaps, snapshots and now and then %s:', (_what, end, seeds) => {
  test.each(Array.from({ length: seeds }, (_none, seed) => seed))(
    'every sector is as it was answered or, since the last flush, older; seed %i',
    async (seed) => {
      const rig = await new Rig(`${end} ${seed}`).create();
      const random = new SimRandom(`${end} ${seed}`);
      const windowSectors = 96;
      const model = new Model(windowSectors);
      let chain = await rig.open();
      let snapshots = 0;
      for (let step = 1; step <= STEPS; step += 1) {
        const count = 1 + random.below(random.pick([1, 8, 20]));
        const first = random.below(windowSectors - count + 1);
        const dice = random.below(100);
        if (dice < 60) {
          model.set(first, count, step);
          await rig.run(written(chain, first * 512, sectorsOf(count, step)));
        } else if (dice < 80) {
          model.set(first, count, 0);
          await rig.run(unmapped(chain, first * 512, count * 512));
        } else if (dice < 88) {
          await rig.run(flushed(chain));
          model.settle();
        } else if (dice < 92 && snapshots < 4) {
          snapshots += 1;
          chain = await rig.snapshot(`s${snapshots}`);
          model.settle();
        } else if (dice < 97) {
          // What was answered survives a kill. Something is still on its way when it comes.
          if (end === 'kill') model.settle();
          model.set(first, count, step);
          if (random.chance(0.4)) {
            chain.flush(() => undefined);
            await rig.machine.simulation.runFor(random.below(20) / 10);
          }
          chain.write(first * 512, sectorsOf(count, step), () => undefined);
          await rig.machine.simulation.runFor(random.below(20) / 100);
          if (random.chance(0.4)) chain.flush(() => undefined);
          await rig.machine.simulation.runFor(random.below(100) / 10);
          chain = await rig[end]();
          const content = await rig.run(readFrom(chain, 0, windowSectors * 512));
          model.check(content, false);
        }
      }
      const content = await rig.run(readFrom(chain, 0, windowSectors * 512));
      model.check(content, true);
    },
  );
});
