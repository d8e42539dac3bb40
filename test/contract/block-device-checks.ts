import { expect } from '@jest/globals';
import { BlockError } from '../../core/block/block-device.ts';
import {
  LOGICAL_BLOCK_BYTES,
  PHYSICAL_BLOCK_BYTES,
  REGION_BYTES,
  TRANSFER_BYTES_MAX,
  UNMAP_BYTES_MAX,
} from '../../core/limits.ts';
import { SimRandom } from '../../core/platform/sim/index.ts';
import { KiB, MiB } from '../../core/units.ts';
import type { WatchedDevice } from './watched-device.ts';

/** One promise: what holds, and a test of it on a device that is all zeros. */
export type Check = readonly [title: string, check: (device: WatchedDevice) => Promise<void>];

const BLOCK = LOGICAL_BLOCK_BYTES;
/** The device must have at least so much. */
const DEVICE_BYTES_MIN = 16 * MiB;
const ZEROS = Buffer.alloc(TRANSFER_BYTES_MAX);

const BAD_RANGES: readonly (readonly [
  what: string,
  rangeOf: (sizeBytes: number) => readonly [offsetBytes: number, lengthBytes: number],
])[] = [
  ['before the start', () => [-BLOCK, BLOCK]],
  ['at the end', (sizeBytes) => [sizeBytes, BLOCK]],
  ['over the end', (sizeBytes) => [sizeBytes - BLOCK, 2 * BLOCK]],
  ['far beyond the end', () => [2 ** 52, BLOCK]],
  ['beyond all numbers', () => [Number.MAX_SAFE_INTEGER + 1, BLOCK]],
  ['with an offset between blocks', () => [BLOCK / 2, BLOCK]],
  ['with an offset that is no whole number', () => [0.5, BLOCK]],
  ['with an offset that is no number', () => [Number.NaN, BLOCK]],
  ['of nothing', () => [0, 0]],
  ['of half a block', () => [0, BLOCK / 2]],
  ['of a block and a half', () => [0, BLOCK + BLOCK / 2]],
  ['of more than a transfer', () => [0, TRANSFER_BYTES_MAX + BLOCK]],
];

const RANGE_CHECKS: readonly Check[] = [
  [
    'has a size of whole blocks and is all zeros at first',
    async (device) => {
      expect(device.sizeBytes % BLOCK).toBe(0);
      expect(device.sizeBytes).toBeGreaterThanOrEqual(DEVICE_BYTES_MIN);
      for (const offsetBytes of [0, REGION_BYTES - BLOCK, device.sizeBytes - MiB]) {
        expect(isZero(await device.read(offsetBytes, MiB))).toBe(true);
      }
      expect(isZero(await device.read(0, TRANSFER_BYTES_MAX))).toBe(true);
    },
  ],

  ...BAD_RANGES.map(
    ([what, rangeOf]): Check => [
      `refuses a range ${what}`,
      async (device) => {
        const [offsetBytes, lengthBytes] = rangeOf(device.sizeBytes);
        const data = Buffer.alloc(Math.max(0, lengthBytes), 0xff);
        const outcomes = [
          await device.tryRead(offsetBytes, lengthBytes),
          await device.tryWrite(offsetBytes, data),
        ];
        // An unmap may be longer than a transfer.
        if (lengthBytes <= TRANSFER_BYTES_MAX) {
          outcomes.push(await device.tryUnmap(offsetBytes, lengthBytes));
        }
        for (const { error, data: read } of outcomes) {
          expect(error).toBeInstanceOf(BlockError);
          expect(error?.data).toEqual({ code: 'outOfRange', offsetBytes, lengthBytes });
          expect(read).toHaveLength(0);
        }
        expect(isZero(await device.read(0, MiB))).toBe(true);
        expect(isZero(await device.read(device.sizeBytes - MiB, MiB))).toBe(true);
      },
    ],
  ),

  [
    'refuses an unmap of a negative length and of more than the limit',
    async (device) => {
      for (const lengthBytes of [-BLOCK, UNMAP_BYTES_MAX + BLOCK, Number.NaN]) {
        const { error } = await device.tryUnmap(0, lengthBytes);
        expect(error?.code).toBe('outOfRange');
      }
    },
  ],
];

const WRITE_CHECKS: readonly Check[] = [
  [
    'reads what was written, at every size and wherever it crosses a boundary',
    async (device) => {
      const sizes = [BLOCK, 7 * BLOCK, 4096, 9 * BLOCK, 64 * KiB, MiB + BLOCK, TRANSFER_BYTES_MAX];
      let fill = 1;
      for (const lengthBytes of sizes) {
        const end = device.sizeBytes - lengthBytes;
        const places = [0, BLOCK, PHYSICAL_BLOCK_BYTES - BLOCK, MiB - BLOCK, REGION_BYTES - BLOCK];
        for (const offsetBytes of [...places, end]) {
          fill += 1;
          const data = patterned(lengthBytes, fill);
          await device.write(offsetBytes, data);
          expectSame(await device.read(offsetBytes, lengthBytes), data);
        }
      }
    },
  ],

  [
    'leaves the rest of a physical block alone when a logical one is written',
    async (device) => {
      const expected = patterned(4 * PHYSICAL_BLOCK_BYTES, 1);
      await device.write(0, Buffer.from(expected));
      for (const blockIndex of [0, 3, 7, 8, 17, 31]) {
        const data = patterned(BLOCK, blockIndex + 50);
        data.copy(expected, blockIndex * BLOCK);
        await device.write(blockIndex * BLOCK, data);
        expectSame(await device.read(0, expected.length), expected);
      }
      // Where nothing was before, the rest is zeros.
      await device.write(REGION_BYTES + 3 * BLOCK, patterned(BLOCK, 9));
      const around = Buffer.alloc(PHYSICAL_BLOCK_BYTES);
      patterned(BLOCK, 9).copy(around, 3 * BLOCK);
      expectSame(await device.read(REGION_BYTES, PHYSICAL_BLOCK_BYTES), around);
    },
  ],

  [
    'applies overlapping writes and unmaps in the order in which they were sent',
    async (device) => {
      const random = new SimRandom('overlapping');
      for (let round = 0; round < 8; round += 1) {
        const base = round * 256 * KiB;
        const expected = Buffer.alloc(128 * KiB);
        const running: Promise<void>[] = [];
        for (let index = 0; index < 40; index += 1) {
          const at = random.below(200) * BLOCK;
          const lengthBytes = (1 + random.below(56)) * BLOCK;
          if (random.chance(0.25)) {
            expected.fill(0, at, at + lengthBytes);
            running.push(device.unmap(base + at, lengthBytes));
          } else {
            const data = patterned(lengthBytes, round * 40 + index);
            data.copy(expected, at);
            running.push(device.write(base + at, data));
          }
        }
        await Promise.all(running);
        expectSame(await device.read(base, expected.length), expected);
      }
    },
  ],

  [
    'answers many calls at once, each with its own data',
    async (device) => {
      const blocks = Array.from({ length: 128 }, (_none, index) => index);
      const at = (index: number): number => ((index * 37) % 128) * 3 * PHYSICAL_BLOCK_BYTES;
      await Promise.all(blocks.map((index) => device.write(at(index), patterned(4096, index))));
      const read = await Promise.all(blocks.map((index) => device.read(at(index), 4096)));
      for (const index of blocks) expectSame(read[index], patterned(4096, index));
    },
  ],

  [
    'never touches a buffer again that a read has given away',
    async (device) => {
      for (const lengthBytes of [BLOCK, 4096, 64 * KiB]) {
        const before = patterned(lengthBytes, 1);
        await device.write(0, patterned(lengthBytes, 1));
        const [one, two] = await Promise.all([
          device.read(0, lengthBytes),
          device.read(0, lengthBytes),
        ]);
        await device.write(0, patterned(lengthBytes, 2));
        for (let index = 0; index < 20; index += 1) await device.read(index * 4096, lengthBytes);
        await device.unmap(0, lengthBytes);
        expectSame(one, before);
        expectSame(two, before);
      }
    },
  ],
];

const UNMAP_CHECKS: readonly Check[] = [
  [
    'reads zeros after an unmap, and what was there beside it',
    async (device) => {
      const ranges: readonly (readonly [offsetBytes: number, lengthBytes: number])[] = [
        [0, 4096],
        [BLOCK, BLOCK],
        [3 * BLOCK, 2 * 4096],
        [4096 - BLOCK, 4096 + 2 * BLOCK],
        [64 * KiB, 512 * KiB],
        [MiB - 3 * BLOCK, 6 * BLOCK],
      ];
      for (const [offsetBytes, lengthBytes] of ranges) {
        const expected = patterned(2 * MiB, 5);
        await device.write(REGION_BYTES - MiB, Buffer.from(expected));
        await device.unmap(REGION_BYTES - MiB + offsetBytes, lengthBytes);
        expected.fill(0, offsetBytes, offsetBytes + lengthBytes);
        expectSame(await device.read(REGION_BYTES - MiB, expected.length), expected);
      }
    },
  ],

  [
    'takes an unmap where nothing is, twice, and a write after it',
    async (device) => {
      await device.unmap(MiB, MiB);
      await device.unmap(MiB, MiB);
      expect(isZero(await device.read(MiB, MiB))).toBe(true);
      await device.write(MiB + 5 * BLOCK, patterned(BLOCK, 1));
      const expected = Buffer.alloc(4096);
      patterned(BLOCK, 1).copy(expected, 5 * BLOCK);
      expectSame(await device.read(MiB, 4096), expected);
    },
  ],

  [
    'unmaps as much as it may at once',
    async (device) => {
      const lengthBytes = Math.min(device.sizeBytes, UNMAP_BYTES_MAX);
      const places = [0, Math.floor(lengthBytes / 2 / BLOCK) * BLOCK, lengthBytes - BLOCK];
      for (const place of places) await device.write(place, patterned(BLOCK, 1));
      await device.unmap(0, lengthBytes);
      for (const place of places) expect(isZero(await device.read(place, BLOCK))).toBe(true);
    },
  ],
];

const FLUSH_CHECKS: readonly Check[] = [
  [
    'flushes with nothing to flush, several times at once, and amid writes',
    async (device) => {
      await device.flush();
      await Promise.all([device.flush(), device.flush(), device.flush()]);
      const running: Promise<void>[] = [];
      for (let index = 0; index < 30; index += 1) {
        running.push(device.write(index * 4096, patterned(4096, index)));
        if (index % 5 === 0) running.push(device.flush());
      }
      await Promise.all(running);
      await device.flush();
      for (let index = 0; index < 30; index += 1) {
        expectSame(await device.read(index * 4096, 4096), patterned(4096, index));
      }
    },
  ],
];

/** Bytes that tell where and which they are: no two blocks of any two buffers are equal. */
export function patterned(lengthBytes: number, fill: number): Buffer {
  const buffer = Buffer.alloc(lengthBytes, (fill % 255) + 1);
  for (let at = 0; at + 8 <= lengthBytes; at += BLOCK) {
    buffer.writeUInt32LE(fill, at);
    buffer.writeUInt32LE(at, at + 4);
  }
  return buffer;
}

/** Like toEqual, which takes seconds to compare megabytes and to print them. */
export function expectSame(found: Buffer | undefined, expected: Buffer): void {
  if (found?.equals(expected)) return;
  const differs = expected.findIndex((byte, index) => found?.[index] !== byte);
  expect({ lengthBytes: found?.length, byte: differs, value: found?.[differs] }).toEqual({
    lengthBytes: expected.length,
    byte: differs,
    value: expected[differs],
  });
}

export function isZero(data: Buffer): boolean {
  return data.equals(ZEROS.subarray(0, data.length));
}

export const BLOCK_DEVICE_CHECKS: readonly Check[] = [
  ...RANGE_CHECKS,
  ...WRITE_CHECKS,
  ...UNMAP_CHECKS,
  ...FLUSH_CHECKS,
];
