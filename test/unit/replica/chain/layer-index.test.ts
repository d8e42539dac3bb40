import { expect, test } from '@jest/globals';
import type { File } from '../../../../core/platform/index.ts';
import { SimRandom } from '../../../../core/platform/sim/index.ts';
import { TiB } from '../../../../core/units.ts';
import {
  BLOCKS_PER_PAGE,
  BlockState,
  decodeIndexPage,
  encodeIndexPage,
  INDEX_PAGE_BYTES,
  PAGE_STATE_BYTES,
} from '../../../../replica/chain/index-page.ts';
import { indexPageCount, LayerIndex } from '../../../../replica/chain/layer-index.ts';

const PAGES = 3;
const BLOCKS = PAGES * BLOCKS_PER_PAGE - 100;

/** A file in memory that answers at once, counts, and can be told to fail. */
function memoryFile() {
  const content = Buffer.alloc((PAGES + 1) * INDEX_PAGE_BYTES);
  const calls = { reads: 0, writes: 0 };
  const file = {
    read(buffer: Buffer, offsetBytes: number, done: (error: null, bytes: number) => void) {
      calls.reads += 1;
      queueMicrotask(() => done(null, content.copy(buffer, 0, offsetBytes)));
    },
    write(buffer: Buffer, offsetBytes: number, done: (error: null) => void) {
      calls.writes += 1;
      queueMicrotask(() => {
        buffer.copy(content, offsetBytes);
        done(null);
      });
    },
  } as unknown as File;
  return { file, content, calls };
}

function settled(start: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error === null ? resolve() : reject(error)));
  });
}

async function opened(maybeUsed: number[] = []) {
  const live = memoryFile();
  const durable = memoryFile();
  const files = { path: 'index', live: live.file, durable: durable.file };
  return { live, durable, index: new LayerIndex(files, BLOCKS, maybeUsed) };
}

test('marks, runs and a second opening agree with a plain list of states', async () => {
  for (let seed = 0; seed < 5; seed += 1) {
    const random = new SimRandom(`index ${seed}`);
    const { index, live } = await opened();
    const model = new Uint8Array(BLOCKS);
    for (let step = 0; step < 80; step += 1) {
      const first = random.below(BLOCKS);
      const end = Math.min(BLOCKS, first + 1 + random.below(random.pick([3, 100, 20_000])));
      const state = random.pick([BlockState.absent, BlockState.data, BlockState.zero]);
      await settled((done) => index.reserve(first, end, done));
      const changes = model.subarray(first, end).some((before) => before !== state);
      expect(index.mark(first, end, state)).toBe(changes);
      model.fill(state, first, end);
      await settled((done) => index.persist(first, end, done));
    }
    const again = new LayerIndex(
      { path: 'index', live: live.file, durable: null },
      BLOCKS,
      [0, 1, 2],
    );
    expect(again.isLoaded(0, BLOCKS)).toBe(false);
    await settled((done) => again.load(0, BLOCKS, done));
    for (const each of [index, again]) {
      let block = 0;
      while (block < BLOCKS) {
        const end = each.runEnd(block, BLOCKS);
        const state = each.state(block);
        expect(model.subarray(block, end).every((other) => other === state)).toBe(true);
        if (end < BLOCKS) expect(model[end]).not.toBe(state);
        block = end;
      }
    }
  }
});

test('a thin volume of 1 TiB costs a few hundred KiB, and reading it no page', () => {
  const blockCount = TiB / 4096;
  const { file, calls } = memoryFile();
  const before = process.memoryUsage();
  const index = new LayerIndex({ path: 'index', live: file, durable: file }, blockCount, []);
  expect(index.isLoaded(0, blockCount)).toBe(true);
  expect(index.runEnd(0, blockCount)).toBe(blockCount);
  const after = process.memoryUsage();
  const grownBytes = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
  expect(grownBytes).toBeLessThan(4 * 1024 * 1024);
  expect(calls.reads).toBe(0);
  expect(indexPageCount(blockCount)).toBeLessThan(17_000);
});

test('pages are taken for a flush once, as they were then', async () => {
  const { index } = await opened();
  await settled((done) => index.reserve(0, 1, done));
  index.mark(0, 10, BlockState.data);
  const [page, ...more] = index.takeDirtyPages();
  expect(more).toHaveLength(0);
  index.mark(5, 20, BlockState.zero);
  const states = decodeIndexPage(page?.content ?? Buffer.alloc(0), 0) as Buffer;
  expect([...states.subarray(0, 5)]).toEqual([0x55, 0x55, 0x05, 0, 0]);
  expect(index.takeDirtyPages()).toHaveLength(1);
  expect(index.takeDirtyPages()).toHaveLength(0);
});

test('marks of many are written together, none later than its own persist', async () => {
  const { index, live } = await opened();
  await settled((done) => index.reserve(0, 1, done));
  const writesBefore = live.calls.writes;
  const persisted = Array.from({ length: 100 }, (_none, block) => {
    index.mark(block, block + 1, BlockState.data);
    return settled((done) => index.persist(block, block + 1, done));
  });
  await Promise.all(persisted);
  expect(live.calls.writes - writesBefore).toBe(2);
  const states = decodeIndexPage(live.content.subarray(4096, 8192), 0) as Buffer;
  expect([...states.subarray(0, 25)]).toEqual(Array.from({ length: 25 }, () => 0x55));
});

test('a page is its states, and no other page, no wrong bit and no fourth state', () => {
  const random = new SimRandom('pages');
  const states = Buffer.alloc(PAGE_STATE_BYTES);
  for (let at = 0; at < states.length; at += 1) states[at] = random.pick([0, 0x55, 0x99, 0x60]);
  const page = encodeIndexPage(states, 7);
  expect((decodeIndexPage(page, 7) as Buffer).equals(states)).toBe(true);
  expect(decodeIndexPage(page, 8)).toBe('wrong checksum');
  for (let round = 0; round < 50; round += 1) {
    const damaged = Buffer.from(page);
    const at = random.below(page.length);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8));
    expect(decodeIndexPage(damaged, 7)).toBe('wrong checksum');
  }
  expect(decodeIndexPage(encodeIndexPage(states.fill(0xff, 9, 10), 7), 7)).toBe(
    'impossible block state',
  );
  expect(decodeIndexPage(page.subarray(0, 4095), 7)).toBe('cut short');
  expect(decodeIndexPage(Buffer.alloc(INDEX_PAGE_BYTES), 7)).toBeNull();
});

test('a page that is torn between sectors is old here and new there', () => {
  const states = (value: number) => Buffer.alloc(PAGE_STATE_BYTES, value);
  const torn = encodeIndexPage(states(0x55), 0);
  encodeIndexPage(states(0xaa), 0).copy(torn, 1024, 1024, 2048);
  const found = decodeIndexPage(torn, 0) as Buffer;
  expect([found[0], found[2 * 508], found[4 * 508 - 1], found[4 * 508]]).toEqual([
    0x55, 0xaa, 0xaa, 0x55,
  ]);
});
