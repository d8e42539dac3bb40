import { assert } from '../../core/assert.ts';
import { type ScsiTask, TASK_ATTRIBUTE } from './scsi-task.ts';

/**
 * Task attributes (SAM-5 §8): simple tasks run in any order, an ordered one after all before it
 * and before all after it, a head of queue task at once. One set for all sessions (TST=0).
 */
export class TaskSet {
  readonly #dormant: ScsiTask[] = [];
  #enabledCount = 0;
  #orderedIsEnabled = false;

  /** In the order in which the commands came (CmdSN). */
  enter(task: ScsiTask): void {
    const isOrdered = task.attribute === TASK_ATTRIBUTE.ordered;
    if (task.attribute !== TASK_ATTRIBUTE.headOfQueue && this.#mustWait(isOrdered)) {
      this.#dormant.push(task);
      return;
    }
    this.#enable(task, isOrdered);
  }

  /**
   * The task is over. Gives the tasks that may run from now on and have their data; mostly none.
   */
  leave(task: ScsiTask): readonly ScsiTask[] {
    if (task.enabled) {
      task.enabled = false;
      this.#enabledCount -= 1;
      if (task.attribute === TASK_ATTRIBUTE.ordered) this.#orderedIsEnabled = false;
    } else {
      const index = this.#dormant.indexOf(task);
      assert(index >= 0, 'a task that leaves was in the set');
      this.#dormant.splice(index, 1);
    }
    return this.#dormant.length === 0 ? NO_TASKS : this.#promote();
  }

  #mustWait(isOrdered: boolean): boolean {
    if (this.#dormant.length > 0 || this.#orderedIsEnabled) return true;
    return isOrdered && this.#enabledCount > 0;
  }

  #enable(task: ScsiTask, isOrdered: boolean): void {
    task.enabled = true;
    this.#enabledCount += 1;
    if (isOrdered) this.#orderedIsEnabled = true;
  }

  #promote(): readonly ScsiTask[] {
    const ready: ScsiTask[] = [];
    for (;;) {
      const first = this.#dormant[0];
      if (first === undefined || this.#orderedIsEnabled) break;
      const isOrdered = first.attribute === TASK_ATTRIBUTE.ordered;
      if (isOrdered && this.#enabledCount > 0) break;
      this.#dormant.shift();
      this.#enable(first, isOrdered);
      if (first.dataReady) ready.push(first);
    }
    return ready;
  }
}

const NO_TASKS: readonly ScsiTask[] = [];
