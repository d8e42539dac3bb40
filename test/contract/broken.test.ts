import { describe, expect, test } from '@jest/globals';
import type { BlockDevice, BlockDone, ReadDone } from '../../core/block/block-device.ts';
import { MemoryBlockDevice } from '../../core/block/memory-block-device.ts';
import { PHYSICAL_BLOCK_BYTES, TRANSFER_BYTES_MAX } from '../../core/limits.ts';
import { MiB } from '../../core/units.ts';
import { checkReopened } from './block-device.ts';
import { BLOCK_DEVICE_CHECKS } from './block-device-checks.ts';
import { runAgainstModel } from './random-model.ts';
import { WatchedDevice } from './watched-device.ts';

const SIZE_BYTES = 32 * MiB;
const PAGE = PHYSICAL_BLOCK_BYTES;

type Break = (memory: MemoryBlockDevice) => Partial<BlockDevice>;

const later = (callback: () => void): void => queueMicrotask(callback);

/** Devices that break one promise each, in ways that were seen in the wild or in drafts. */
const BREAKS: readonly (readonly [what: string, broken: Break])[] = [
  [
    'answers a write twice',
    (memory) => ({
      write: (offsetBytes, data, done) =>
        memory.write(offsetBytes, data, (error) => {
          done(error);
          done(error);
        }),
    }),
  ],
  ['answers a flush within the call', () => ({ flush: (done) => done(null) })],
  [
    'says GOOD to an unmap and does nothing',
    () => ({ unmap: (_at, _length, done) => later(() => done(null)) }),
  ],
  [
    'unmaps whole physical blocks',
    (memory) => ({
      unmap: (offsetBytes, lengthBytes, done) => {
        if (!(lengthBytes > 0 && offsetBytes >= 0)) {
          memory.unmap(offsetBytes, lengthBytes, done);
          return;
        }
        const start = Math.floor(offsetBytes / PAGE) * PAGE;
        const end = Math.ceil((offsetBytes + lengthBytes) / PAGE) * PAGE;
        memory.unmap(start, end - start, done);
      },
    }),
  ],
  [
    'unmaps only whole physical blocks',
    (memory) => ({
      unmap: (offsetBytes, lengthBytes, done) => {
        const start = Math.ceil(offsetBytes / PAGE) * PAGE;
        const end = Math.floor((offsetBytes + lengthBytes) / PAGE) * PAGE;
        if (end > start) memory.unmap(start, end - start, done);
        else memory.unmap(offsetBytes, lengthBytes > 0 ? 512 : lengthBytes, done);
      },
    }),
  ],
  [
    'fills the rest of a physical block with zeros',
    (memory) => ({
      write: (offsetBytes, data, done) => {
        const start = Math.floor(offsetBytes / PAGE) * PAGE;
        if (data.length === 512 && start >= 0) memory.unmap(start, PAGE, () => undefined);
        memory.write(offsetBytes, data, done);
      },
    }),
  ],
  [
    'reads into one buffer again and again',
    (memory) => {
      const shared = Buffer.alloc(TRANSFER_BYTES_MAX);
      return {
        read: (offsetBytes, lengthBytes, done) =>
          memory.read(offsetBytes, lengthBytes, (error, data) => {
            data.copy(shared);
            done(error, shared.subarray(0, data.length));
          }),
      };
    },
  ],
  [
    'applies the later of two overlapping writes first',
    (memory) => {
      let held: (() => void) | null = null;
      return {
        write: (offsetBytes, data, done) => {
          const now = (): void => memory.write(offsetBytes, data, done);
          if (held === null) {
            held = now;
            setImmediate(() => {
              held?.();
              held = null;
            });
            return;
          }
          now();
        },
      };
    },
  ],
  [
    'takes a write at the end',
    (memory) => ({
      write: (offsetBytes, data, done) => {
        if (offsetBytes === memory.sizeBytes) later(() => done(null));
        else memory.write(offsetBytes, data, done);
      },
    }),
  ],
  [
    'reads up to the end where the range goes over it',
    (memory) => ({
      read: (offsetBytes, lengthBytes, done) => {
        const over = offsetBytes < memory.sizeBytes && offsetBytes + lengthBytes > memory.sizeBytes;
        memory.read(offsetBytes, over ? memory.sizeBytes - offsetBytes : lengthBytes, done);
      },
    }),
  ],
  [
    'loses what a write has beyond a mebibyte boundary',
    (memory) => ({
      write: (offsetBytes, data, done) => {
        const room = MiB - (offsetBytes % MiB);
        const some = data.length > room && room % 512 === 0 && room > 0;
        memory.write(offsetBytes, some ? data.subarray(0, room) : data, done);
      },
    }),
  ],
];

function breakDevice(broken: Break): WatchedDevice {
  const memory = new MemoryBlockDevice({ sizeBytes: SIZE_BYTES });
  const sound: BlockDevice = {
    sizeBytes: SIZE_BYTES,
    read: (offsetBytes: number, lengthBytes: number, done: ReadDone) =>
      memory.read(offsetBytes, lengthBytes, done),
    write: (offsetBytes: number, data: Buffer, done: BlockDone) =>
      memory.write(offsetBytes, data, done),
    unmap: (offsetBytes: number, lengthBytes: number, done: BlockDone) =>
      memory.unmap(offsetBytes, lengthBytes, done),
    flush: (done: BlockDone) => memory.flush(done),
  };
  const device = { ...sound, ...broken(memory) };
  return new WatchedDevice({ device, close: async () => undefined });
}

/** The titles of the checks that failed. */
async function failedChecks(broken: Break): Promise<readonly string[]> {
  const failed: string[] = [];
  const model = ['the model', (device: WatchedDevice) => runAgainstModel(device, 1)] as const;
  for (const [title, check] of [...BLOCK_DEVICE_CHECKS, model]) {
    const device = breakDevice(broken);
    try {
      await check(device);
      await device.close();
    } catch {
      failed.push(title);
    }
  }
  return failed;
}

describe('the contract of a BlockDevice finds out a device that', () => {
  test.each(BREAKS)('%s', async (_what, broken) => {
    expect(await failedChecks(broken)).not.toEqual([]);
  });

  test('forgets what was flushed', async () => {
    const fresh = (): WatchedDevice => breakDevice(() => ({}));
    await expect(checkReopened(fresh(), async () => fresh().opened)).rejects.toThrow();
  });
});

test('the contract of a BlockDevice finds no fault in a sound one', async () => {
  expect(await failedChecks(() => ({}))).toEqual([]);
});
