import { assert } from '../../core/assert.ts';
import type { BlockDone } from '../../core/block/block-device.ts';
import type { File } from '../../core/platform/index.ts';
import { BlockState } from './index-page.ts';
import type { LayerIndex } from './layer-index.ts';

/** One file of a chain with its index. */
export interface Layer {
  readonly id: string;
  /** As in its files' names: `volume-head-000`, `volume-snap-NAME`. */
  readonly name: string;
  readonly data: File;
  readonly index: LayerIndex;
}

/** The layers, newest first: the head, which is written, and the frozen ones below it. */
export class LayerStack {
  readonly layers: readonly Layer[];
  readonly head: Layer;
  /** After `resolve`: the first block that the answer does not hold for any more. */
  runEnd = 0;

  constructor(layers: readonly Layer[]) {
    const head = layers[0];
    assert(head !== undefined, 'a chain has a head');
    this.layers = layers;
    this.head = head;
  }

  /** The indexes of all layers for these blocks; within this call when they are there. */
  load(firstBlock: number, endBlock: number, done: BlockDone): void {
    const missing = this.layers.find((layer) => !layer.index.isLoaded(firstBlock, endBlock));
    if (missing === undefined) {
      done(null);
      return;
    }
    missing.index.load(firstBlock, endBlock, (error) => {
      if (error === null) this.load(firstBlock, endBlock, done);
      else done(error);
    });
  }

  /**
   * The newest layer, counted from `fromLayer`, that has `block`, or null where it reads as
   * zeros. `runEnd` tells up to where, at most `limit`, all blocks have this answer.
   */
  resolve(block: number, limit: number, fromLayer = 0): Layer | null {
    let end = limit;
    for (let position = fromLayer; position < this.layers.length; position += 1) {
      const layer = this.layers[position];
      assert(layer !== undefined, 'a layer is at each position');
      const state = layer.index.state(block);
      end = layer.index.runEnd(block, end);
      if (state === BlockState.absent) continue;
      this.runEnd = end;
      return state === BlockState.data ? layer : null;
    }
    this.runEnd = end;
    return null;
  }
}
