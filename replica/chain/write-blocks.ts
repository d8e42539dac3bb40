import { type BlockDone, blockError } from '../../core/block/block-device.ts';
import { messageOf } from '../../core/errors.ts';
import { BLOCK_BYTES, blocksOf, type ChainParts, cutShort } from './chain-parts.ts';
import { BlockState } from './index-page.ts';
import { mediumFailure } from './storage-error.ts';

/**
 * Writes into the head; the blocks are locked and loaded. A block that the head has not is always
 * written as a whole 4 KiB block, filled up from the older layer or with zeros (replication R27):
 * what the file holds at such a place may be the rest of a write that was never answered.
 */
export function writeBlocks(
  parts: ChainParts,
  offsetBytes: number,
  data: Buffer,
  done: BlockDone,
): void {
  const { index } = parts.stack.head;
  const { first, end } = blocksOf(offsetBytes, data.length);
  if (index.isReserved(first, end)) {
    fillAndWrite(parts, offsetBytes, data, done);
    return;
  }
  index.reserve(first, end, (error) => {
    if (error === null) fillAndWrite(parts, offsetBytes, data, done);
    else done(error);
  });
}

function fillAndWrite(parts: ChainParts, offsetBytes: number, data: Buffer, done: BlockDone): void {
  const { index } = parts.stack.head;
  const { first, end } = blocksOf(offsetBytes, data.length);
  const last = end - 1;
  const endBytes = offsetBytes + data.length;
  const cutsFirst = offsetBytes > first * BLOCK_BYTES || (first === last && endBytes % BLOCK_BYTES);
  const cutsLast = first !== last && endBytes < end * BLOCK_BYTES;
  const fillsFirst = Boolean(cutsFirst) && index.state(first) !== BlockState.data;
  const fillsLast = cutsLast && index.state(last) !== BlockState.data;
  if (!fillsFirst && !fillsLast) {
    writeAndMark(parts, offsetBytes, data, done);
    return;
  }
  const startBytes = fillsFirst ? first * BLOCK_BYTES : offsetBytes;
  const fillsEnd = fillsLast || (fillsFirst && first === last);
  const stopBytes = fillsEnd ? end * BLOCK_BYTES : endBytes;
  const whole = Buffer.allocUnsafe(stopBytes - startBytes);
  const blocks = [...(fillsFirst ? [first] : []), ...(fillsLast ? [last] : [])];
  const fillNext = (): void => {
    const block = blocks.shift();
    if (block === undefined) {
      data.copy(whole, offsetBytes - startBytes);
      writeAndMark(parts, startBytes, whole, done);
      return;
    }
    const at = block * BLOCK_BYTES - startBytes;
    readOlder(parts, block, whole.subarray(at, at + BLOCK_BYTES), (error) => {
      if (error === null) fillNext();
      else done(error);
    });
  };
  fillNext();
}

/** What a block that is not in the head reads as. */
function readOlder(parts: ChainParts, block: number, into: Buffer, done: BlockDone): void {
  const { stack, fetchBlock } = parts;
  const layer =
    stack.head.index.state(block) === BlockState.zero ? null : stack.resolve(block, block + 1, 1);
  if (layer !== null) {
    layer.data.read(into, block * BLOCK_BYTES, (error, readBytes) => {
      if (error !== null) done(mediumFailure(error, `reading ${layer.name}`));
      else done(readBytes === into.length ? null : cutShort(layer.name));
    });
  } else if (fetchBlock !== null && stack.head.index.state(block) === BlockState.absent) {
    fetchBlock(block, (error, content) => {
      if (error === null) content.copy(into);
      done(error && blockError('mediumError', messageOf(error), error));
    });
  } else {
    into.fill(0);
    done(null);
  }
}

/** Data, then index entry, handed to the kernel in this order (replication R27). */
export function writeAndMark(
  parts: ChainParts,
  offsetBytes: number,
  data: Buffer,
  done: BlockDone,
): void {
  const { head } = parts.stack;
  head.data.write(data, offsetBytes, (error) => {
    if (error !== null) {
      done(mediumFailure(error, `writing ${head.name}`));
      return;
    }
    const { first, end } = blocksOf(offsetBytes, data.length);
    if (head.index.mark(first, end, BlockState.data)) persistMarks(parts, first, end, done);
    else done(null);
  });
}

/**
 * Its space was reserved, so a failure is the medium's, also for want of space where nothing is
 * written in place: memory and medium then say different things, and only a rebuild makes them one
 * again.
 */
export function persistMarks(parts: ChainParts, first: number, end: number, done: BlockDone): void {
  parts.stack.head.index.persist(first, end, (error) => {
    if (error === null) {
      done(null);
      return;
    }
    parts.fail(error.message);
    done(blockError('mediumError', error.message, error));
  });
}
