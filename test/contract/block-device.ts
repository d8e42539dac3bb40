/**
 * Every promise of core/block/block-device.ts as a test. Each implementation runs all of them:
 *
 *     describeBlockDevice('a chain', () => openChain(), { reopen: (opened) => … });
 */
import { afterEach, beforeEach, describe, test } from '@jest/globals';
import { LOGICAL_BLOCK_BYTES, REGION_BYTES } from '../../core/limits.ts';
import { KiB, MiB } from '../../core/units.ts';
import { BLOCK_DEVICE_CHECKS, expectSame, isZero, patterned } from './block-device-checks.ts';
import { runAgainstModel } from './random-model.ts';
import { type OpenedDevice, WatchedDevice } from './watched-device.ts';

export type { OpenedDevice } from './watched-device.ts';

export interface BlockDeviceContractOptions {
  /**
   * Ends the device without a flush (closed, killed, power cut: the harder the better) and opens
   * the same data again. Absent: nothing is kept.
   */
  readonly reopen?: Reopen;
  /** Of the test against a model; one is a few hundred calls. Default 3. */
  readonly seedCount?: number;
}

export type Reopen = (opened: OpenedDevice) => Promise<OpenedDevice>;

const BLOCK = LOGICAL_BLOCK_BYTES;
const SEED_COUNT = 3;

/** @param open a new device of at least 16 MiB, all zeros. It is closed after every test. */
export function describeBlockDevice(
  name: string,
  open: () => Promise<OpenedDevice>,
  options: BlockDeviceContractOptions = {},
): void {
  describe(`${name} keeps the promises of a BlockDevice:`, () => {
    let device: WatchedDevice;
    beforeEach(async () => {
      device = new WatchedDevice(await open());
    });
    afterEach(() => device.close());

    test.each(BLOCK_DEVICE_CHECKS)('%s', (_title, check) => check(device));

    for (let seed = 0; seed < (options.seedCount ?? SEED_COUNT); seed += 1) {
      test(`does what a plain buffer would, seed ${seed}`, () => runAgainstModel(device, seed));
    }

    const { reopen } = options;
    if (reopen !== undefined) {
      test('has what was flushed after it was opened again', async () => {
        device = await checkReopened(device, reopen);
      });
    }
  });
}

/** @returns the device that was opened again. */
export async function checkReopened(before: WatchedDevice, reopen: Reopen): Promise<WatchedDevice> {
  const [kept, zeroed, later] = [0, REGION_BYTES, 2 * REGION_BYTES];
  await before.write(kept, patterned(MiB, 1));
  await before.write(zeroed, patterned(64 * KiB, 2));
  await before.unmap(zeroed + BLOCK, 32 * KiB);
  await before.flush();
  const unflushed = patterned(64 * KiB, 3);
  await before.write(later, unflushed);
  before.check();
  const after = new WatchedDevice(await reopen(before.opened));
  expectSame(await after.read(kept, MiB), patterned(MiB, 1));
  const expected = patterned(64 * KiB, 2).fill(0, BLOCK, BLOCK + 32 * KiB);
  expectSame(await after.read(zeroed, 64 * KiB), expected);
  // Not flushed: every block is old or new.
  const found = await after.read(later, unflushed.length);
  for (let at = 0; at < found.length; at += BLOCK) {
    const block = found.subarray(at, at + BLOCK);
    if (!isZero(block)) expectSame(block, unflushed.subarray(at, at + BLOCK));
  }
  return after;
}
