/** What the operations of a chain share. */
import { type BlockDone, blockError } from '../../core/block/block-device.ts';
import type { HeldRange, RangeLock, RangeMode } from '../../core/block/range-lock.ts';
import { PHYSICAL_BLOCK_BYTES } from '../../core/limits.ts';
import type { LayerStack } from './layer-stack.ts';
import { mediumFailure } from './storage-error.ts';

/** Switches that disable one rule each, for the simulator's own tests only. */
export type ReplicaBreak =
  | 'R8-old-sessions-stay'
  | 'R9-no-drain'
  | 'R14-running-sync-counts'
  | 'R24-commit-unflushed'
  | 'R27-index-first';

export const NO_BREAKS: ReadonlySet<ReplicaBreak> = new Set();

export const BLOCK_BYTES = PHYSICAL_BLOCK_BYTES;

/** Gives the content of a block that no layer has: of a replica that is just being copied. */
export type FetchBlock = (
  block: number,
  done: (error: Error | null, content: Buffer) => void,
) => void;

export interface ChainParts {
  readonly stack: LayerStack;
  readonly lock: RangeLock;
  /** Set while a rebuild fills this chain, else null. */
  fetchBlock: FetchBlock | null;
  /** The index on the medium is not what was answered any more: flushes must fail from now on. */
  readonly fail: (detail: string) => void;
}

export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** The whole blocks that a range touches. */
export interface BlockRange {
  readonly first: number;
  readonly end: number;
}

export function blocksOf(offsetBytes: number, lengthBytes: number): BlockRange {
  return {
    first: Math.floor(offsetBytes / BLOCK_BYTES),
    end: Math.ceil((offsetBytes + lengthBytes) / BLOCK_BYTES),
  };
}

/**
 * Runs `body` with the blocks locked and the indexes loaded, in the order of the calls where
 * blocks are shared. `done` comes after the release, never within this call.
 */
export function onBlocks(
  parts: ChainParts,
  mode: RangeMode,
  blocks: BlockRange,
  body: (finish: BlockDone) => void,
  done: BlockDone,
): void {
  let held: HeldRange | null = null;
  const finish: BlockDone = (error) => {
    if (held === null) {
      queueMicrotask(() => finish(error));
      return;
    }
    parts.lock.release(held);
    done(error);
  };
  const granted = (): void => {
    parts.stack.load(blocks.first, blocks.end, (error) => {
      if (error === null) body(finish);
      else finish(error);
    });
  };
  const count = blocks.end - blocks.first;
  held = parts.lock.acquire(mode, blocks.first * BLOCK_BYTES, count * BLOCK_BYTES, granted);
}

/** Fills `buffer` from `offsetBytes` on, one run after the other. */
export function readRuns(
  parts: ChainParts,
  offsetBytes: number,
  buffer: Buffer,
  done: BlockDone,
): void {
  const { stack } = parts;
  const endBytes = offsetBytes + buffer.length;
  const endBlock = Math.ceil(endBytes / BLOCK_BYTES);
  let at = offsetBytes;
  const step = (): void => {
    while (at < endBytes) {
      const layer = stack.resolve(Math.floor(at / BLOCK_BYTES), endBlock);
      const from = at - offsetBytes;
      const stopBytes = Math.min(stack.runEnd * BLOCK_BYTES, endBytes);
      const to = stopBytes - offsetBytes;
      const start = at;
      at = stopBytes;
      if (layer !== null) {
        const part = from === 0 && stopBytes === endBytes ? buffer : buffer.subarray(from, to);
        layer.data.read(part, start, (error, readBytes) => {
          if (error !== null) done(mediumFailure(error, `reading ${layer.name}`));
          else if (readBytes !== part.length) done(cutShort(layer.name));
          else step();
        });
        return;
      }
      buffer.fill(0, from, to);
    }
    done(null);
  };
  step();
}

export function cutShort(name: string): ReturnType<typeof blockError> {
  return blockError('mediumError', `${name} is shorter than it was made`);
}
