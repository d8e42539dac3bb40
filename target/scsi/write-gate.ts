import { assert } from '../../core/assert.ts';
import { RangeLock } from '../../core/block/range-lock.ts';
import type { ScsiTask } from './scsi-task.ts';

type Start = (task: ScsiTask) => void;

/**
 * Keeps COMPARE AND WRITE and its like alone on their range (R13), and costs plain writes a
 * counter. As long as nothing exclusive is about, writers are only counted. From the moment that
 * an exclusive task arrives, new writers take their range in a lock, and the exclusive one waits
 * for those that were only counted (all of them: which ranges they have is not known) and for the
 * overlapping ranges before it. Reads do not pass here.
 */
export class WriteGate {
  readonly #lock = new RangeLock();
  readonly #waitingForPlain: { readonly task: ScsiTask; readonly start: Start }[] = [];
  #plainCount = 0;
  #exclusiveCount = 0;

  /** Calls `start` now or later. The task leaves by `leave`, once. */
  enterShared(task: ScsiTask, start: Start): void {
    if (this.#exclusiveCount === 0) {
      this.#plainCount += 1;
      task.gate = 'plain';
      start(task);
      return;
    }
    task.gate = 'shared';
    this.#acquire(task, 'shared', start);
  }

  enterExclusive(task: ScsiTask, start: Start): void {
    this.#exclusiveCount += 1;
    task.gate = 'exclusive';
    this.#acquire(task, 'exclusive', (granted) => {
      if (this.#plainCount === 0) start(granted);
      else this.#waitingForPlain.push({ task: granted, start });
    });
  }

  leave(task: ScsiTask): void {
    const gate = task.gate;
    task.gate = 'none';
    if (gate === 'plain') {
      this.#plainCount -= 1;
      if (this.#plainCount === 0 && this.#waitingForPlain.length > 0) this.#startWaiting();
      return;
    }
    const range = task.heldRange;
    assert(gate !== 'none' && range !== null, 'a task leaves the gate once, through which it came');
    if (gate === 'exclusive') this.#exclusiveCount -= 1;
    task.heldRange = null;
    this.#lock.release(range);
  }

  #startWaiting(): void {
    for (const { task, start } of this.#waitingForPlain.splice(0)) start(task);
  }

  #acquire(task: ScsiTask, mode: 'shared' | 'exclusive', start: Start): void {
    // The lock grants within the call when nothing is in the way, before the handle is known.
    let isKnown = false;
    let isGranted = false;
    task.heldRange = this.#lock.acquire(mode, task.offsetBytes, task.lengthBytes, () => {
      isGranted = true;
      if (isKnown) start(task);
    });
    isKnown = true;
    if (isGranted) start(task);
  }
}
