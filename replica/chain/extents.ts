import type { BlockError } from '../../core/block/block-device.ts';
import { BLOCK_BYTES, type ByteRange, blocksOf } from './chain-parts.ts';
import { BLOCKS_PER_PAGE } from './index-page.ts';
import type { LayerStack } from './layer-stack.ts';

type ExtentsDone = (error: BlockError | null, extents: readonly ByteRange[]) => void;

/**
 * Ranges of the volume that have data in some layer, cut to `range`, ascending, touching ones
 * joined, at most `countMax`. Page by page of the index, so that what is not loaded is loaded.
 */
export function listExtents(
  stack: LayerStack,
  range: ByteRange,
  countMax: number,
  done: ExtentsDone,
): void {
  const found: { offsetBytes: number; lengthBytes: number }[] = [];
  const limitBytes = range.offsetBytes + range.lengthBytes;
  const blocks = blocksOf(range.offsetBytes, range.lengthBytes);
  const finish = (error: BlockError | null): void => done(error, error === null ? found : []);

  /** False when there is no room for it. */
  const add = (firstBlock: number, endBlock: number): boolean => {
    const offsetBytes = Math.max(firstBlock * BLOCK_BYTES, range.offsetBytes);
    const endBytes = Math.min(endBlock * BLOCK_BYTES, limitBytes);
    const last = found.at(-1);
    if (last !== undefined && last.offsetBytes + last.lengthBytes === offsetBytes) {
      last.lengthBytes += endBytes - offsetBytes;
      return true;
    }
    if (found.length === countMax) return false;
    found.push({ offsetBytes, lengthBytes: endBytes - offsetBytes });
    return true;
  };
  const scanPage = (from: number, end: number): boolean => {
    let block = from;
    while (block < end) {
      const layer = stack.resolve(block, end);
      if (layer !== null && !add(block, stack.runEnd)) return false;
      block = stack.runEnd;
    }
    return true;
  };
  const scanFrom = (from: number): void => {
    let block = from;
    while (block < blocks.end) {
      const start = block;
      const end = Math.min(blocks.end, start - (start % BLOCKS_PER_PAGE) + BLOCKS_PER_PAGE);
      if (!stack.layers.every((layer) => layer.index.isLoaded(start, end))) {
        stack.load(start, end, (error) => {
          if (error === null) scanFrom(start);
          else finish(error);
        });
        return;
      }
      if (!scanPage(start, end)) break;
      block = end;
    }
    queueMicrotask(() => finish(null));
  };
  scanFrom(blocks.first);
}
