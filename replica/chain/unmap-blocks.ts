import type { BlockDone } from '../../core/block/block-device.ts';
import { codeOf } from '../../core/errors.ts';
import { BLOCK_BYTES, type BlockRange, blocksOf, type ChainParts } from './chain-parts.ts';
import { BlockState } from './index-page.ts';
import { mediumFailure } from './storage-error.ts';
import { persistMarks, writeBlocks } from './write-blocks.ts';

/**
 * Makes the range read as zeros; the blocks are locked and loaded. Whole blocks give their space
 * back and are marked `zero` only where something below would show through; parts of blocks are
 * written with zeros where there is anything but zeros.
 */
export function unmapBlocks(
  parts: ChainParts,
  offsetBytes: number,
  lengthBytes: number,
  done: BlockDone,
): void {
  const endBytes = offsetBytes + lengthBytes;
  const first = Math.ceil(offsetBytes / BLOCK_BYTES);
  const end = Math.floor(endBytes / BLOCK_BYTES);
  if (first > end) {
    zeroPart(parts, offsetBytes, endBytes, done);
    return;
  }
  zeroPart(parts, offsetBytes, first * BLOCK_BYTES, (headError) => {
    if (headError !== null) {
      done(headError);
      return;
    }
    zeroPart(parts, end * BLOCK_BYTES, endBytes, (tailError) => {
      if (tailError !== null || first === end) done(tailError);
      else unmapWhole(parts, { first, end }, done);
    });
  });
}

/** Less than a block, within one block. */
function zeroPart(parts: ChainParts, fromBytes: number, toBytes: number, done: BlockDone): void {
  if (fromBytes === toBytes) {
    done(null);
    return;
  }
  const { stack } = parts;
  const { first } = blocksOf(fromBytes, toBytes - fromBytes);
  const unknown = parts.fetchBlock !== null && stack.head.index.state(first) === BlockState.absent;
  if (stack.resolve(first, first + 1) === null && !unknown) done(null);
  else writeBlocks(parts, fromBytes, Buffer.alloc(toBytes - fromBytes), done);
}

function unmapWhole(parts: ChainParts, blocks: BlockRange, done: BlockDone): void {
  const { head } = parts.stack;
  reserveMarkers(parts, blocks, (error) => {
    if (error !== null) {
      done(error);
      return;
    }
    const { first, end } = blocks;
    head.data.punchHole(first * BLOCK_BYTES, (end - first) * BLOCK_BYTES, (failed) => {
      // A full disk may lack the space to split an extent: the index alone makes it zeros then.
      if (failed !== null && codeOf(failed) !== 'ENOSPC') {
        done(mediumFailure(failed, `unmapping in ${head.name}`));
      } else if (markUnmapped(parts, blocks)) {
        persistMarks(parts, first, end, done);
      } else {
        done(null);
      }
    });
  });
}

/** Zero markers may need index pages: their space is taken before anything changes. */
function reserveMarkers(parts: ChainParts, blocks: BlockRange, done: BlockDone): void {
  const { index } = parts.stack.head;
  const reserveFrom = (from: number): void => {
    let block = from;
    while (block < blocks.end) {
      const marks = showsThrough(parts, block, blocks.end);
      const { runEnd } = parts.stack;
      if (marks && !index.isReserved(block, runEnd)) {
        index.reserve(block, runEnd, (error) => {
          if (error === null) reserveFrom(runEnd);
          else done(error);
        });
        return;
      }
      block = runEnd;
    }
    done(null);
  };
  reserveFrom(blocks.first);
}

function markUnmapped(parts: ChainParts, blocks: BlockRange): boolean {
  const { index } = parts.stack.head;
  let changed = false;
  let block = blocks.first;
  while (block < blocks.end) {
    const state = showsThrough(parts, block, blocks.end) ? BlockState.zero : BlockState.absent;
    const { runEnd } = parts.stack;
    changed = index.mark(block, runEnd, state) || changed;
    block = runEnd;
  }
  return changed;
}

/**
 * Whether the block would not be zeros if the head said nothing of it; `stack.runEnd` tells up to
 * where this holds. While a rebuild copies, everything may come from below.
 */
function showsThrough(parts: ChainParts, block: number, limit: number): boolean {
  const older = parts.stack.resolve(block, limit, 1);
  return older !== null || parts.fetchBlock !== null;
}
