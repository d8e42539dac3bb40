import { assert } from '../../core/assert.ts';
import { LOGICAL_BLOCK_BYTES, REGION_BYTES } from '../../core/limits.ts';
import { SimRandom } from '../../core/platform/sim/index.ts';
import { KiB } from '../../core/units.ts';
import type { WatchedDevice } from './watched-device.ts';

const BLOCK = LOGICAL_BLOCK_BYTES;
const ROUNDS = 60;
const CHANGES_PER_ROUND_MAX = 8;
/** Small, so that most of what is done overlaps something that was done before. */
const WINDOW_BYTES = 192 * KiB;

interface Window {
  readonly offsetBytes: number;
  readonly expected: Buffer;
}

/**
 * Random writes and unmaps, several at once and overlapping, against plain buffers. After each
 * round everything that was touched is read and compared.
 *
 * @throws AssertionFailure with the seed, round and place of the first difference.
 */
export async function runAgainstModel(device: WatchedDevice, seed: number): Promise<void> {
  const random = new SimRandom(`model ${seed}`);
  const windows = [0, REGION_BYTES - WINDOW_BYTES / 2, device.sizeBytes - WINDOW_BYTES].map(
    (offsetBytes): Window => ({ offsetBytes, expected: Buffer.alloc(WINDOW_BYTES) }),
  );
  for (let round = 0; round < ROUNDS; round += 1) {
    const running: Promise<void>[] = [];
    const changes = 1 + random.below(CHANGES_PER_ROUND_MAX);
    for (let index = 0; index < changes; index += 1) {
      running.push(change(device, random, pickWindow(windows, random)));
    }
    if (random.chance(0.2)) running.push(device.flush());
    await Promise.all(running);
    const window = pickWindow(windows, random);
    const found = await Promise.all([
      readSome(device, random, window),
      readSome(device, random, window),
      readSome(device, random, pickWindow(windows, random)),
    ]);
    for (const difference of found) {
      assert(difference === null, `reads give what was written (seed ${seed}, ${difference})`);
    }
  }
  for (const { offsetBytes, expected } of windows) {
    const found = await device.read(offsetBytes, WINDOW_BYTES);
    assert(found.equals(expected), `all is as written (seed ${seed}, at ${offsetBytes})`);
  }
}

function pickWindow(windows: readonly Window[], random: SimRandom): Window {
  const window = windows[random.below(windows.length)];
  assert(window !== undefined, 'there are windows');
  return window;
}

function change(device: WatchedDevice, random: SimRandom, window: Window): Promise<void> {
  const { at, lengthBytes } = pickRange(random);
  if (random.chance(0.25)) {
    window.expected.fill(0, at, at + lengthBytes);
    return device.unmap(window.offsetBytes + at, lengthBytes);
  }
  const data = random.bytes(lengthBytes);
  data.copy(window.expected, at);
  return device.write(window.offsetBytes + at, data);
}

async function readSome(
  device: WatchedDevice,
  random: SimRandom,
  { offsetBytes, expected }: Window,
): Promise<string | null> {
  const { at, lengthBytes } = pickRange(random);
  const wanted = Buffer.from(expected.subarray(at, at + lengthBytes));
  const found = await device.read(offsetBytes + at, lengthBytes);
  if (found.equals(wanted)) return null;
  const differs = wanted.findIndex((byte, index) => found[index] !== byte);
  return `${lengthBytes} bytes at ${offsetBytes + at} differ at ${offsetBytes + at + differs}`;
}

function pickRange(random: SimRandom): { readonly at: number; readonly lengthBytes: number } {
  const blocks = WINDOW_BYTES / BLOCK;
  // Mostly small, now and then the whole window.
  const countMax = random.pick([1, 8, 8, 24, 64, blocks]);
  const count = 1 + random.below(countMax);
  const first = random.below(blocks - count + 1);
  return { at: first * BLOCK, lengthBytes: count * BLOCK };
}
