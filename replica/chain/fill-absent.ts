import type { BlockDone } from '../../core/block/block-device.ts';
import { BLOCK_BYTES, blocksOf, type ChainParts } from './chain-parts.ts';
import { BlockState } from './index-page.ts';
import { writeBlocks } from './write-blocks.ts';

/**
 * The copy of a rebuild, run by run: only blocks of which the head knows nothing are written, all
 * others were written or unmapped live and are newer (replication R22). Blocks are locked and
 * loaded.
 */
export function fillAbsent(
  parts: ChainParts,
  offsetBytes: number,
  data: Buffer,
  done: BlockDone,
): void {
  const { index } = parts.stack.head;
  const { first, end } = blocksOf(offsetBytes, data.length);
  let block = first;
  const step: BlockDone = (error) => {
    if (error !== null) {
      done(error);
      return;
    }
    while (block < end) {
      const start = block;
      const state = index.state(start);
      block = index.runEnd(start, end);
      if (state !== BlockState.absent) continue;
      const part = data.subarray((start - first) * BLOCK_BYTES, (block - first) * BLOCK_BYTES);
      writeBlocks(parts, start * BLOCK_BYTES, part, step);
      return;
    }
    done(null);
  };
  step(null);
}
